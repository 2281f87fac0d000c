package klink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
)

// inboxListing is what 'caddy klink inbox list' was asked for.
type inboxListing struct {
	inboxFlags
	filter inboxFilter
	key    string
}

func inboxListCommand() *cobra.Command {
	l := &inboxListing{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Shows what is stored and not delivered",
		Long: `Shows for each inbox whether its backend is up, how many events are waiting and
dead, how much that is and how old the oldest waiting one is; and the events that
are not delivered, the oldest first, with what the last attempt at each failed
with. --state delivered shows those that are, and --key the event that a backend
knows by its header Klink-Delivery-Id, delivered or not.

Events of which the attempt is under way are delivering, and so are some that
wait for a backend that is down. NEXT is the time until the next attempt.

The exit status is 1 when Caddy cannot be asked or has no inbox, else 0. With
--json one line is printed: {"inboxes": [{"name", …, "events": [{"id", …}],
"more"}]}.`,
		Example: `  $ caddy klink inbox list
  $ caddy klink inbox list --state dead --event contact.create
  $ caddy klink inbox list --inbox orders --older-than 1h --limit 500 --json`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error { return l.run(cmd) },
	}
	l.bind(cmd)
	cmd.Flags().StringVar(&l.key, "key", "", "only the event with this `Klink-Delivery-Id`")
	l.filter.bind(cmd, 20, "`number` of events of each inbox that are shown at the most")
	return cmd
}

// listedInbox is an inbox with its events.
type listedInbox struct {
	inboxStatus
	Events []inboxEvent `json:"events"`
	More   bool         `json:"more"` // there are, or may be
}

func (l *inboxListing) run(cmd *cobra.Command) error {
	if l.filter.limit < 1 {
		return errors.New("--limit: write a number above 0")
	}
	if len(l.filter.states) == 0 && l.key == "" {
		l.filter.states = []string{"waiting", "delivering", "dead"}
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	inboxes, err := l.inboxes(ctx)
	if err != nil {
		return err
	}
	listed := make([]listedInbox, len(inboxes))
	for i := range inboxes {
		listed[i].inboxStatus = inboxes[i]
		if err := l.fill(ctx, &listed[i]); err != nil {
			return err
		}
	}
	if l.json {
		return printJSON(cmd.OutOrStdout(), struct {
			Inboxes []listedInbox `json:"inboxes"`
		}{listed})
	}
	return printInboxes(cmd.OutOrStdout(), listed, time.Now())
}

// fill asks for an inbox's events, page by page.
func (l *inboxListing) fill(ctx context.Context, in *listedInbox) error {
	in.Events = []inboxEvent{}
	values := l.filter.values()
	if l.key != "" {
		values.Set("key", l.key)
	}
	for {
		values.Set("limit", strconv.Itoa(min(l.filter.limit-len(in.Events), largestPage)))
		var page struct {
			Events []inboxEvent
			After  int64
		}
		if err := l.ask(ctx, http.MethodGet, in.Name, "/events", values, &page); err != nil {
			return err
		}
		in.Events = append(in.Events, page.Events...)
		in.More = page.After > 0
		if !in.More || len(in.Events) >= l.filter.limit {
			return nil
		}
		values.Set("after", strconv.FormatInt(page.After, 10))
	}
}

// The tables fit a terminal of 80 columns.
const (
	inboxNameColumn  = 20
	inboxRow         = "%-*s  %-6s  %-7s  %9s  %9s  %9s  %8s\n"
	inboxEventColumn = 26
	inboxEventRow    = "%10s  %-10s  %-*s  %8s  %8s  %8s\n"
)

func printInboxes(out io.Writer, listed []listedInbox, now time.Time) error {
	var b strings.Builder
	fmt.Fprintf(&b, inboxRow, inboxNameColumn, "INBOX", "MODE", "BACKEND", "WAITING", "DEAD", "SIZE", "OLDEST")
	for i := range listed {
		listed[i].print(&b)
	}
	for i := range listed {
		listed[i].printEvents(&b, now, len(listed) > 1)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (s *inboxStatus) print(w io.Writer) {
	name := s.Name
	if len(name) > inboxNameColumn {
		fmt.Fprintln(w, name)
		name = ""
	}
	backend := "down"
	if s.BackendUp {
		backend = "up"
	}
	oldest := "-"
	if s.OldestSeconds > 0 {
		oldest = window(s.OldestSeconds)
	}
	fmt.Fprintf(w, inboxRow, inboxNameColumn, name, s.Mode, backend,
		count(uint64(s.Waiting)), count(uint64(s.Dead)), size(s.Bytes), oldest)
	if stored := s.Waiting + s.Dead; stored*10 > s.MaxStored*8 || s.Bytes > s.MaxStoredBytes/10*8 {
		printWrapped(w, fmt.Sprintf("! nearly full: %d of %d events, %s of %s; once it is, deliveries are refused",
			stored, s.MaxStored, size(s.Bytes), size(s.MaxStoredBytes)))
	}
}

func size(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }

func (in *listedInbox) printEvents(w io.Writer, now time.Time, several bool) {
	if len(in.Events) == 0 {
		return
	}
	fmt.Fprintln(w)
	if several {
		fmt.Fprintf(w, "%s:\n", in.Name)
	}
	fmt.Fprintf(w, inboxEventRow, "ID", "STATE", inboxEventColumn, "EVENT", "AGE", "ATTEMPTS", "NEXT")
	for i := range in.Events {
		in.Events[i].print(w, now)
	}
	if in.More {
		fmt.Fprintf(w, "There may be more: --limit %d shows them.\n", 2*len(in.Events))
	}
}

func (e *inboxEvent) print(w io.Writer, now time.Time) {
	fmt.Fprintf(w, inboxEventRow, strconv.FormatInt(e.ID, 10), e.State, inboxEventColumn, shortened(e.Event),
		ago(now.Sub(e.Received)), strconv.Itoa(e.Attempts), e.next(now))
	if e.LastFailure != nil && e.State != "delivered" {
		printWrapped(w, e.LastFailure.Detail)
	}
}

// shortened is an event's name that fits its column.
func shortened(name string) string {
	if name == "" {
		return "-"
	}
	runes := []rune(printable(name))
	if len(runes) > inboxEventColumn {
		runes = append(runes[:inboxEventColumn-1], '…')
	}
	return string(runes)
}

// next writes the time until the next attempt.
func (e *inboxEvent) next(now time.Time) string {
	switch {
	case e.Next.IsZero():
		return "-"
	case !e.Next.After(now):
		return "now"
	default:
		return ago(e.Next.Sub(now))
	}
}
