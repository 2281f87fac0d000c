package inbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/klinkgate/caddy-klink/inbox/queue"
)

func init() {
	caddy.RegisterModule(adminAPI{})
}

const adminInboxes = "/klink/inbox"

// adminAPI shows on Caddy's admin endpoint what the inboxes of this process hold,
// and lets operators retry and discard it:
//
//	GET  /klink/inbox                             {"inboxes": [ … ]}, by name
//	GET  /klink/inbox/<name>                      one of them, or 404
//	GET  /klink/inbox/<name>/events?<filter>      {"events": [ … ], "after": … }
//	GET  /klink/inbox/<name>/events/<id>          one event; ?body=true with what was sent
//	POST /klink/inbox/<name>/events/<id>/retry    delivers it now
//	POST /klink/inbox/<name>/events/<id>/discard  gives it up for good
//	POST /klink/inbox/<name>/retry?<filter>       the same for many
//	POST /klink/inbox/<name>/discard?<filter>
//
// There is no secret, no header's value and no value of a query in it, and a body
// only where it was asked for.
type adminAPI struct{}

// CaddyModule returns the Caddy module information.
func (adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "admin.api.klink_inbox",
		New: func() caddy.Module { return new(adminAPI) },
	}
}

// inboxHandler answers a request that is about one inbox.
type inboxHandler func(in *Inbox, w http.ResponseWriter, r *http.Request) error

// Routes implements caddy.AdminRouter. A path that is there with another method
// is an error of its own.
func (*adminAPI) Routes() []caddy.AdminRoute {
	paths := []struct {
		method, path string
		handle       inboxHandler
	}{
		{http.MethodGet, "", showInbox},
		{http.MethodGet, "/events", listEvents},
		{http.MethodGet, "/events/{id}", showEvent},
		{http.MethodPost, "/events/{id}/retry", changeOne(retry)},
		{http.MethodPost, "/events/{id}/discard", changeOne(discard)},
		{http.MethodPost, "/retry", changeMany(retry)},
		{http.MethodPost, "/discard", changeMany(discard)},
	}
	routes := make([]caddy.AdminRoute, 0, 2*len(paths)+3)
	routes = append(routes,
		caddy.AdminRoute{Pattern: "GET " + adminInboxes, Handler: caddy.AdminHandlerFunc(listInboxes)},
		caddy.AdminRoute{Pattern: adminInboxes, Handler: only(http.MethodGet)},
		caddy.AdminRoute{Pattern: adminInboxes + "/", Handler: caddy.AdminHandlerFunc(noSuchPath)})
	for _, p := range paths {
		path := adminInboxes + "/{inbox}" + p.path
		routes = append(routes,
			caddy.AdminRoute{Pattern: p.method + " " + path, Handler: p.handle},
			caddy.AdminRoute{Pattern: path, Handler: only(p.method)})
	}
	return routes
}

// ServeHTTP implements caddy.AdminHandler. The inbox is looked up each time: the
// routes are there before any configuration is.
func (h inboxHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("inbox")
	in := inboxes()[name]
	if in == nil {
		return refuse(http.StatusNotFound, "there is no inbox %q", name)
	}
	return h(in, w, r)
}

// inboxes returns those that are in force.
func inboxes() map[string]*Inbox {
	found := make(map[string]*Inbox)
	states.Range(func(_, value any) bool {
		if in := value.(*state).current(); in != nil {
			found[in.Name] = in
		}
		return true
	})
	return found
}

func only(method string) caddy.AdminHandler {
	return caddy.AdminHandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Allow", method)
		return refuse(http.StatusMethodNotAllowed, "only %s is answered here", method)
	})
}

func noSuchPath(_ http.ResponseWriter, r *http.Request) error {
	return refuse(http.StatusNotFound, "there is no %s", r.URL.Path)
}

func refuse(status int, format string, args ...any) error {
	return caddy.APIError{HTTPStatus: status, Err: fmt.Errorf(format, args...)}
}

// queueError says what an error of the queue means to a client. Why the database
// is not available is logged and not told.
func queueError(err error) error {
	switch {
	case errors.Is(err, queue.ErrNotFound):
		return caddy.APIError{HTTPStatus: http.StatusNotFound, Err: err}
	case errors.Is(err, queue.ErrUnavailable):
		return caddy.APIError{
			HTTPStatus: http.StatusServiceUnavailable, Err: err,
			Message: queue.ErrUnavailable.Error() + ": the log says why",
		}
	default: // the event is in a state in which this cannot be done
		return caddy.APIError{HTTPStatus: http.StatusConflict, Err: err}
	}
}

func answerJSON(w http.ResponseWriter, value any) error {
	w.Header().Set("Content-Type", "application/json")
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// inboxView is what the admin API says of an inbox.
type inboxView struct {
	Name           string   `json:"name"`
	Mode           string   `json:"mode"`
	Database       string   `json:"database"` // its kind: a URL may hold a password
	BackendUp      bool     `json:"backend_up"`
	Waiting        int64    `json:"waiting"`
	Dead           int64    `json:"dead"`
	Bytes          int64    `json:"bytes"`
	MaxStored      int64    `json:"max_stored"`
	MaxStoredBytes int64    `json:"max_stored_bytes"`
	OldestSeconds  float64  `json:"oldest_seconds"`
	Counters       counters `json:"counters"`
}

// counters are those of the metrics, since this process has had the inbox.
type counters struct {
	Stored       int64 `json:"stored"`
	Delivered    int64 `json:"delivered"`
	Rescued      int64 `json:"rescued"`
	Deduplicated int64 `json:"deduplicated"`
	Dead         int64 `json:"dead"`
}

func listInboxes(w http.ResponseWriter, r *http.Request) error {
	if _, err := parseQuery(r); err != nil {
		return err
	}
	found := inboxes()
	views := make([]inboxView, 0, len(found))
	for _, in := range found {
		views = append(views, in.view())
	}
	slices.SortFunc(views, func(a, b inboxView) int { return strings.Compare(a.Name, b.Name) })
	return answerJSON(w, struct {
		Inboxes []inboxView `json:"inboxes"`
	}{views})
}

func showInbox(in *Inbox, w http.ResponseWriter, r *http.Request) error {
	if _, err := parseQuery(r); err != nil {
		return err
	}
	return answerJSON(w, in.view())
}

func (in *Inbox) view() inboxView {
	backlog := in.queue.Backlog()
	view := inboxView{
		Name: in.Name, Mode: in.Mode, Database: "sqlite", BackendUp: in.queue.Reachable(),
		Waiting: backlog.Waiting, Dead: backlog.Dead, Bytes: backlog.Bytes,
		MaxStored: in.MaxStored, MaxStoredBytes: in.MaxStoredBytes, OldestSeconds: age(backlog),
		Counters: in.state.counters(),
	}
	if in.queue.SharedWithOthers() {
		view.Database = "postgres"
	}
	return view
}

func (s *state) counters() counters {
	return counters{
		Stored:       s.counts.Stored.Load(),
		Delivered:    s.counts.Delivered.Load(),
		Rescued:      s.tally.rescued.Load(),
		Deduplicated: s.tally.deduplicated.Load(),
		Dead:         s.counts.Dead.Load(),
	}
}

// Interface guards
var (
	_ caddy.AdminRouter  = (*adminAPI)(nil)
	_ caddy.AdminHandler = inboxHandler(nil)
)
