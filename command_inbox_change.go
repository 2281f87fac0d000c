package klink

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// inboxChange is what 'caddy klink inbox retry' or 'discard' was asked for.
type inboxChange struct {
	inboxFlags
	filter inboxFilter
	verb   string // "retry", also the last part of the path
	past   string // "retried"
	all    bool
	yes    bool
	asks   bool // for a confirmation, when many are meant
}

func inboxRetryCommand() *cobra.Command {
	return (&inboxChange{verb: "retry", past: "retried"}).command(&cobra.Command{
		Use:   "retry [<id>...]",
		Short: "Delivers events now that are waiting or dead",
		Long: `Delivers events now that are waiting for their next attempt or are dead: those
with the ids that are given, or with --all those that --state and the other
filters say. What the backend rejected it may well reject again, and an event
older than give_up has this one attempt: see to the backend first. One that is
taken to be down is tried at once, and gets all of them once it is back.

The exit status is 1 when one of the ids cannot be retried or Caddy cannot be
asked, else 0. With --json one object is printed: {"inbox", "done", "skipped",
"errors": [{"id", "error"}]}.`,
		Example: `  $ caddy klink inbox retry 7 12
  $ caddy klink inbox retry --all --state dead
  $ caddy klink inbox retry --all --state dead --event contact.create --limit 10`,
	})
}

func inboxDiscardCommand() *cobra.Command {
	c := &inboxChange{verb: "discard", past: "discarded", asks: true}
	cmd := c.command(&cobra.Command{
		Use:   "discard [<id>...]",
		Short: "Gives events up for good and deletes them",
		Long: `Gives events up for good and deletes them: those with the ids that are given, or
with --all those that --state and the other filters say. K-LINK has been told
that they are in safe hands and does not send them again; if somebody makes it,
they are taken as new.

More than one event needs a confirmation: on a terminal you are asked, elsewhere
add --yes. Exit status and --json are those of 'caddy klink inbox retry'.`,
		Example: `  $ caddy klink inbox discard 7
  $ caddy klink inbox discard --all --state dead --older-than 30d --yes`,
	})
	cmd.Flags().BoolVar(&c.yes, "yes", false, "do not ask")
	return cmd
}

func (c *inboxChange) command(cmd *cobra.Command) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return c.run(cmd, args) }
	c.bind(cmd)
	cmd.Flags().BoolVar(&c.all, "all", false, "all events in the states that --state says: waiting, dead")
	c.filter.bind(cmd, 0, "`number` of events at the most, with --all")
	return cmd
}

// inboxChanged says what has become of it.
type inboxChanged struct {
	Inbox   string             `json:"inbox"`
	Done    int                `json:"done"`
	Skipped int                `json:"skipped"`
	Errors  []inboxEventFailed `json:"errors"`
}

type inboxEventFailed struct {
	ID    int64  `json:"id"`
	Error string `json:"error"`
}

func (c *inboxChange) run(cmd *cobra.Command, args []string) error {
	ids, err := c.check(cmd, args)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	in, err := c.only(ctx)
	if err != nil {
		return err
	}
	if err := c.confirm(cmd, &in, ids); err != nil {
		return err
	}
	result := inboxChanged{Inbox: in.Name, Errors: []inboxEventFailed{}}
	if c.all {
		err = c.changeAll(ctx, &result)
	} else {
		err = c.changeEach(ctx, &result, ids)
	}
	return errors.Join(c.print(cmd.OutOrStdout(), &result), err)
}

