package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAnEventIsDeliveredOnceWithTheSameBytes(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		bodies := map[string]string{
			"text":   `{"event":"message.inbound"}`,
			"empty":  "",
			"binary": "\x00\xff\xfe'\"\\\n\r" + strings.Repeat("\x80", 100),
			"large":  strings.Repeat("ж", 1<<20),
		}
		b := &backend{}
		q := start(t, open(t, url), b.config())
		n, keys := 0, map[string]Key{}
		for name, body := range bodies {
			n++
			d := event(n)
			d.Head, d.Body, keys[name] = []byte("head \x00\xff of "+name), []byte(body), d.Key
			id := store(t, q, d, When{})
			state(t, q, id, Done)
		}
		got := map[Key]sent{}
		for _, s := range seen(t, b, n) {
			got[s.key] = s
		}
		expect(t, "attempts", len(b.attempts()), n)
		for name, body := range bodies {
			s := got[keys[name]]
			if s.body != body || s.head != "head \x00\xff of "+name || s.attempt != 1 {
				t.Errorf("%s: the backend got head %q, body of %d bytes, attempt %d", name, s.head, len(s.body), s.attempt)
			}
		}
		expect(t, "stored", q.config.Counts.Stored.Load(), n)
		expect(t, "delivered", q.config.Counts.Delivered.Load(), n)
	})
}

func TestNothingOfAnEventIsLostOnTheWay(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		got := make(chan Delivery, 1)
		c := (&backend{}).config()
		c.Deliver = func(_ context.Context, d *Delivery, _ int) Result { got <- *d; return Result{Outcome: Delivered} }
		q := start(t, open(t, url), c)
		d := event(1)
		d.Endpoint, d.Event = "end point ü", "a\x00b\xffc" // what PostgreSQL's JSON does not take
		store(t, q, d, When{})
		arrived := <-got
		expect(t, "endpoint", arrived.Endpoint, d.Endpoint)
		expect(t, "event", arrived.Event, "a\uFFFDb\uFFFDc")
		expect(t, "received", arrived.Received.UnixMilli(), d.Received.UnixMilli())
	})
}

func TestOldestFirst(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{}
		hold := make(chan struct{})
		b.answer = func(d *Delivery, _ int) Result {
			<-hold
			return Result{Outcome: Delivered}
		}
		q := start(t, open(t, url), b.config())
		var want []Key
		for n := range 50 {
			store(t, q, event(n), When{})
			want = append(want, key(n))
		}
		close(hold)
		seen(t, b, 50)
		expect(t, "order", b.keys(), want)
	})
}

func TestRetriesFollowThePauses(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		pauses := []time.Duration{300 * time.Millisecond, 100 * time.Millisecond}
		b := &backend{answer: func(_ *Delivery, attempt int) Result {
			if attempt < 4 {
				return Result{Failed, fmt.Sprintf("answer %d", 500+attempt)}
			}
			return Result{Outcome: Delivered}
		}}
		c := b.config()
		c.Retry = pauses
		q := start(t, open(t, url), c)
		id := store(t, q, event(1), When{})
		e := state(t, q, id, Done)
		attempts := b.attempts()
		expect(t, "attempts", len(attempts), 4)
		for i, s := range attempts {
			expect(t, "attempt", s.attempt, i+1)
			if i > 0 {
				if pause := s.at.Sub(attempts[i-1].at); pause < pauseAt(pauses, i-1) {
					t.Errorf("attempt %d came after %s, want %s at least", i+1, pause, pauseAt(pauses, i-1))
				}
			}
		}
		expect(t, "attempts noted", e.Attempts, 4)
		expect(t, "failures noted", len(e.Failures), 3)
		expect(t, "detail of the second", e.Failures[1].Detail, "answer 502")
	})
}

