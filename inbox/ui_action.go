package inbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/klinkgate/caddy-klink/inbox/queue"
)

// actionOf returns what is to be done to events.
func actionOf(method, below string) (queue.Action, bool) {
	name, ok := strings.CutPrefix(below, "/api/jobs/")
	action := queue.Action(name)
	known := action == queue.ActionRetry || action == queue.ActionCancel || action == queue.ActionDelete
	return action, ok && known && method == http.MethodPost
}

const (
	largestAction = 64 << 10 // of the request, in bytes
	mostEvents    = 1000     // as many as River's own page takes
)

// act does in River's place what its page asks for, in the way in which it has to
// be done to events, and answers as River does.
func (ui *UI) act(w http.ResponseWriter, r *http.Request, p *page, action queue.Action) {
	ids, err := readIDs(w, r)
	if err != nil {
		reply(w, http.StatusBadRequest, map[string]string{"message": err.Error()})
		return
	}
	done, failure := 0, error(nil)
	for _, id := range ids {
		if err := p.act(r.Context(), action, id); err != nil {
			failure = errors.Join(failure, fmt.Errorf("event %d: %w", id, err))
			continue
		}
		done++
	}
	if action == queue.ActionRetry {
		for _, in := range p.inboxes() {
			in.queue.Hurry()
		}
	}
	ui.logger.Info("an operator has acted on events", zap.String("action", string(action)), zap.String("user", userOf(r)),
		zap.Int64s("ids", ids), zap.Int("done", done), zap.Error(failure))
	if failure != nil {
		reply(w, statusOf(failure), map[string]string{"message": fmt.Sprintf("%d of %d done. %v", done, len(ids), failure)})
		return
	}
	reply(w, http.StatusOK, map[string]string{"status": "ok"})
}

// act does something to one event. One that is given up may come anew.
func (p *page) act(ctx context.Context, action queue.Action, id int64) error {
	subject, err := p.database.Act(ctx, action, id)
	if err != nil || action == queue.ActionRetry {
		return err
	}
	if in := p.inboxes()[subject.Queue]; in != nil {
		in.state.calls.forget(subject.Key)
	}
	return nil
}

// inboxes returns those in force whose events the page shows.
func (p *page) inboxes() map[string]*Inbox {
	shown := inboxes()
	maps.DeleteFunc(shown, func(_ string, in *Inbox) bool { return in.queue.url != p.url })
	return shown
}

// readIDs reads the ids of events, which the page writes as strings.
func readIDs(w http.ResponseWriter, r *http.Request) ([]int64, error) {
	var request struct {
		IDs []json.RawMessage `json:"ids"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, largestAction)).Decode(&request); err != nil {
		return nil, err
	}
	if len(request.IDs) == 0 || len(request.IDs) > mostEvents {
		return nil, fmt.Errorf("ids: there must be from 1 to %d", mostEvents)
	}
	ids := make([]int64, len(request.IDs))
	for i, raw := range request.IDs {
		id, err := strconv.ParseInt(strings.Trim(string(raw), `"`), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("ids: %s is no id", raw)
		}
		ids[i] = id
	}
	return ids, nil
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, queue.ErrUnavailable):
		return http.StatusServiceUnavailable
	case errors.Is(err, queue.ErrNotFound):
		return http.StatusNotFound
	}
	return http.StatusConflict
}

func userOf(r *http.Request) string {
	replacer, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return ""
	}
	user, _ := replacer.GetString("http.auth.user.id")
	return user
}

func reply(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) // a browser that is gone has no use for it
}