// check refuses what could mean something else than was meant.
func (c *inboxChange) check(cmd *cobra.Command, args []string) (ids []int64, err error) {
	switch filtered := cmd.Flags().Changed("state") || c.filter.event != "" || c.filter.olderThan != "" || cmd.Flags().Changed("limit"); {
	case c.all && len(args) > 0:
		return nil, errors.New("write ids or --all, not both")
	case c.all && len(c.filter.states) == 0:
		return nil, errors.New("--all needs --state: say which events are meant, such as --state dead")
	case c.filter.limit < 0 || c.filter.limit == 0 && cmd.Flags().Changed("limit"):
		return nil, errors.New("--limit: write a number above 0")
	case !c.all && filtered:
		return nil, errors.New("--state, --event, --older-than and --limit need --all, and no ids")
	case !c.all && len(args) == 0:
		return nil, fmt.Errorf("the IDs are missing, or --all with --state: see '%s --help'", cmd.CommandPath())
	}
	for _, text := range args {
		id, err := parseEventID(text)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// confirm asks before much is lost.
func (c *inboxChange) confirm(cmd *cobra.Command, in *inboxStatus, ids []int64) error {
	if !c.asks || c.yes || !c.all && len(ids) == 1 {
		return nil
	}
	stdin, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(stdin.Fd())) {
		return errors.New("what is discarded is lost: add --yes if that is what you want")
	}
	what := fmt.Sprintf("%d events", len(ids))
	if c.all {
		what = "all that " + c.filter.String()
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "The inbox %s has %d waiting and %d dead events.\nDiscard %s for good? [y/N] ", in.Name, in.Waiting, in.Dead, what)
	line, err := bufio.NewReader(stdin).ReadString('\n')
	if err != nil && err != io.EOF {
		return fmt.Errorf("the terminal: %w", err)
	}
	if reply := strings.ToLower(strings.TrimSpace(line)); reply != "y" && reply != "yes" {
		return errors.New("nothing was discarded")
	}
	return nil
}

// String says which events are meant.
func (f *inboxFilter) String() string {
	text := "are " + strings.Join(f.states, " or ")
	if f.event != "" {
		text += ", are called " + printable(f.event)
	}
	if f.olderThan != "" {
		text += ", came more than " + f.olderThan + " ago"
	}
	if f.limit > 0 {
		text += fmt.Sprintf(", but at most %d,", f.limit)
	}
	return text
}

// changeAll goes on until nothing is left that is meant.
func (c *inboxChange) changeAll(ctx context.Context, result *inboxChanged) error {
	values := c.filter.values()
	for {
		page := largestPage
		if c.filter.limit > 0 {
			page = min(page, c.filter.limit-result.Done-result.Skipped)
		}
		values.Set("limit", strconv.Itoa(page))
		var answer struct {
			Done, Skipped int
			After         int64
		}
		if err := c.ask(ctx, http.MethodPost, result.Inbox, "/"+c.verb, values, &answer); err != nil {
			return err
		}
		result.Done += answer.Done
		result.Skipped += answer.Skipped
		if answer.After == 0 || c.filter.limit > 0 && result.Done+result.Skipped >= c.filter.limit {
			return nil
		}
		values.Set("after", strconv.FormatInt(answer.After, 10))
	}
}

// changeEach goes on when one cannot be changed.
func (c *inboxChange) changeEach(ctx context.Context, result *inboxChanged, ids []int64) error {
	for _, id := range ids {
		var answer struct{ Done int }
		path := "/events/" + strconv.FormatInt(id, 10) + "/" + c.verb
		if err := c.ask(ctx, http.MethodPost, result.Inbox, path, url.Values{}, &answer); err != nil {
			result.Errors = append(result.Errors, inboxEventFailed{id, err.Error()})
			continue
		}
		result.Done++
	}
	if len(result.Errors) == 0 {
		return nil
	}
	texts := make([]string, len(result.Errors))
	for i, failed := range result.Errors {
		texts[i] = fmt.Sprintf("%d: %s", failed.ID, failed.Error)
	}
	return errors.New(strings.Join(texts, "; "))
}

func (c *inboxChange) print(out io.Writer, result *inboxChanged) error {
	if c.json {
		return printJSON(out, result)
	}
	skipped := ""
	if result.Skipped > 0 {
		skipped = fmt.Sprintf("; %d skipped, being delivered or gone", result.Skipped)
	}
	_, err := fmt.Fprintf(out, "%s: %d %s%s\n", result.Inbox, result.Done, c.past, skipped)
	return err
}
