package main

import (
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	webhookPath = "/webhooks/klink"
	heldPath    = "/webhooks/held"
	answer      = "ok\n"
)

// playBackend answers 200 to every body that arrives whole. On heldPath it holds the answers until as many bodies as
// hold says are in.
func playBackend(address, hold string) error {
	count, err := strconv.Atoi(hold)
	if err != nil {
		return err
	}
	barrier := newBarrier(count)
	buffers := sync.Pool{New: func() any { return new([64 << 10]byte) }}
	handle := func(w http.ResponseWriter, r *http.Request) {
		buf := buffers.Get().(*[64 << 10]byte)
		n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, buf[:])
		buffers.Put(buf)
		if err != nil || n != r.ContentLength {
			http.Error(w, "incomplete", http.StatusBadRequest)
			return
		}
		if r.URL.Path == heldPath {
			barrier.wait()
		}
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(answer))}
		_, _ = io.WriteString(w, answer)
	}
	return serveUntilStopped(address, handle)
}

// serveUntilStopped is the server of a backend.
func serveUntilStopped(address string, handle http.HandlerFunc) error {
	server := &http.Server{Addr: address, Handler: handle, ReadHeaderTimeout: time.Minute}
	go func() {
		untilStopped()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// barrier lets everybody go when the last one has come.
type barrier struct {
	mu      sync.Mutex
	size    int
	waiting int
	open    chan struct{}
}

func newBarrier(size int) *barrier {
	return &barrier{size: size, open: make(chan struct{})}
}

// holdAtMost is how long those that have come wait for those that fail.
const holdAtMost = 20 * time.Second

func (b *barrier) wait() {
	b.mu.Lock()
	open := b.open
	b.waiting++
	if b.waiting == b.size {
		close(open)
		b.waiting, b.open = 0, make(chan struct{})
	}
	b.mu.Unlock()
	select {
	case <-open:
	case <-time.After(holdAtMost):
	}
}
