package queue

import (
	"slices"
	"testing"
	"time"
)

func TestAfterAnOutageTheOldestGoFirst(t *testing.T) {
	const events = 200
	onEach(t, func(t *testing.T, url string) {
		b := &backend{down: true}
		patient := normalPace
		patient.hold = time.Hour // however long it takes to store them, the first stays at the gate
		q := started(open(t, url).queue(b.config(), patient))
		defer q.Close()
		var want []Key
		for n := range events {
			store(t, q, event(n), When{})
			want = append(want, key(n))
		}
		seen(t, b, 5)
		expect(t, "taken to be up", q.Reachable(), false)
		b.set(false)
		eventually(t, "all are delivered", func() bool { return q.config.Counts.Delivered.Load() == events })
		attempts := b.attempts()
		tried := len(attempts) - events
		for i := range tried {
			if attempts[i].key != key(0) {
				t.Errorf("while the backend was down, %s was tried and not the oldest", attempts[i].key[:])
			}
		}
		expect(t, "delivered in order", slices.Equal(b.keys()[tried:], want), true)
		for i, s := range attempts {
			if s.attempt != 1 {
				t.Errorf("attempt %d at %s: those that nobody was there to take must not count", s.attempt, attempts[i].key[:])
			}
		}
		expect(t, "taken to be up", q.Reachable(), true)
	})
}

func TestEventsThatGoBackKeepTheirPlaces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		concurrency int
	}{
		{"one at a time", 1},
		{"some at a time", 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, url string) {
				const events = 40
				b := &backend{down: true}
				config := b.config()
				config.Concurrency = c.concurrency
				short := normalPace
				short.hold = time.Second // so that they go back again and again
				q := started(open(t, url).queue(config, short))
				defer q.Close()
				var all []Key
				for n := range events {
					store(t, q, event(n), When{})
					all = append(all, key(n))
				}
				eventually(t, "the first went back some times", func() bool { return snoozes(t, q.db) >= 2*q.workers() })
				b.set(false)
				eventually(t, "all are delivered", func() bool { return q.config.Counts.Delivered.Load() == events })
				// Those in memory when the backend comes back go first, and some are under way at a time; but none is
				// last because it went back.
				const most = events / 2
				for at, k := range b.keys()[len(b.attempts())-events:] {
					if n := slices.IndexFunc(all, func(other Key) bool { return other == k }); n < at-most || n > at+most {
						t.Errorf("event %d was delivered at place %d", n, at)
					}
				}
				for _, s := range b.attempts() {
					expect(t, "attempt", s.attempt, 1)
				}
			})
		})
	}
}

// snoozes returns how often events went back into the database.
func snoozes(t testing.TB, db *Database) (n int) {
	t.Helper()
	if err := db.queryRow(t.Context(), "SELECT coalesce(sum(CAST(metadata ->> 'snoozes' AS integer)), 0) FROM river_job").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestABackendThatIsDownIsTriedWithOneEvent(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{down: true}
		config := b.config()
		config.Concurrency = 8
		config.Retry = []time.Duration{200 * time.Millisecond}
		q := start(t, open(t, url), config)
		for n := range 50 {
			store(t, q, event(n), When{})
		}
		seen(t, b, 20)
		b.set(false)
		attempts := b.attempts()
		// The first ones may all be under way when the first of them finds out.
		for i := config.Concurrency + 1; i < len(attempts); i++ {
			if pause := attempts[i].at.Sub(attempts[i-1].at); pause < 190*time.Millisecond {
				t.Errorf("attempts %d and %d are only %s apart", i-1, i, pause)
			}
		}
		eventually(t, "all are delivered", func() bool { return q.config.Counts.Delivered.Load() == 50 })
	})
}

func TestOnePoisonEventHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		result Result
	}{
		{"it always fails", Result{Failed, "answer 500"}},
		{"it is rejected", Result{Rejected, "answer 422"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, url string) {
				b := &backend{answer: func(d *Delivery, _ int) Result {
					if d.Key == key(0) {
						return c.result
					}
					return Result{Outcome: Delivered}
				}}
				q := start(t, open(t, url), b.config())
				store(t, q, event(0), When{})
				seen(t, b, 1)
				for n := 1; n <= 30; n++ {
					store(t, q, event(n), When{})
				}
				eventually(t, "the others are delivered", func() bool { return q.config.Counts.Delivered.Load() == 30 })
			})
		})
	}
}

func TestOperatorsAreToldOfAnOutageOnce(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		lines := &logged{}
		b := &backend{down: true}
		config := b.config()
		config.Concurrency, config.Logger = 4, lines.logger()
		q := start(t, open(t, url), config)
		for n := range 20 {
			store(t, q, event(n), When{})
		}
		seen(t, b, 10)
		b.set(false)
		eventually(t, "all are delivered", func() bool { return q.config.Counts.Delivered.Load() == 20 })
		expect(t, "lines that it is down", lines.count("taken to be down"), 1)
		expect(t, "lines that it is up", lines.count("up again"), 1)
		expect(t, "lines of River", lines.count("JobExecutor"), 0)
	})
}

func TestAReportOpensAndClosesTheGate(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{}
		config := b.config()
		config.Retry = []time.Duration{time.Hour}
		q := start(t, open(t, url), config)
		q.report(Unreachable)
		expect(t, "taken to be up", q.Reachable(), false)
		id := store(t, q, event(1), When{})
		state(t, q, id, Delivering) // it waits at the gate
		expect(t, "attempts", len(b.attempts()), 0)
		q.report(Delivered)
		state(t, q, id, Done)
	})
}
