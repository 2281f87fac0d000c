package klink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const statusInterval = 2 * time.Second

// watching is what 'caddy klink status' was asked for.
type watching struct {
	admin adminFlags
	json  bool
	watch bool
	stale time.Duration
}

func statusCommand() *cobra.Command {
	s := &watching{}
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Shows what the endpoints of a running Caddy have seen",
		Long: `Asks the admin endpoint of a running Caddy what its klink_webhook endpoints have
seen, and prints for each: accepted and refused deliveries, when the last one
was verified, how much of the error budget is used, and the latest refusal with
what to do about it.

The exit status is 1 when more than 80 % of an endpoint's error budget is used,
when no delivery was verified for as long as --stale says, when there is no
endpoint, and when Caddy cannot be asked. An endpoint that has not verified any
delivery counts from when it came up.

With --json the answer of the admin endpoint is printed on one line, with what
is wrong besides: {"endpoints": [...], "problems": [{"endpoint", "problem":
"error_budget|stale", "text"}]}.`,
		Example: `  $ caddy klink status
  $ caddy klink status --watch
  $ caddy klink status --stale 6h --json
  $ caddy klink status --config /etc/caddy/Caddyfile
  $ caddy klink status --address unix//run/caddy/admin.sock`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd) },
	}
	s.admin.bind(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&s.json, "json", false, "print JSON, for scripts")
	flags.BoolVar(&s.watch, "watch", false, "go on until interrupted, every 2 s")
	flags.DurationVar(&s.stale, "stale", 0, "`time` without a verified delivery that is too long, such as 6h")
	return cmd
}

func (s *watching) run(cmd *cobra.Command) error {
	if cmd.Flags().Changed("stale") && s.stale <= 0 {
		return errors.New("--stale: write a duration above 0, such as 6h")
	}
	address, err := s.admin.determine()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	out := cmd.OutOrStdout()
	for first := true; ; first = false {
		err := s.show(ctx, out, address, first)
		if !s.watch || ctx.Err() != nil {
			return err
		}
		if err != nil && !s.json {
			fmt.Fprintln(out, err)
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(statusInterval):
		}
	}
}

// show asks once and prints. It fails when something is wrong.
func (s *watching) show(ctx context.Context, out io.Writer, address string, first bool) error {
	list, err := askStatus(ctx, address)
	if err != nil {
		return err
	}
	now := time.Now()
	problems := s.problems(list.Endpoints, now)
	if s.json {
		err = printJSON(out, struct {
			EndpointList
			Problems []problem `json:"problems"`
		}{list, problems})
	} else {
		if s.watch {
			nextScreen(out, now, first)
		}
		err = printStatus(out, list.Endpoints, problems, now)
	}
	if err != nil {
		return err
	}
	return verdict(list.Endpoints, problems)
}

// nextScreen clears a terminal; elsewhere one table follows the other.
func nextScreen(out io.Writer, now time.Time, first bool) {
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(out, "\x1b[H\x1b[2J")
	} else if !first {
		fmt.Fprintln(out)
	}
	fmt.Fprintf(out, "%s\n\n", now.Format(time.DateTime))
}

func askStatus(ctx context.Context, address string) (list EndpointList, err error) {
	err = askAdmin(ctx, address, http.MethodGet, adminEndpoints, &list)
	if missing(err) {
		err = fmt.Errorf("%w; is it a Caddy with klink_webhook?", err)
	}
	return list, err
}

// problem is something that an operator should look at.
type problem struct {
	Endpoint string `json:"endpoint"`
	Problem  string `json:"problem"`
	Text     string `json:"text"`
}

func (s *watching) problems(endpoints []Status, now time.Time) []problem {
	problems := []problem{}
	for i := range endpoints {
		e := &endpoints[i]
		b := e.ErrorBudget
		if b.Used*10 > b.Limit*8 {
			problems = append(problems, problem{e.Name, "error_budget", fmt.Sprintf(
				"%d of %d errors within %s: beyond that K-LINK switches the endpoint off", b.Used, b.Limit, window(b.Window))})
		}
		since, what := e.LastVerified, "no verified delivery for "
		if since.IsZero() {
			since, what = e.Since, "no verified delivery since it came up, "
		}
		if s.stale > 0 && now.Sub(since) > s.stale {
			problems = append(problems, problem{e.Name, "stale", what + ago(now.Sub(since))})
		}
	}
	return problems
}

// verdict is an error when something is wrong.
func verdict(endpoints []Status, problems []problem) error {
	if len(endpoints) == 0 {
		return errors.New("there is no endpoint: the running configuration has no klink_webhook")
	}
	if len(problems) == 0 {
		return nil
	}
	var texts []string
	for _, p := range problems {
		texts = append(texts, p.Endpoint+": "+p.Text)
	}
	return errors.New(strings.Join(texts, "; "))
}
