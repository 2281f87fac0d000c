package queue

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestCloseWaitsForDeliveriesUnderWay(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{answer: func(*Delivery, int) Result {
			time.Sleep(500 * time.Millisecond)
			return Result{Outcome: Delivered}
		}}
		db := open(t, url)
		q := start(t, db, b.config())
		store(t, q, event(1), When{})
		store(t, q, event(2), When{})
		seen(t, b, 1)
		expectErr(t, "close", q.Close(), nil)
		delivered := q.config.Counts.Delivered.Load()
		expect(t, "those under way are delivered", delivered, len(b.attempts()))
		again := &backend{}
		p := start(t, db, again.config())
		eventually(t, "the rest is delivered", func() bool { return delivered+p.config.Counts.Delivered.Load() == 2 })
		expect(t, "attempts", len(b.attempts())+len(again.attempts()), 2)
	})
}

func TestCloseCutsOffWhatTakesTooLong(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		for _, outcome := range []Outcome{Failed, Unreachable, Rejected} {
			b := &backend{}
			config := b.config()
			config.Name = fmt.Sprint("test-", outcome)
			config.Retry = []time.Duration{time.Hour}
			entered := make(chan struct{})
			config.Deliver = func(ctx context.Context, _ *Delivery, _ int) Result {
				close(entered)
				<-ctx.Done()
				return Result{outcome, "context canceled"}
			}
			short := normalPace
			short.grace = 200 * time.Millisecond
			db := open(t, url)
			q := started(db.queue(config, short))
			store(t, q, event(1), When{})
			<-entered
			expectErr(t, "close", q.Close(), nil)
			config.Deliver = b.deliver
			start(t, db, config)
			// At once, and not after the pause. The backend may have seen the first attempt: so this is the second.
			expect(t, "attempt", seen(t, b, 1)[0].attempt, 2)
		}
	})
}

func TestCloseSendsBackThoseThatWaitAtTheGate(t *testing.T) {
	const events = 20
	onEach(t, func(t *testing.T, url string) {
		b := &backend{down: true}
		config := b.config()
		config.Concurrency = 4
		config.Retry = []time.Duration{time.Hour}
		db, err := Open(t.Context(), url, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		q := started(db.Queue(config))
		for n := range events {
			store(t, q, event(n), When{})
		}
		eventually(t, "some wait at the gate", func() bool { return !q.Reachable() && waiting(q.gate) == config.Concurrency })
		expectErr(t, "close", q.Close(), nil)
		expectErr(t, "close of the database", db.Close(), nil)

		again := &backend{}
		config = again.config()
		p := start(t, open(t, url), config)
		eventually(t, "all are delivered", func() bool { return config.Counts.Delivered.Load() == events })
		for i, s := range again.attempts() {
			expect(t, "in order", s.key, key(i))
			expect(t, "attempt", s.attempt, 1)
		}
		eventually(t, "nothing is left", func() bool { return p.Backlog() == Backlog{} })
	})
}

func waiting(g *gate) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

func TestCloseRightAfterTheStart(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		db := open(t, url)
		for range 5 {
			expectErr(t, "close", started(db.Queue((&backend{}).config())).Close(), nil)
		}
		q := start(t, db, (&backend{}).config())
		state(t, q, store(t, q, event(1), When{}), Done)
	})
}

// TestAwaitStart holds that a queue which was started takes events to its end, and one
// that was not takes none.
func TestAwaitStart(t *testing.T) {
	t.Parallel()
	db := open(t, freshSQLite(t))
	q := started(db.Queue((&backend{}).config()))
	expectErr(t, "close", q.Close(), nil)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 50 { // of several cases that are ready, select takes any
		expectErr(t, "started, and closed", q.AwaitStart(ended), nil)
	}
	q = db.Queue((&backend{}).config())
	expectErr(t, "not yet started", q.AwaitStart(ended), ErrUnavailable)
	expectErr(t, "close", q.Close(), nil)
	expectErr(t, "closed", q.AwaitStart(t.Context()), ErrUnavailable)
}