func TestAnEventThatIsGivenUpIsKept(t *testing.T) {
	t.Parallel()
	failed := Result{Failed, "answer 500"}
	for _, c := range []struct {
		name     string
		result   Result
		giveUp   time.Duration
		attempts int // at least
	}{
		{"rejected: at once", Result{Rejected, "answer 422"}, time.Hour, 1},
		{"failed, older than GiveUp: no more attempts", failed, 0, 1},
		{"failed, then too old", failed, 3 * time.Second, 2},
		{"unreachable, then too old", Result{Unreachable, "connection refused"}, 3 * time.Second, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, url string) {
				b := &backend{answer: func(*Delivery, int) Result { return c.result }}
				config := b.config()
				config.GiveUp = c.giveUp
				q := start(t, open(t, url), config)
				id := store(t, q, event(1), When{})
				e := state(t, q, id, Dead)
				if n := len(b.attempts()); n < c.attempts {
					t.Errorf("%d attempts, want at least %d", n, c.attempts)
				}
				expect(t, "counted", config.Counts.Dead.Load(), 1)
				expect(t, "detail", e.Failures[len(e.Failures)-1].Detail, c.result.Detail)
				eventually(t, "the backlog has one dead event", func() bool { return q.Backlog().Dead == 1 && q.Backlog().Waiting == 0 })
				_, d, err := q.Get(t.Context(), id)
				if err != nil || d == nil || string(d.Body) != string(event(1).Body) {
					t.Errorf("what was to be sent is not kept: %v %v", d, err)
				}
				listed, err := q.List(t.Context(), Filter{States: []State{Dead}}, 10)
				if err != nil || len(listed) != 1 || listed[0].ID != id {
					t.Errorf("listed: %v %v", listed, err)
				}
			})
		})
	}
}

func TestADeadEventCanBeRetried(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{answer: func(_ *Delivery, attempt int) Result {
			if attempt == 1 {
				return Result{Rejected, "answer 422"}
			}
			return Result{Outcome: Delivered}
		}}
		q := start(t, open(t, url), b.config())
		id := store(t, q, event(1), When{})
		state(t, q, id, Dead)
		if err := q.Retry(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		state(t, q, id, Done)
		expect(t, "attempt", b.attempts()[1].attempt, 2)
		eventually(t, "nothing is left", func() bool { return q.Backlog() == Backlog{} })
		expectErr(t, "retry of what was delivered", q.Retry(t.Context(), id), errGone)
	})
}

func TestAWaitingEventCanBeRetriedAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{}
		q := start(t, open(t, url), b.config())
		id := store(t, q, event(1), When{At: time.Now().Add(time.Hour)})
		if err := q.Retry(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		state(t, q, id, Done)
	})
}

func TestAnEventCanBeDiscarded(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{}
		db := open(t, url)
		q := start(t, db, b.config())
		other := b.config()
		other.Name = "other"
		stranger := start(t, db, other)
		id := store(t, q, event(1), When{Dead: true})
		expectErr(t, "discarded by another queue", stranger.Discard(t.Context(), id), ErrNotFound)
		expectErr(t, "retried by another queue", stranger.Retry(t.Context(), id), ErrNotFound)
		if err := q.Discard(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		_, _, err := q.Get(t.Context(), id)
		expectErr(t, "after it was discarded", err, ErrNotFound)
		expectErr(t, "discarded again", q.Discard(t.Context(), id), ErrNotFound)
		expect(t, "payloads", payloads(t, db), 0)
	})
}

func payloads(t testing.TB, db *Database) (n int) {
	t.Helper()
	if err := db.queryRow(t.Context(), "SELECT count(*) FROM klink_inbox_payload").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWhileItIsDeliveredAnEventIsLeftAlone(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		hold := make(chan struct{})
		b := &backend{answer: func(*Delivery, int) Result { <-hold; return Result{Outcome: Delivered} }}
		q := start(t, open(t, url), b.config())
		id := store(t, q, event(1), When{})
		seen(t, b, 1)
		state(t, q, id, Delivering)
		expectErr(t, "retry", q.Retry(t.Context(), id), ErrUnderWay)
		expectErr(t, "discard", q.Discard(t.Context(), id), ErrUnderWay)
		close(hold)
		state(t, q, id, Done)
		expect(t, "attempts", len(b.attempts()), 1)
	})
}

