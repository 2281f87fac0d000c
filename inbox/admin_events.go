package inbox

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/klinkgate/caddy-klink/inbox/queue"
)

// adminTimeout bounds how long a look into the database takes. A command waits
// for ten seconds.
const adminTimeout = 8 * time.Second

// eventView is what the admin API says of each event of a list.
type eventView struct {
	ID          int64          `json:"id"`
	Key         string         `json:"key"` // Klink-Delivery-Id
	State       queue.State    `json:"state"`
	Endpoint    string         `json:"endpoint"`
	Event       string         `json:"event"`
	Size        int64          `json:"size"`
	Received    time.Time      `json:"received"`
	Next        time.Time      `json:"next,omitzero"`
	Ended       time.Time      `json:"ended,omitzero"`
	Attempts    int            `json:"attempts"`
	LastFailure *queue.Failure `json:"last_failure,omitempty"`
}

// eventList is a page of events. There may be more after the event that After
// names.
type eventList struct {
	Events []eventView `json:"events"`
	After  int64       `json:"after,omitempty"`
}

func listEvents(in *Inbox, w http.ResponseWriter, r *http.Request) error {
	values, err := parseQuery(r, "state", "event", "key", "older_than", "after", "limit", "order")
	if err != nil {
		return err
	}
	filter, limit, err := parseFilter(values, defaultPage)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), adminTimeout)
	defer cancel()
	events, err := in.queue.List(ctx, filter, limit)
	if err != nil {
		return queueError(err)
	}
	list := eventList{Events: make([]eventView, len(events))}
	for i := range events {
		list.Events[i] = viewOf(&events[i])
	}
	if len(events) == limit {
		list.After = events[limit-1].ID
	}
	return answerJSON(w, list)
}

func viewOf(e *queue.Event) eventView {
	view := eventView{
		ID: e.ID, Key: e.Key, State: e.State, Endpoint: e.Endpoint, Event: e.Event, Size: e.Size,
		Received: e.Received, Next: e.Next, Ended: e.Ended, Attempts: e.Attempts,
	}
	if n := len(e.Failures); n > 0 {
		view.LastFailure = &e.Failures[n-1]
	}
	return view
}

// wholeEvent is what the admin API says of one event. What was sent is there
// until it is delivered or discarded.
type wholeEvent struct {
	eventView
	Failures []queue.Failure `json:"failures"`
	Request  *requestView    `json:"request,omitempty"`
}

// requestView is what may be shown of what was sent: headers and queries may hold
// secrets in their values.
type requestView struct {
	Method       string   `json:"method"`
	Host         string   `json:"host"`
	Path         string   `json:"path"`
	QueryNames   []string `json:"query_names,omitempty"`
	HeaderNames  []string `json:"header_names"`
	Body         *string  `json:"body,omitempty"`
	BodyEncoding string   `json:"body_encoding,omitempty"` // "text" or "base64"
}

func showEvent(in *Inbox, w http.ResponseWriter, r *http.Request) error {
	withBody, err := wantsBody(r)
	if err != nil {
		return err
	}
	event, stored, err := in.eventOf(r)
	if err != nil {
		return err
	}
	whole := wholeEvent{eventView: viewOf(&event), Failures: append([]queue.Failure{}, event.Failures...)}
	if stored != nil {
		d, err := storedDelivery(stored)
		if err != nil {
			return refuse(http.StatusInternalServerError, "the stored request cannot be read")
		}
		whole.Request = d.head.view()
		if withBody {
			whole.Request.setBody(d.Body)
		}
	}
	return answerJSON(w, whole)
}

func wantsBody(r *http.Request) (bool, error) {
	values, err := parseQuery(r, "body")
	if err != nil {
		return false, err
	}
	switch text, there := parameter(values, "body"); {
	case !there || text == "false":
		return false, nil
	case text == "true":
		return true, nil
	default:
		return false, refuse(http.StatusBadRequest, "body: there is no %q: write true or false", text)
	}
}

// eventOf returns the event that a path names.
func (in *Inbox) eventOf(r *http.Request) (queue.Event, *queue.Delivery, error) {
	text := r.PathValue("id")
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return queue.Event{}, nil, refuse(http.StatusNotFound, "there is no event %q: an event's id is a number", text)
	}
	ctx, cancel := context.WithTimeout(r.Context(), adminTimeout)
	defer cancel()
	event, stored, err := in.queue.Get(ctx, id)
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return event, nil, refuse(http.StatusNotFound, "there is no event %d in the inbox %s", id, in.Name)
	case err != nil:
		return event, nil, queueError(fmt.Errorf("%w: %w", queue.ErrUnavailable, err))
	}
	return event, stored, nil
}

// view leaves out what may be secret. It shows the request as K-LINK has sent it.
func (h *head) view() *requestView {
	view := &requestView{
		Method: h.Original.Method, Host: h.Host, Path: h.Original.URL.EscapedPath(),
		HeaderNames: slices.Sorted(maps.Keys(h.Header)),
	}
	query, _ := url.ParseQuery(h.Original.URL.RawQuery) // of one that is malformed, what can be read
	view.QueryNames = slices.Sorted(maps.Keys(query))
	return view
}

func (v *requestView) setBody(body []byte) {
	text := string(body)
	v.BodyEncoding = "text"
	if !utf8.Valid(body) {
		text, v.BodyEncoding = base64.StdEncoding.EncodeToString(body), "base64"
	}
	v.Body = &text
}