func TestCloseAmidTraffic(t *testing.T) {
	const events = 300
	onEach(t, func(t *testing.T, url string) {
		b := &backend{}
		config := b.config()
		config.Concurrency = 8
		stored := 0
		for round := range 3 {
			db, err := Open(t.Context(), url, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			q := started(db.Queue(config))
			for range events / 3 {
				store(t, q, event(stored), When{})
				stored++
			}
			if round == 2 {
				eventually(t, "all are delivered", func() bool { return config.Counts.Delivered.Load() == events })
			}
			expectErr(t, "close", q.Close(), nil)
			expectErr(t, "close of the database", db.Close(), nil)
		}
		times := map[Key]int{}
		for _, k := range b.keys() {
			times[k]++
		}
		expect(t, "events", len(times), events)
		expect(t, "attempts", len(b.attempts()), events)
	})
}

func TestAReloadHandsOver(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		const events = 100
		db := open(t, url)
		b := &backend{}
		config := b.config()
		old := start(t, db, config)
		for n := range events / 2 {
			store(t, old, event(n), When{})
		}
		q := start(t, db, config) // as Caddy does it: the new one runs before the old one is closed
		expectErr(t, "close", old.Close(), nil)
		for n := events / 2; n < events; n++ {
			store(t, q, event(n), When{})
		}
		eventually(t, "all are delivered", func() bool { return config.Counts.Delivered.Load() == events })
		expect(t, "attempts", len(b.attempts()), events)
	})
}

func TestAnEventOfAGatewayThatDiedIsDelivered(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		since time.Duration // it was taken
		alone bool          // no other queue has a worker
	}{
		{"its own queue finds it", time.Hour, true},
		{"though another queue's worker is River's leader", time.Hour, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, url string) {
				b := &backend{}
				db := open(t, url)
				config := b.config()
				if !c.alone {
					other := (&backend{}).config()
					other.Name, other.Timeout = "other", 5*time.Hour
					start(t, db, other)
					eventually(t, "it is the leader", func() bool { return leader(t, db) })
				}
				q := started(db.Queue(config))
				id := store(t, q, event(1), When{At: time.Now().Add(time.Hour)})
				expectErr(t, "close", q.Close(), nil)
				leaveRunning(t, db, id, c.since)
				q = start(t, db, config)
				state(t, q, id, Done)
				expect(t, "attempt", b.attempts()[0].attempt, 2)
			})
		})
	}
}

// leaveRunning leaves an event as a gateway does that is killed while it delivers
// it.
func leaveRunning(t *testing.T, db *Database, id int64, since time.Duration) {
	t.Helper()
	err := db.exec(t.Context(), db.engine.executor(),
		"UPDATE river_job SET state = 'running', attempt = 1, attempted_at = $1 WHERE id = $2", db.timeArg(time.Now().Add(-since)), id)
	if err != nil {
		t.Fatal(err)
	}
}

func leader(t *testing.T, db *Database) bool {
	t.Helper()
	var n int
	if err := db.queryRow(t.Context(), "SELECT count(*) FROM river_leader").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n > 0
}

func TestAnEventIsNotTakenFromADeliveryThatMayGoOn(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{}
		db := open(t, url)
		config := b.config()
		config.Timeout = 10 * time.Minute
		other := (&backend{}).config()
		other.Name, other.Timeout = "other", time.Second // is River's leader, and less patient
		start(t, db, other)
		eventually(t, "it is the leader", func() bool { return leader(t, db) })
		q := start(t, db, config)
		id := store(t, q, event(1), When{At: time.Now().Add(time.Hour)})
		dead := store(t, q, event(2), When{At: time.Now().Add(time.Hour)})
		leaveRunning(t, db, id, 5*time.Minute)
		leaveRunning(t, db, dead, 20*time.Minute)
		state(t, q, dead, Done)
		expect(t, "sent", b.keys(), []Key{key(2)})
		state(t, q, id, Delivering)
	})
}

func TestNoGoroutineIsLeftBehind(t *testing.T) {
	for _, kind := range kinds { // not in parallel: it looks at all goroutines
		t.Run(kind.name, func(t *testing.T) {
			url := kind.fresh(t)
			b := &backend{}
			before := goroutines()
			for range 2 {
				db, err := Open(t.Context(), url, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				q := started(db.Queue(b.config()))
				ready(t, db)
				if _, err := q.Store(t.Context(), event(1), When{}); err != nil {
					t.Fatal(err)
				}
				seen(t, b, 1)
				expectErr(t, "close", q.Close(), nil)
				expectErr(t, "close of the database", db.Close(), nil)
			}
			eventually(t, "all goroutines have ended", func() bool { return goroutines() <= before })
		})
	}
}

// goroutines returns how many there are of this package and of River.
func goroutines() (n int) {
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	for g := range strings.SplitSeq(string(buf), "\n\n") {
		if strings.Contains(g, "riverqueue") || strings.Contains(g, "pgxpool") || strings.Contains(g, "database/sql") ||
			strings.Contains(g, "queue.(*Queue)") || strings.Contains(g, "queue.(*Database)") {
			n++
		}
	}
	return n
}
