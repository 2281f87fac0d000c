package klink

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// demoRequest is the part of a request that must arrive unchanged.
type demoRequest struct {
	method string
	target string
	body   []byte
}

func (r *demoRequest) equal(other demoRequest) bool {
	return r.method == other.method && r.target == other.target && bytes.Equal(r.body, other.body)
}

// demoBackend answers everything with 204 and remembers what came last.
type demoBackend struct {
	url    string
	server *http.Server

	mu      sync.Mutex
	request *demoRequest
}

func startDemoBackend() (*demoBackend, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &demoBackend{url: "http://" + listener.Addr().String()}
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = b.server.Serve(listener) }() // ends with stop
	return b, nil
}

func (b *demoBackend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.request = &demoRequest{method: r.Method, target: r.RequestURI, body: body}
	w.WriteHeader(http.StatusNoContent)
}

func (b *demoBackend) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.request = nil
}

// last returns what has come since forget, or nil.
func (b *demoBackend) last() *demoRequest {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.request
}

func (b *demoBackend) stop() { _ = b.server.Close() }
