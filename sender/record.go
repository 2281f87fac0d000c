package sender

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"time"

	"github.com/klinkgate/caddy-klink/verifier"
)

// Bounds on what a Recorder takes.
const (
	MaxRecordedBody   = 16 << 20
	maxRecordedHeader = 64 << 10
	recordTimeout     = 30 * time.Second
)

// Recorder is an endpoint that keeps what arrives. It answers 200 to each POST, so that whoever tries it is content,
// and 405 to anything else.
type Recorder struct {
	server   *http.Server
	captured chan *Captured
	done     chan struct{} // closed by Close
	failed   chan error
}

// Record listens until Close is called.
func Record(listener net.Listener) *Recorder {
	r := &Recorder{captured: make(chan *Captured), done: make(chan struct{}), failed: make(chan error, 1)}
	r.server = &http.Server{
		Handler:           r,
		ReadHeaderTimeout: recordTimeout,
		ReadTimeout:       recordTimeout,
		WriteTimeout:      2 * recordTimeout,
		MaxHeaderBytes:    maxRecordedHeader,
	}
	go func() { r.failed <- r.server.Serve(listener) }()
	return r
}

// Next returns the next POST. It fails when ctx ends or the listener does.
func (r *Recorder) Next(ctx context.Context) (*Captured, error) {
	select {
	case c := <-r.captured:
		return c, nil
	case err := <-r.failed:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close ends the recording; answers that are under way are finished for a moment.
func (r *Recorder) Close() {
	close(r.done)
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if r.server.Shutdown(ctx) != nil {
		_ = r.server.Close()
	}
}

// ServeHTTP implements http.Handler.
func (r *Recorder) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, MaxRecordedBody))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	select {
	case r.captured <- capture(request, body):
	case <-r.done:
		w.WriteHeader(http.StatusServiceUnavailable)
	case <-request.Context().Done():
	}
}

func capture(request *http.Request, body []byte) *Captured {
	return &Captured{Body: body, Delivery: verifier.Delivery{
		Method: request.Method,
		Scheme: "https",
		Host:   request.Host,
		Target: request.RequestURI,
		Header: maps.Clone(request.Header),
	}}
}
