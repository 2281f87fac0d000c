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
	// settleTime is how long River takes to write down that an event went back: it
	// does so every 250 ms.
	settleTime = 500 * time.Millisecond
)

// gate keeps deliveries from a backend that is down. One event, the oldest, is
// tried at intervals; when it is delivered, the others follow.
type gate struct {
	pauses []time.Duration // between tries; the last one repeats

	mu       sync.Mutex
	failures int           // in a row
	closures int           // in a row, without a success between them
	until    time.Time     // closed until then; after that one may try
	settled  time.Time     // until then events are on their way back into the database, and would be overtaken
	probing  bool          // one is being tried
	hurried  bool          // the next one need not wait
	live     bool          // one that is not in the database is being tried
	waiting  map[int64]int // the events that wait, and how often
	changed  chan struct{} // closed, and replaced, when one of those that wait may go
}

func newGate(pauses []time.Duration) *gate {
	return &gate{pauses: pauses, waiting: make(map[int64]int), changed: make(chan struct{})}
}

// Pass is what an event gets that may be sent to the backend.
type Pass struct {
	probe bool // it is the one that is tried
	live  bool // it is the one that is tried of those that are not in the database
}

// change is what a report has made of the gate.
type change int

const (
	same change = iota
	closed
	opened
)

// enter waits until event id may be sent to the backend; the pass must be given back
// with leave or abandon. It returns nil when the event is to go back into the
// database: after hold, or when ctx or closing has ended.
func (g *gate) enter(ctx context.Context, closing <-chan struct{}, id int64, hold time.Time) *Pass {
	if p := g.tryEnter(id); p != nil {
		return p
	}
	return g.queueUp(ctx, closing, id, hold)
}

func (g *gate) queueUp(ctx context.Context, closing <-chan struct{}, id int64, hold time.Time) *Pass {
	g.wait(id, 1)
	defer g.wait(id, -1)
	for {
		changed, pause := g.signal(hold)
		if p := g.tryEnter(id); p != nil {
			return p
		}
		if !time.Now().Before(hold) && g.goBack() {
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-changed:
			timer.Stop()
		case <-timer.C:
		case <-closing:
			timer.Stop()
			return nil
		case <-ctx.Done():
			timer.Stop()
			return nil
		}
	}
}

// goBack notes that an event goes back, unless its turn is near.
func (g *gate) goBack() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closures == 0 {
		return false
	}
	g.settled = time.Now().Add(settleTime)
	return true
}

// wait notes that an event begins or ceases to wait.
func (g *gate) wait(id int64, n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting[id] += n; g.waiting[id] == 0 {
		delete(g.waiting, id)
		g.broadcast() // another one may be the oldest now
	}
}

// signal returns what to wait for before the next try: a change, or that the
// gate may be tried again, or the end of hold.
func (g *gate) signal(hold time.Time) (changed <-chan struct{}, pause time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	pause = longestProbePause // others are before it, and their leaving is a change
	next := g.until
	if g.closures == 0 {
		next = g.settled
	}
	for _, at := range []time.Time{next, hold} {
		if rest := time.Until(at); rest > 0 {
			pause = min(pause, rest)
		}
	}
	return g.changed, pause
}

func (g *gate) tryEnter(id int64) *Pass {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closures == 0 && !time.Now().Before(g.settled) {
		return &Pass{}
	}
	if g.closures == 0 || g.probing || !g.hurried && time.Now().Before(g.until) || !g.oldest(id) {
		return nil
	}
	g.probing = true
	if g.hurried {
		g.hurried, g.until = false, time.Time{}
	}
	return &Pass{probe: true}
}

// enterLive says whether an event that is not in the database may be sent to the
// backend. It needs a pass only while the gate is closed: then one at a time is
// tried, whenever it comes.
func (g *gate) enterLive() (p *Pass, may bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closures == 0 {
		return nil, true
	}
	if g.live {
		return nil, false
	}
	g.live = true
	return &Pass{live: true}, true
}

// hurry lets an event be tried now, or as soon as the one that is being tried has
// failed.
func (g *gate) hurry() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hurried = g.closures > 0
	g.broadcast()
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

// leave says how an attempt went. The pass is nil if it needed none.
func (g *gate) leave(p *Pass, o Outcome) change {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.giveBack(p) {
		g.broadcast() // the next one may try, when it is time
	}
	return g.note(o)
}

// abandon says that the attempt was not made after all, or takes so long that
// another one may be made beside it.
func (g *gate) abandon(p *Pass) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.giveBack(p) {
		g.broadcast() // another one may try
	}
}

// giveBack must be called with the lock held.
func (g *gate) giveBack(p *Pass) (wasProbe bool) {
	if p == nil {
		return false
	}
	if p.live {
		g.live, p.live = false, false
	}
	if p.probe {
		g.probing, p.probe, wasProbe = false, false, true
	}
	return wasProbe
}

// note must be called with the lock held. Rejecting an event takes a backend that
// is up.
func (g *gate) note(o Outcome) change {
	now := time.Now()
	before := g.closures
	switch {
	case o == Delivered || o == Rejected:
		g.failures, g.closures, g.hurried = 0, 0, false
	case now.Before(g.until) && before > 0: // one of those that were under way when it closed
	default:
		g.failures++
		if o == Unreachable || g.failures >= failuresToClose || before > 0 {
			g.until = now.Add(min(pauseAt(g.pauses, g.closures), longestProbePause))
			g.closures++
		}
	}
	if g.closures == before {
		return same
	}
	g.broadcast()
	switch {
	case before == 0:
		return closed
	case g.closures == 0:
		return opened
	}
	return same
}

func pauseAt(pauses []time.Duration, n int) time.Duration {
	return pauses[min(max(n, 0), len(pauses)-1)]
}

// open says whether the backend is taken to be up.
func (g *gate) open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closures == 0
}

// broadcast must be called with the lock held.
func (g *gate) broadcast() {
	close(g.changed)
	g.changed = make(chan struct{})
}
