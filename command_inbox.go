package klink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// adminInboxes is where klink_inbox answers on the admin endpoint of a Caddy that
// has it. This package does not import it.
const adminInboxes = "/klink/inbox"

func inboxCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inbox",
		Short: "Shows, retries and discards what klink_inbox has stored",
		Long: `Asks the admin endpoint of a running Caddy what its klink_inbox has stored, and
lets you retry and discard it. Start with 'caddy klink inbox list'.`,
		Args: cobra.NoArgs, // so that an unknown command is an error
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(inboxListCommand(), inboxShowCommand(), inboxRetryCommand(), inboxDiscardCommand())
	return cmd
}

// inboxFlags are those of every command about inboxes.
type inboxFlags struct {
	admin   adminFlags
	name    string
	json    bool
	address string // of the admin endpoint, once that is known
}

func (f *inboxFlags) bind(cmd *cobra.Command) {
	f.admin.bind(cmd)
	cmd.Flags().StringVar(&f.name, "inbox", "", "`name` of the inbox; may be left out when there is just one")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON, for scripts")
}

// inboxFilter says which events are meant. The admin endpoint knows what may be
// written in it.
type inboxFilter struct {
	states    []string
	event     string
	olderThan string
	limit     int
}

func (f *inboxFilter) bind(cmd *cobra.Command, limit int, most string) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.states, "state", nil, "only events in this `state`: waiting, delivering, delivered, dead, discarded;\nmay be repeated")
	flags.StringVar(&f.event, "event", "", "only events of this `name`, such as contact.create")
	flags.StringVar(&f.olderThan, "older-than", "", "only events that came longer ago than this `time`, such as 10m or 7d")
	flags.IntVar(&f.limit, "limit", limit, most)
}

func (f *inboxFilter) values() url.Values {
	values := url.Values{"state": f.states}
	if f.event != "" {
		values.Set("event", f.event)
	}
	if f.olderThan != "" {
		values.Set("older_than", f.olderThan)
	}
	return values
}

// largestPage is how many events the admin endpoint lists or changes at once.
const largestPage = 1000

// inboxStatus is what the admin endpoint says of an inbox.
type inboxStatus struct {
	Name           string           `json:"name"`
	Mode           string           `json:"mode"`
	Database       string           `json:"database"`
	BackendUp      bool             `json:"backend_up"`
	Waiting        int64            `json:"waiting"`
	Dead           int64            `json:"dead"`
	Bytes          int64            `json:"bytes"`
	MaxStored      int64            `json:"max_stored"`
	MaxStoredBytes int64            `json:"max_stored_bytes"`
	OldestSeconds  float64          `json:"oldest_seconds"`
	Counters       map[string]int64 `json:"counters"`
}

// inboxEvent is what it says of an event.
type inboxEvent struct {
	ID          int64         `json:"id"`
	Key         string        `json:"key"`
	State       string        `json:"state"`
	Endpoint    string        `json:"endpoint"`
	Event       string        `json:"event"`
	Size        int64         `json:"size"`
	Received    time.Time     `json:"received"`
	Next        time.Time     `json:"next,omitzero"`
	Ended       time.Time     `json:"ended,omitzero"`
	Attempts    int           `json:"attempts"`
	LastFailure *inboxFailure `json:"last_failure,omitempty"`
}

// inboxFailure is an attempt that did not succeed.
type inboxFailure struct {
	Time    time.Time `json:"time"`
	Attempt int       `json:"attempt"`
	Detail  string    `json:"detail"`
}

// inboxes returns those of the running configuration, or the one with the name
// that was given.
func (f *inboxFlags) inboxes(ctx context.Context) ([]inboxStatus, error) {
	address, err := f.admin.determine()
	if err != nil {
		return nil, err
	}
	f.address = address
	var list struct{ Inboxes []inboxStatus }
	err = askAdmin(ctx, address, http.MethodGet, adminInboxes, &list)
	switch {
	case missing(err):
		return nil, fmt.Errorf("%w; this Caddy has no klink_inbox: build one with the package github.com/klinkgate/caddy-klink/inbox", err)
	case err != nil:
		return nil, err
	case len(list.Inboxes) == 0:
		return nil, errors.New("there is no inbox: the running configuration has no klink_inbox")
	case f.name == "":
		return list.Inboxes, nil
	}
	i := slices.IndexFunc(list.Inboxes, func(s inboxStatus) bool { return s.Name == f.name })
	if i < 0 {
		return nil, fmt.Errorf("--inbox: there is no inbox %q; there is %s", f.name, inboxNames(list.Inboxes))
	}
	return list.Inboxes[i : i+1], nil
}

// only returns the one inbox that is meant.
func (f *inboxFlags) only(ctx context.Context) (inboxStatus, error) {
	all, err := f.inboxes(ctx)
	if err != nil {
		return inboxStatus{}, err
	}
	if len(all) > 1 {
		return inboxStatus{}, fmt.Errorf("there are several inboxes: say which one is meant with --inbox: %s", inboxNames(all))
	}
	return all[0], nil
}

func inboxNames(all []inboxStatus) string {
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].Name
	}
	return strings.Join(names, ", ")
}

// ask asks about one inbox. What is refused is told as the inbox says it.
func (f *inboxFlags) ask(ctx context.Context, method, inbox, path string, values url.Values, value any) error {
	uri := adminInboxes + "/" + inbox + path
	if len(values) > 0 {
		uri += "?" + values.Encode()
	}
	err := askAdmin(ctx, f.address, method, uri, value)
	if refused, ok := errors.AsType[*adminError](err); ok {
		return errors.New(refused.text)
	}
	return err
}

// parseEventID reads an event's id, as it was typed.
func parseEventID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, fmt.Errorf("%q is no id of an event: 'caddy klink inbox list' shows them", text)
	}
	return id, nil
}
