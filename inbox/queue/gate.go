package queue

import (
	"context"
	"sync"
	"time"
)

const (
	// failuresToClose in a row say that it is the backend that fails, and not one
	// event.
	failuresToClose = 3
	// longestProbePause is how long a backend that is down goes untried, at the
	// most.
	longestProbePause = 30 * time.Second
)

// gate keeps deliveries from a backend that is down. One event, the oldest, is
// tried at intervals; when it is delivered, the others follow.
type gate struct {
	pauses []time.Duration // between tries; the last one repeats

	mu       sync.Mutex
	failures int           // in a row
	closures int           // in a row, without a success between them
	until    time.Time     // closed until then; after that one may try
	probing  bool          // that one is under way
	waiting  map[int64]int // the events that wait, and how often
	changed  chan struct{} // closed, and replaced, when one of those that wait may go
}

// pass is what an event gets that may be sent to the backend.
type pass struct {
	probe bool // it is the one that is tried
}

// enter waits until event id may be sent to the backend. It returns nil when that
// was not so within hold, or ctx or closing has ended.
func (g *gate) enter(ctx context.Context, closing <-chan struct{}, id int64, hold time.Duration) *pass {
	if p := g.tryEnter(id); p != nil {
		return p
	}
	g.wait(id, 1)
	defer g.wait(id, -1)
	deadline := time.NewTimer(hold)
	defer deadline.Stop()
	for {
		changed, pause := g.signal()
		if p := g.tryEnter(id); p != nil {
			return p
		}
		timer := time.NewTimer(pause)
		select {
		case <-changed:
		case <-timer.C:
		case <-deadline.C:
			timer.Stop()
			return nil
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-closing:
			timer.Stop()
			return nil
		}
		timer.Stop()
	}
}

// wait notes that an event begins or ceases to wait.
func (g *gate) wait(id int64, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting == nil {
		g.waiting = make(map[int64]int)
	}
	if g.waiting[id] += n; g.waiting[id] == 0 {
		delete(g.waiting, id)
		g.broadcast() // another one may be the oldest now
	}
}

// signal returns what to wait for before the next try.
func (g *gate) signal() (changed <-chan struct{}, pause time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	pause = longestProbePause
	if !g.probing {
		pause = max(time.Until(g.until), time.Millisecond)
	}
	return g.changed, pause
}

func (g *gate) tryEnter(id int64) *pass {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closures == 0 {
		return &pass{}
	}
	if g.probing || time.Now().Before(g.until) || !g.oldest(id) {
		return nil
	}
	g.probing = true
	return &pass{probe: true}
}

// oldest says whether no older event is waiting. It must be called with the lock
// held.
func (g *gate) oldest(id int64) bool {
	for other := range g.waiting {
		if other < id {
			return false
		}
	}
	return true
}

// leave says how the attempt went that enter has let through.
func (g *gate) leave(p *pass, o Outcome) {
	g.abandon(p)
	g.report(o, time.Now())
}

// abandon says that the attempt was not made after all.
func (g *gate) abandon(p *pass) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.probe {
		g.probing = false
		g.broadcast()
	}
}

// report notes how an attempt went, whoever made it. Rejecting an event takes a
// backend that is up.
func (g *gate) report(o Outcome, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case o == Delivered || o == Rejected:
		if g.failures == 0 && g.closures == 0 {
			return
		}
		g.failures, g.closures = 0, 0
	case now.Before(g.until): // one of those that were under way when it closed
		return
	default:
		g.failures++
		if o == Failed && g.failures < failuresToClose && g.closures == 0 {
			return
		}
		g.until = now.Add(min(pauseAt(g.pauses, g.closures), longestProbePause))
		g.closures++
	}
	g.broadcast()
}

func pauseAt(pauses []time.Duration, n int) time.Duration { return pauses[min(n, len(pauses)-1)] }

// open says whether the backend is taken to be up.
func (g *gate) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closures == 0
}

func (g *gate) wake() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.broadcast()
}

// broadcast must be called with the lock held.
func (g *gate) broadcast() {
	close(g.changed)
	g.changed = make(chan struct{})
}
