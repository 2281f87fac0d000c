package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// backend is what the events are for. It writes down what it has processed, and behaves as its phase wants.
type backend struct {
	address string
	scale   scale
	seed    uint64
	ledger  *ledger
	manner  atomic.Value // of the present phase
	visits  atomic.Int64 // requests ever, for the dice
	open    atomic.Int64 // requests under way

	mu     sync.Mutex
	server *http.Server // nil when connections are refused
}

func newBackend(address string, s settings, l *ledger) *backend {
	b := &backend{address: address, scale: s.scale, seed: s.seed, ledger: l}
	b.manner.Store(fine)
	return b
}

// follow goes through the phases, and is fine afterwards, or when ctx ends.
func (b *backend) follow(ctx context.Context, start time.Time, phases []phase) error {
	for _, p := range phases {
		if err := b.turn(p.manner); err != nil {
			return err
		}
		pause(ctx, time.Until(start.Add(p.end)))
	}
	return b.turn(fine)
}

// turn makes the backend behave in another manner. A restart cuts all connections, and so does its end.
func (b *backend) turn(m manner) error {
	before := b.manner.Swap(m)
	if m == refuses || m == restarts || before == restarts {
		b.close()
	}
	if m == refuses {
		return nil
	}
	return b.listen()
}

// listen makes sure that the backend takes connections.
func (b *backend) listen() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server != nil {
		return nil
	}
	listener, err := listenAgain(b.address)
	if err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: time.Minute}
	go b.server.Serve(listener) //nolint:errcheck // it ends when it is closed
	return nil
}

// listenAgain is patient: a child that is being started has the old listener open for a moment.
func listenAgain(address string) (listener net.Listener, err error) {
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if listener, err = net.Listen("tcp", address); err == nil {
			return listener, nil
		}
	}
	return nil, err
}

// close cuts all connections and refuses new ones.
func (b *backend) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server != nil {
		_ = b.server.Close()
		b.server = nil
	}
}

// ServeHTTP implements http.Handler.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.open.Add(1)
	defer b.open.Add(-1)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the request has not come whole
	}
	v := b.ledger.arrive(r, body)
	if v == nil {
		http.Error(w, "not as it was sent", http.StatusBadRequest)
		return
	}
	stop := context.AfterFunc(r.Context(), func() { b.ledger.release(v) })
	defer stop()
	c := conductIn(b.manner.Load().(manner), dice(b.seed, forConduct+purpose(b.visits.Add(1))))
	cut := !b.behave(w, r, c, v)
	b.ledger.release(v)
	if cut {
		panic(http.ErrAbortHandler)
	}
}

// behave returns false when the connection is to be cut.
func (b *backend) behave(w http.ResponseWriter, r *http.Request, c conduct, v *visit) bool {
	pause(r.Context(), b.scale.of(c.before))
	if c.processes && (c.stubborn || r.Context().Err() == nil) {
		b.ledger.process(v)
	}
	pause(r.Context(), b.scale.of(c.after))
	switch c.answer {
	case none:
		return false
	case half:
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "half an ans")
		_ = http.NewResponseController(w).Flush()
		return false
	}
	w.WriteHeader(int(c.answer))
	err := http.NewResponseController(w).Flush()
	if c.answer == http.StatusOK && err == nil && r.Context().Err() == nil {
		b.ledger.acknowledge(v)
	}
	return true
}

// idle says whether nothing is under way.
func (b *backend) idle() bool { return b.open.Load() == 0 }

// pause returns after d, or as soon as ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