func TestAnEventThatWaitsForABackendCanBeGivenUp(t *testing.T) {
	t.Parallel()
	for name, giveUp := range map[string]func(ctx context.Context, q *Queue, id int64) error{
		"discarded": func(ctx context.Context, q *Queue, id int64) error { return q.Discard(ctx, id) },
		"cancelled": func(ctx context.Context, q *Queue, id int64) error { return actOn(ctx, q.db, ActionCancel, id) },
		"deleted":   func(ctx context.Context, q *Queue, id int64) error { return actOn(ctx, q.db, ActionDelete, id) },
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, url string) {
				b := &backend{}
				config := b.config()
				config.Concurrency, config.Retry = 1, []time.Duration{time.Hour}
				q := start(t, open(t, url), config)
				q.report(Unreachable)
				id := store(t, q, event(1), When{})
				awaitHeld(t, q, id)
				if err := giveUp(t.Context(), q, id); err != nil {
					t.Fatal(err)
				}
				e, d, err := q.Get(t.Context(), id)
				if err != nil || e.State != Discarded || d != nil {
					t.Errorf("it is %s (%v), and what was to be sent is there: %t", e.State, err, d != nil)
				}
				again := store(t, q, event(1), When{})
				q.report(Delivered)
				next := store(t, q, event(2), When{})
				state(t, q, again, Done)
				state(t, q, next, Done)
				state(t, q, id, Discarded)
				expect(t, "what was sent", b.keys(), []Key{key(1), key(2)})
			})
		})
	}
}

func actOn(ctx context.Context, db *Database, action Action, id int64) error {
	_, err := db.Act(ctx, action, id)
	return err
}

// awaitHeld waits until an event waits in memory.
func awaitHeld(t *testing.T, q *Queue, id int64) {
	t.Helper()
	eventually(t, "it is held", func() bool { _, held := q.db.held.Load(id); return held })
}

// TestRetryTriesABackendThatIsDown holds that an operator who has mended it does not
// have to wait for the next try.
func TestRetryTriesABackendThatIsDown(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{}
		config := b.config()
		config.Retry = []time.Duration{time.Hour}
		q := start(t, open(t, url), config)
		dead := store(t, q, event(1), When{Dead: true})
		q.report(Unreachable)
		held := store(t, q, event(2), When{})
		awaitHeld(t, q, held)
		for _, id := range []int64{held, dead} {
			if err := q.Retry(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		end := time.Now().Add(longestProbePause / 2)
		q.Hurry()
		state(t, q, held, Done)
		state(t, q, dead, Done)
		expect(t, "that was the next try", time.Now().After(end), false)
	})
}

// TestDiscardWhileTheBackendComesBack holds that an event is either discarded or
// delivered, and that no slot and no pass are lost by it.
func TestDiscardWhileTheBackendComesBack(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{}
		config := b.config()
		config.Retry = []time.Duration{time.Hour}
		q := start(t, open(t, url), config)
		discarded := make(map[Key]bool)
		for n := range 20 {
			q.report(Unreachable)
			id := store(t, q, event(n), When{})
			awaitHeld(t, q, id)
			var done sync.WaitGroup
			done.Go(func() { q.report(Delivered) })
			err := q.Discard(t.Context(), id)
			done.Wait()
			if err != nil {
				state(t, q, id, Done)
				continue
			}
			if _, _, err := q.Get(t.Context(), id); errors.Is(err, ErrNotFound) {
				continue // it was delivered before, and what is discarded then is its record
			}
			state(t, q, id, Discarded)
			discarded[key(n)] = true
		}
		last := store(t, q, event(20), When{})
		state(t, q, last, Done)
		for _, k := range b.keys() {
			if discarded[k] {
				t.Errorf("event %s was sent, though it was discarded", k)
			}
		}
		expect(t, "sent or discarded", len(b.keys())+len(discarded), 21)
	})
}

func TestAnEventThatWasCancelledCannotBeRetried(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{}
		db := open(t, url)
		q := start(t, db, b.config())
		id := store(t, q, event(1), When{At: time.Now().Add(time.Hour)})
		if _, err := db.Act(t.Context(), ActionCancel, id); err != nil {
			t.Fatal(err)
		}
		expectErr(t, "retry", q.Retry(t.Context(), id), errGone)
		state(t, q, id, Discarded)
	})
}

func TestADeliveryThatPanicsIsTriedAgain(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{answer: func(_ *Delivery, attempt int) Result {
			if attempt < 5 {
				panic("a handler's bug")
			}
			return Result{Outcome: Delivered}
		}}
		q := start(t, open(t, url), b.config())
		q.gate.report(Unreachable) // so that it has to be the one that is tried
		id := store(t, q, event(1), When{})
		state(t, q, id, Done)
		expect(t, "the backend is taken to be up", q.Reachable(), true)
	})
}
