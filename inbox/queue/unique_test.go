package queue

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// storeAgain stores an event that may be known already.
func storeAgain(t testing.TB, q *Queue, d *Delivery) Stored {
	t.Helper()
	ready(t, q.db)
	stored, err := q.Store(t.Context(), d, When{})
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func TestAnEventIsKnown(t *testing.T) {
	t.Parallel()
	answer := func(o Outcome) func(*Delivery, int) Result {
		return func(*Delivery, int) Result { return Result{o, "said so"} }
	}
	for _, c := range []struct {
		name   string
		answer func(*Delivery, int) Result
		when   When
		state  State
	}{
		{"while it waits", nil, When{At: time.Now().Add(time.Hour)}, Waiting},
		{"while its first attempt is under way", nil, When{Tried: true, At: time.Now().Add(time.Hour)}, Waiting},
		{"while it waits for the next attempt", answer(Failed), When{}, Waiting},
		{"when it was stored dead", nil, When{Dead: true, Detail: "answer 422"}, Dead},
		{"when it is dead", answer(Rejected), When{}, Dead},
		{"when it was delivered", answer(Delivered), When{}, Done},
	} {
		t.Run(c.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, url string) {
				b := &backend{answer: c.answer}
				config := b.config()
				config.Retry = []time.Duration{time.Hour}
				q := start(t, open(t, url), config)
				id := store(t, q, event(1), c.when)
				state(t, q, id, c.state)
				again := storeAgain(t, q, event(1))
				expect(t, "stored again", again, Stored{ID: id, Duplicate: true})
				expect(t, "stored", config.Counts.Stored.Load(), 1)
				state(t, q, id, c.state)
			})
		})
	}
}

func TestAnEventIsForgottenAfterDedupe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		first When
		state State
	}{
		{"delivered", When{}, Done},
		{"dead", When{Dead: true}, Dead},
	} {
		t.Run(c.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, url string) {
				b := &backend{}
				db := open(t, url)
				q := start(t, db, b.config())
				first := store(t, q, event(1), c.first)
				state(t, q, first, c.state)
				runSQL(t, db, "UPDATE river_job SET finalized_at = $1 WHERE id = $2", db.timeArg(time.Now().Add(-q.config.Dedupe)), first)
				again := storeAgain(t, q, event(1))
				expect(t, "known", again.Duplicate, false)
				state(t, q, again.ID, Done)
				state(t, q, first, c.state) // is still there
				expect(t, "once more", storeAgain(t, q, event(1)), Stored{ID: again.ID, Duplicate: true})
			})
		})
	}
}

func TestADiscardedEventIsForgotten(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		q := start(t, open(t, url), (&backend{}).config())
		id := store(t, q, event(1), When{Dead: true})
		if err := q.Discard(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		again := storeAgain(t, q, event(1))
		expect(t, "duplicate", again.Duplicate, false)
		state(t, q, again.ID, Done)
	})
}

func TestQueuesOfOneDatabaseAreIndependent(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		db := open(t, url)
		one, other := &backend{}, &backend{}
		config := other.config()
		config.Name = "other"
		q, p := start(t, db, one.config()), start(t, db, config)
		id, idOther := store(t, q, event(1), When{}), store(t, p, event(1), When{})
		state(t, q, id, Done)
		state(t, p, idOther, Done)
		expect(t, "attempts of one", len(one.attempts()), 1)
		expect(t, "attempts of the other", len(other.attempts()), 1)
		events, err := q.List(t.Context(), Filter{}, 10)
		if err != nil || len(events) != 1 || events[0].ID != id {
			t.Errorf("one lists %v %v", events, err)
		}
	})
}

// storeAtOnce stores each event once in each queue, all at the same time, and
// returns how often each was stored.
func storeAtOnce(t *testing.T, events int, queues ...*Queue) []int {
	t.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	times := make([]int, events)
	for i, q := range queues {
		ready(t, q.db)
		for n := range events {
			if i%2 == 1 {
				n = events - 1 - n
			}
			wg.Go(func() {
				stored, err := q.Store(context.Background(), event(n), When{})
				for try := 0; errors.Is(err, ErrUnavailable) && try < 20; try++ { // as K-LINK does it
					stored, err = q.Store(context.Background(), event(n), When{})
				}
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Errorf("event %d: %v", n, err)
				} else if !stored.Duplicate {
					times[n]++
				}
			})
		}
	}
	wg.Wait()
	return times
}

func TestConcurrentCopiesAreOneEvent(t *testing.T) {
	t.Parallel()
	const events = 200
	for _, c := range []struct {
		name     string
		handles  int
		onServer bool
	}{
		{"one gateway", 1, false},
		{"two gateways", 2, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, url string) {
				if c.onServer && url[0] == 's' {
					t.Skip("an SQLite file is one gateway's")
				}
				b := &backend{}
				config := b.config()
				config.Concurrency = 8
				var queues []*Queue
				for range c.handles {
					q := start(t, open(t, url), config)
					queues = append(queues, q, q, q)
				}
				for n, times := range storeAtOnce(t, events, queues...) {
					if times > 1 {
						t.Errorf("event %d was stored %d times", n, times)
					}
				}
				var rows int
				if err := queues[0].db.queryRow(t.Context(), "SELECT count(*) FROM river_job").Scan(&rows); err != nil {
					t.Fatal(err)
				}
				expect(t, "jobs", rows, events)
				seen(t, b, events)
				eventually(t, "nothing is left", func() bool { return payloads(t, queues[0].db) == 0 })
				expect(t, "attempts", len(b.attempts()), events)
			})
		})
	}
}

func TestCopiesInOneTransactionAreOneEvent(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		db := open(t, url)
		q := start(t, db, (&backend{}).config())
		known := store(t, q, event(0), When{At: time.Now().Add(time.Hour)})
		var batch []*write
		for _, n := range []int{2, 1, 2, 0, 1, 2} {
			batch = append(batch, &write{insertion: &insertion{delivery: event(n), queue: "test", dedupe: time.Hour}})
		}
		if err := db.commitBatch(batch); err != nil {
			t.Fatal(err)
		}
		two, one := batch[0].insertion.stored.ID, batch[1].insertion.stored.ID
		for i, want := range []Stored{{two, false}, {one, false}, {two, true}, {known, true}, {one, true}, {two, true}} {
			expect(t, "stored", batch[i].insertion.stored, want)
		}
	})
}

func TestATransactionThatWasCommittedUnheardMayBeTriedAgain(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		db := open(t, url)
		q := start(t, db, (&backend{}).config())
		known := store(t, q, event(0), When{At: time.Now().Add(time.Hour)})
		var batch []*write
		for n := range 3 {
			in := &insertion{delivery: event(n), queue: "test", dedupe: time.Hour, when: When{At: time.Now().Add(time.Hour)}}
			batch = append(batch, &write{insertion: in})
		}
		for range 2 {
			if err := db.commitBatch(batch); err != nil {
				t.Fatal(err)
			}
			expect(t, "one that was known", batch[0].insertion.stored, Stored{known, true})
			expect(t, "one that was not", batch[1].insertion.stored.Duplicate, false)
			expect(t, "another one", batch[2].insertion.stored.Duplicate, false)
			expect(t, "payloads", payloads(t, db), 3)
		}
	})
}
