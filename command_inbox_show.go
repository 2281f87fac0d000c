package klink

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// inboxShowing is what 'caddy klink inbox show' was asked for.
type inboxShowing struct {
	inboxFlags
	body bool
}

func inboxShowCommand() *cobra.Command {
	s := &inboxShowing{}
	cmd := &cobra.Command{
		Use:   "show <id>",
		Short: "Shows one event and what its attempts failed with",
		Long: `Shows one event: its state, what was sent, and what each attempt failed with. Of
headers and of the query there are the names alone, and the body only with
--body. What was sent is kept until the event is delivered or discarded.

With --json one object is printed, with a body in "request": "body_encoding" is
text, or base64 for a body that is no UTF-8.`,
		Example: `  $ caddy klink inbox show 7
  $ caddy klink inbox show --inbox orders --body 7`,
		Args: arguments("ID"),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, args[0]) },
	}
	s.bind(cmd)
	cmd.Flags().BoolVar(&s.body, "body", false, "show the body too")
	return cmd
}

// wholeInboxEvent is what the admin endpoint says of one event.
type wholeInboxEvent struct {
	inboxEvent
	Failures []inboxFailure `json:"failures"`
	Request  *inboxRequest  `json:"request,omitempty"`
}

// inboxRequest is what was sent.
type inboxRequest struct {
	Method       string   `json:"method"`
	Host         string   `json:"host"`
	Path         string   `json:"path"`
	QueryNames   []string `json:"query_names,omitempty"`
	HeaderNames  []string `json:"header_names"`
	Body         *string  `json:"body,omitempty"`
	BodyEncoding string   `json:"body_encoding,omitempty"`
}

func (s *inboxShowing) run(cmd *cobra.Command, text string) error {
	id, err := parseEventID(text)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	in, err := s.only(ctx)
	if err != nil {
		return err
	}
	values := url.Values{}
	if s.body {
		values.Set("body", "true")
	}
	var e wholeInboxEvent
	if err := s.ask(ctx, http.MethodGet, in.Name, "/events/"+strconv.FormatInt(id, 10), values, &e); err != nil {
		return err
	}
	if s.json {
		return printJSON(cmd.OutOrStdout(), &e)
	}
	return s.print(cmd.OutOrStdout(), &e, in.Name, time.Now())
}

func (s *inboxShowing) print(out io.Writer, e *wholeInboxEvent, inbox string, now time.Time) error {
	var b strings.Builder
	e.print(&b, inbox, now)
	if s.body && e.Request != nil {
		b.WriteByte('\n')
		e.Request.printBody(&b)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (e *wholeInboxEvent) print(w io.Writer, inbox string, now time.Time) {
	fmt.Fprintf(w, "Event %d of the inbox %s is %s.\n", e.ID, inbox, e.State)
	line := func(name, text string) { printWrapped(w, name+": "+text) }
	if e.Event != "" {
		line("event", e.Event)
	}
	line("endpoint", e.Endpoint)
	line("Klink-Delivery-Id", e.Key)
	line("received", moment(e.Received, now))
	if !e.Ended.IsZero() {
		line("ended", moment(e.Ended, now))
	}
	line("size", size(e.Size))
	line("attempts", strconv.Itoa(e.Attempts))
	if !e.Next.IsZero() {
		line("next attempt", e.next(now))
	}
	if e.Request == nil {
		line("request", "not kept any more")
	} else {
		line("request", e.Request.Method+" "+e.Request.Host+e.Request.Path+hiddenQuery(e.Request.QueryNames))
		line("headers", strings.Join(e.Request.HeaderNames, ", "))
	}
	for _, f := range e.Failures {
		line(fmt.Sprintf("attempt %d, %s ago", f.Attempt, ago(now.Sub(f.Time))), f.Detail)
	}
}

func moment(t, now time.Time) string {
	return t.Local().Format(time.DateTime) + ", " + ago(now.Sub(t)) + " ago"
}

// hiddenQuery writes a query of which only the names are known.
func hiddenQuery(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return "?" + strings.Join(names, "=…&") + "=…"
}

// printBody prints a body so that it cannot move a terminal's cursor.
func (r *inboxRequest) printBody(w io.Writer) {
	if r.Body == nil {
		return
	}
	body := *r.Body
	if r.BodyEncoding == "base64" {
		decoded, err := base64.StdEncoding.DecodeString(body)
		if err == nil {
			body = string(decoded)
		}
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(body, "\n"), "\n") {
		fmt.Fprintln(w, printable(line))
	}
}
