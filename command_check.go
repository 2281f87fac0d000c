package klink

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"

	"github.com/klinkgate/caddy-klink/sender"
)

// checking is what 'caddy klink check' was asked for.
type checking struct {
	expiry time.Duration
	json   bool
}

func checkCommand() *cobra.Command {
	c := &checking{}
	cmd := &cobra.Command{
		Use:   "check <url>",
		Short: "Looks at an endpoint from outside, as monitoring should",
		Long: `Looks at an endpoint from outside, one step after the other, and stops at the
first that fails:

  name          the host's name has an address
  tls           the certificate is good, and for longer than --expiry
  method        HEAD is refused, with 405
  unsigned      a POST without body and signature is refused
  badly signed  a POST of {} with a random signature is refused

Refused means 401, or 403 when the address of this machine is not allowed, which
is as it should be. Nothing is sent that could reach the backend through a
gateway that refuses; should there be none, or one in observe mode, it would get
a HEAD, at most a POST without a body, and no event. {} is sent once both have
been refused.

Run it from a machine whose address the endpoint does not allow, if you run it
often: what an allowed address is refused counts in the error budget that the
gateway keeps. (K-LINK counts its own deliveries alone.)

The exit status is 0 when every step is as it should be, else 1. With --json one
object is printed: {"url", "ok", "steps": [{"name", "ok", "detail", "error",
"status"}], "certificate_expires"}.`,
		Example: `  $ caddy klink check https://hooks.example.com/webhooks/klink
  $ caddy klink check --expiry 240h --json https://hooks.example.com/webhooks/klink`,
		Args: arguments("URL"),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd, args[0]) },
	}
	cmd.Flags().DurationVar(&c.expiry, "expiry", 24*time.Hour, "`time` that the certificate must be good for at least")
	cmd.Flags().BoolVar(&c.json, "json", false, "print JSON, for scripts")
	return cmd
}

func (c *checking) run(cmd *cobra.Command, url string) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	out := cmd.OutOrStdout()
	report := jsonCheck{URL: url, Steps: []jsonStep{}}
	probe := sender.Probe{URL: url, Expiry: c.expiry}
	err := probe.Run(ctx, func(s sender.Step) {
		if !c.json {
			printStep(out, s)
		}
		report.add(s)
	})
	if c.json && len(report.Steps) > 0 {
		report.OK = err == nil
		if err := printJSON(out, report); err != nil {
			return err
		}
	}
	return err
}

func printStep(w io.Writer, s sender.Step) {
	verdict, detail := "good", s.Detail
	switch {
	case s.Err != nil:
		verdict, detail = "BAD", s.Err.Error()
	case s.Name == "tls" && s.Expires.IsZero():
		verdict = "none"
	}
	fmt.Fprintf(w, "%-12s  %-4s  %s\n", s.Name, verdict, printable(detail))
}

type jsonCheck struct {
	URL     string     `json:"url"`
	OK      bool       `json:"ok"`
	Steps   []jsonStep `json:"steps"`
	Expires time.Time  `json:"certificate_expires,omitzero"`
}

type jsonStep struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
	Error  string `json:"error,omitempty"`
	Status int    `json:"status,omitempty"`
}

func (c *jsonCheck) add(s sender.Step) {
	step := jsonStep{Name: s.Name, OK: s.Err == nil, Detail: s.Detail, Status: s.Status}
	if s.Err != nil {
		step.Error = s.Err.Error()
	}
	c.Steps = append(c.Steps, step)
	if !s.Expires.IsZero() {
		c.Expires = s.Expires
	}
}
