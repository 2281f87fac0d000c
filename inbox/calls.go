package inbox

import (
	"context"
	"sync"
	"time"

	"github.com/klinkgate/caddy-klink/inbox/queue"
)

// mostKnown is how many events are known at the most, about 100 bytes each. The
// oldest are forgotten first.
const mostKnown = 1 << 18

// calls are the deliveries for which K-LINK is waiting, and the events that are
// known because they were delivered or stored.
type calls struct {
	mu      sync.Mutex
	waiting map[queue.Key]*call
	known   map[queue.Key]int64 // when each was delivered or stored, in Unix seconds
	order   []queue.Key         // a ring of the known ones in the order in which they came
	next    int                 // the oldest of the ring once it is full

	recallMu   sync.Mutex
	recalled   *queue.Database // where stored events were looked at
	recalledTo int64           // the last of them
}

// call is a delivery for which K-LINK is waiting, however often it has sent it.
type call struct {
	key    queue.Key
	done   chan struct{} // closed once there is an answer; nil while only one request waits
	answer *answer
	err    error
}

func newCalls() calls {
	return calls{waiting: make(map[queue.Key]*call), known: make(map[queue.Key]int64)}
}

// begin returns the call for an event, and whether it is a new one that the
// caller must end. It returns nil for an event that came within dedupe and is
// delivered or stored already.
func (c *calls) begin(key queue.Key, dedupe time.Duration, now time.Time) (running *call, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if running = c.waiting[key]; running != nil {
		if running.done == nil {
			running.done = make(chan struct{})
		}
		return running, false
	}
	if at, known := c.known[key]; known && now.Unix()-at <= int64(dedupe/time.Second) {
		return nil, false
	}
	running = &call{key: key}
	c.waiting[key] = running
	return running, true
}

// end gives everybody who waits for it the answer. Safe says that the event is
// delivered or stored.
func (c *calls) end(running *call, a *answer, err error, safe bool) {
	running.answer, running.err = a, err
	c.mu.Lock()
	delete(c.waiting, running.key)
	if safe {
		c.remember(running.key, time.Now())
	}
	done := running.done
	c.mu.Unlock()
	if done != nil {
		close(done)
	}
}

// remember must be called with the lock held.
func (c *calls) remember(key queue.Key, at time.Time) {
	_, known := c.known[key]
	c.known[key] = at.Unix()
	switch {
	case known:
	case len(c.order) < mostKnown:
		c.order = append(c.order, key)
	default:
		delete(c.known, c.order[c.next])
		c.order[c.next] = key
		c.next = (c.next + 1) % mostKnown
	}
}

// forget makes an event unknown, so that it can come anew.
func (c *calls) forget(key queue.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.known[key]; known {
		c.known[key] = 0
	}
}

const (
	// recallPage is how many stored events are looked at in one go.
	recallPage = 1000
	// recallAgain is how many numbers are looked at once more: a gateway may commit
	// an event after another one has committed larger numbers.
	recallAgain = 500
)

// recall learns which events were stored since it was called last; the first time
// with a database those of the last dedupe. When it fails, the next call goes on
// from there.
func (c *calls) recall(ctx context.Context, q *queue.Queue, dedupe time.Duration) error {
	c.recallMu.Lock()
	defer c.recallMu.Unlock()
	if c.recalled != q.Database() { // whose numbers are its own
		c.recalled, c.recalledTo = q.Database(), 0
	}
	for after := c.recalledTo - recallAgain; ; after = c.recalledTo {
		events, err := q.List(ctx, queue.Filter{After: after, MaxAge: dedupe}, recallPage)
		if err != nil {
			return err
		}
		c.learn(events)
		if len(events) > 0 {
			c.recalledTo = max(c.recalledTo, events[len(events)-1].ID)
		}
		if len(events) < recallPage {
			return nil
		}
	}
}

func (c *calls) learn(events []queue.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, event := range events {
		key, err := queue.ParseKey(event.Key)
		if err == nil && event.State != queue.Discarded {
			c.remember(key, latest(event.Received, event.Ended))
		}
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
