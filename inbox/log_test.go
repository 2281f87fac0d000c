package inbox_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestTheLogTellsNothing holds that neither the log nor the errors of the inbox
// have a secret, a signature or a body in them, whatever becomes of an event.
func TestTheLogTellsNothing(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b, "deadline 100ms\ntimeout 300ms\nretry 50ms 100ms\ngive_up 500ms\nmax_stored 4")
	var signatures []string
	for name, answer := range map[string]http.HandlerFunc{
		"rejected": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "what the backend says", http.StatusUnprocessableEntity)
		},
		"failed": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "what the backend says", http.StatusInternalServerError)
		},
		"hangs":  func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"broken": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"full":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
	} {
		b.does(answer)
		r := signed(t, "/hook", event("contact.create", "what K-LINK says "+name))
		r.Header.Set("X-Token", "a token of the tests")
		signatures = append(signatures, r.Header.Get("X-Signature"))
		g.send(r)
	}
	wait(t, "an event is dead", func() bool { return g.metric("dead_total") >= 2 })
	g.stop()
	lines := 0
	for line := range strings.Lines(g.log()) {
		if !strings.Contains(line, "http.handlers.klink_inbox") {
			continue
		}
		lines++
		for _, hidden := range append(signatures, secret, "what K-LINK says", "what the backend says", "a token of the tests") {
			if strings.Contains(line, hidden) {
				t.Errorf("the log shows %q:\n%s", hidden, line)
			}
		}
	}
	if lines < 5 {
		t.Errorf("the inbox has logged %d lines", lines)
	}
}
