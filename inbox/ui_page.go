package inbox

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap/exp/zapslog"
	"riverqueue.com/riverui"
	"riverqueue.com/riverui/uiendpoints"

	"github.com/klinkgate/caddy-klink/inbox/queue"
)

// page is River UI on one database.
type page struct {
	url      string // of the database
	database *queue.Database
	handler  http.Handler
	stop     context.CancelFunc
	idle     *time.Timer
}

// idleAfter is how long the page counts jobs in the background after it was last
// looked at. On SQLite, counting holds up deliveries that are to be stored.
const idleAfter = 5 * time.Minute

// missing says why there is no page.
type missing struct {
	status int
	text   string
}

// openTimeout is how long a page waits for a database that is about to be there,
// as it is just after Caddy's start.
const openTimeout = time.Second

// current returns the page on the database that the inbox has now.
func (ui *UI) current(ctx context.Context) (*page, *missing) {
	q, missing := ui.find()
	if missing != nil {
		return nil, missing
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	endpoints, err := q.Database().Pages(ctx)
	if err != nil {
		return nil, unavailable(err.Error())
	}
	ui.mu.Lock()
	defer ui.mu.Unlock()
	if ui.page != nil && ui.page.database == q.Database() && ui.page.idle.Reset(idleAfter) {
		return ui.page, nil
	}
	if ui.page != nil {
		ui.page.stop()
	}
	if ui.page, err = ui.open(q, endpoints); err != nil {
		return nil, unavailable(err.Error())
	}
	return ui.page, nil
}

func unavailable(text string) *missing { return &missing{http.StatusServiceUnavailable, text} }

// find returns the queue of the inbox that the page is for. When none is named,
// any will do as long as all have the same database.
func (ui *UI) find() (*sharedQueue, *missing) {
	var found []*sharedQueue
	several := false
	states.Range(func(name, value any) bool {
		in := value.(*state).current()
		if in != nil && (ui.Inbox == "" || ui.Inbox == name) {
			several = several || len(found) > 0 && found[0].url != in.queue.url
			found = append(found, in.queue)
		}
		return true
	})
	switch {
	case several:
		return nil, &missing{http.StatusNotFound, "the inboxes have several databases: choose one with inbox <name>"}
	case len(found) > 0:
		return found[0], nil
	case ui.Inbox != "":
		return nil, &missing{http.StatusNotFound, fmt.Sprintf("there is no inbox %s: compare the name of klink_inbox with that of klink_inbox_ui", ui.Inbox)}
	}
	return nil, &missing{http.StatusNotFound, "there is no inbox: the configuration has no klink_inbox"}
}

func (ui *UI) open(q *sharedQueue, endpoints uiendpoints.Bundle) (*page, error) {
	handler, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints: endpoints,
		Logger:    slog.New(zapslog.NewHandler(ui.logger.Core(), zapslog.WithName("http.handlers.klink_inbox_ui"))),
		Prefix:    ui.Path,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ui.ctx)
	if err := handler.Start(ctx); err != nil {
		cancel()
		return nil, err
	}
	return &page{
		url: q.url, database: q.Database(), handler: handler, stop: cancel, idle: time.AfterFunc(idleAfter, cancel),
	}, nil
}

// serve answers a request for what is below the path of the page.
func (ui *UI) serve(w http.ResponseWriter, r *http.Request, p *page, below string) {
	switch action, ok := actionOf(r.Method, below); {
	case ok:
		ui.act(w, r, p, action)
	case !allowed(r.Method, below):
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "klink_inbox_ui: this cannot be done on the page", http.StatusMethodNotAllowed)
	case ui.Path == "" && below != "/" && strings.HasSuffix(below, "/"):
		prefix := strings.TrimSuffix(below, "/")
		http.Error(w, fmt.Sprintf("klink_inbox_ui: the page is at /: if it shall be below %s, write klink_inbox_ui %s", prefix, prefix), http.StatusNotFound)
	default:
		p.handler.ServeHTTP(w, r)
	}
}

// allowed says whether River may do what is asked for. It can also change queues,
// in ways that mean nothing to an inbox.
func allowed(method, below string) bool {
	switch method {
	case http.MethodGet, http.MethodHead:
		return true
	case http.MethodPut:
		name, ok := strings.CutPrefix(below, "/api/queues/")
		name, what, _ := strings.Cut(name, "/")
		return ok && name != "" && (what == "pause" || what == "resume")
	}
	return false
}
