package klink

import (
	"net/http"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// answerWriter notes the status of the handlers behind, and answers 200 for
// every 2xx unless that is to be kept.
type answerWriter struct {
	caddyhttp.ResponseWriterWrapper
	keep   bool
	status int // 0 until there is one
}

func (w *answerWriter) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(w.sent(status))
}

// sent returns the status that the sender gets for one of the handlers behind.
func (w *answerWriter) sent(status int) int {
	if status >= 200 && status <= 299 && !w.keep {
		return http.StatusOK
	}
	return status
}
