package inbox

import (
	"maps"
	"net/http"
)

// keptAnswer is how long a backend's answer may be to be passed on, in bytes; a
// longer one goes without its body. K-LINK looks at the status alone.
const keptAnswer = 128 << 10

// answer is what a backend answers, kept until it is known what to make of it.
type answer struct {
	header   http.Header // what handlers write to
	sent     http.Header // what it was when the status came
	status   int         // 0 before there is one
	body     []byte
	tooLarge bool
}

// status200 is what K-LINK is told of an event that is in safe hands.
func status200() *answer { return &answer{status: http.StatusOK} }

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header {
	if a.header == nil {
		a.header = make(http.Header)
	}
	return a.header
}

// WriteHeader implements http.ResponseWriter. Of the statuses the final one is
// kept, which 101 is, too; a header that is changed after it has no effect.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		a.status, a.sent, a.header = status, a.header, nil
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.tooLarge = a.tooLarge || len(a.body)+len(p) > keptAnswer; a.tooLarge {
		a.body = nil
	} else {
		a.body = append(a.body, p...)
	}
	return len(p), nil
}

// Flush implements http.Flusher: there is nobody to flush to yet.
func (a *answer) Flush() {}

// send passes the answer on. It can be sent more than once.
func (a *answer) send(w http.ResponseWriter) error {
	maps.Copy(w.Header(), a.sent.Clone()) // other handlers may change values in place
	if a.tooLarge {
		w.Header().Del("Content-Length")
	}
	w.WriteHeader(a.status)
	_, err := w.Write(a.body)
	return err
}
