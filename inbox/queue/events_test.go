package queue

import (
	"testing"
	"time"
)

func TestList(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{answer: func(d *Delivery, _ int) Result {
			if d.Event == "message.failed" {
				return Result{Rejected, "answer 422"}
			}
			return Result{Outcome: Delivered}
		}}
		db := open(t, url)
		q := start(t, db, b.config())
		other := (&backend{}).config()
		other.Name = "other"
		store(t, start(t, db, other), event(1), When{})
		add := func(n int, name string, age time.Duration, when When, want State) int64 {
			d := event(n)
			d.Event, d.Received = name, time.Now().Add(-age)
			id := store(t, q, d, when)
			state(t, q, id, want)
			return id
		}
		later := When{At: time.Now().Add(time.Hour)}
		one := add(1, "message.inbound", 0, When{}, Done)
		two := add(2, "message.failed", time.Minute, When{}, Dead)
		three := add(3, "", 30*time.Minute, later, Waiting)
		four := add(4, "message.inbound", 2*time.Minute, later, Waiting)
		five := add(5, "it's \"quoted\"", 0, When{Dead: true, Detail: "answer 400"}, Dead)

		for _, c := range []struct {
			name   string
			filter Filter
			limit  int
			want   []int64
		}{
			{"all", Filter{}, 100, []int64{one, two, three, four, five}},
			{"the first", Filter{}, 2, []int64{one, two}},
			{"one at least", Filter{}, 0, []int64{one}},
			{"backward", Filter{Backward: true}, 2, []int64{five, four}},
			{"the next page", Filter{After: two}, 2, []int64{three, four}},
			{"the next page backward", Filter{After: four, Backward: true}, 2, []int64{three, two}},
			{"after the last", Filter{After: five}, 2, nil},
			{"waiting", Filter{States: []State{Waiting}}, 100, []int64{three, four}},
			{"dead", Filter{States: []State{Dead}}, 100, []int64{two, five}},
			{"delivered or dead", Filter{States: []State{Done, Dead}}, 100, []int64{one, two, five}},
			{"being delivered", Filter{States: []State{Delivering}}, 100, nil},
			{"by event", Filter{Event: "message.inbound"}, 100, []int64{one, four}},
			{"by event, quoted", Filter{Event: "it's \"quoted\""}, 100, []int64{five}},
			{"by event, which no event is called", Filter{Event: "\x00"}, 100, nil},
			{"by key", Filter{Key: new(event(3).Key)}, 100, []int64{three}},
			{"by event and state", Filter{Event: "message.inbound", States: []State{Waiting}}, 100, []int64{four}},
			{"older than", Filter{MinAge: 90 * time.Second}, 100, []int64{three, four}},
			{"all together", Filter{MinAge: 90 * time.Second, States: []State{Waiting}, Event: "message.inbound", After: three}, 100, []int64{four}},
		} {
			events, err := q.List(t.Context(), c.filter, c.limit)
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			var got []int64
			for _, e := range events {
				got = append(got, e.ID)
			}
			expect(t, c.name, got, c.want)
		}
		row, err := q.find(t.Context(), five)
		if err != nil || row.ScheduledAt.After(time.Now()) {
			t.Errorf("the dead event is to be delivered at %v (%v)", row.ScheduledAt, err)
		}
	})
}

func TestGet(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		q := start(t, open(t, url), (&backend{}).config())
		next := time.Now().Add(time.Hour).Truncate(time.Second)
		id := store(t, q, event(1), When{At: next, Tried: true, Detail: "answer 503"})
		e, d, err := q.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		want := event(1)
		expect(t, "key", e.Key, want.Key)
		expect(t, "state", e.State, Waiting)
		expect(t, "endpoint", e.Endpoint, want.Endpoint)
		expect(t, "event", e.Event, want.Event)
		expect(t, "size", e.Size, want.size())
		expect(t, "next", e.Next.UTC(), next.UTC())
		expect(t, "ended", e.Ended.IsZero(), true)
		expect(t, "attempts", e.Attempts, 1)
		expect(t, "failure", e.Failures[0].Detail, "answer 503")
		expect(t, "head", string(d.Head), string(want.Head))
		expect(t, "body", string(d.Body), string(want.Body))

		id = store(t, q, event(2), When{})
		e = state(t, q, id, Done)
		expect(t, "ended, once it was delivered", e.Ended.IsZero(), false)
		expect(t, "next, once it was delivered", e.Next.IsZero(), true)
		if _, d, err = q.Get(t.Context(), id); d != nil || err != nil {
			t.Errorf("what was delivered is still kept: %v %v", d, err)
		}
		_, _, err = q.Get(t.Context(), 1<<40)
		expectErr(t, "no such event", err, ErrNotFound)
	})
}

func TestNextOfAnEventThatWentBackIsNotLongAgo(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{down: true}
		config := b.config()
		config.Retry = []time.Duration{time.Hour}
		db := open(t, url)
		q := started(db.Queue(config))
		id := store(t, q, event(1), When{})
		seen(t, b, 1)
		expectErr(t, "close", q.Close(), nil) // it goes back
		e, _, err := q.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "state", e.State, Waiting)
		expect(t, "next before it was received", e.Next.Before(e.Received), false)
	})
}

func TestWhatBelongsToNoJobIsSwept(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		db := open(t, url)
		b := &backend{}
		q := start(t, db, b.config())
		later := When{At: time.Now().Add(time.Hour)}
		kept, dead := store(t, q, event(1), later), store(t, q, event(2), When{Dead: true})
		gone, cancelled := store(t, q, event(3), later), store(t, q, event(4), later)
		runSQL(t, db, "DELETE FROM river_job WHERE id = $1", gone) // as River does at the end of a retention
		runSQL(t, db, "UPDATE river_job SET state = 'cancelled', finalized_at = $1 WHERE id = $2", db.timeArg(time.Now()), cancelled)
		if err := db.sweep(); err != nil {
			t.Fatal(err)
		}
		expect(t, "payloads", payloads(t, db), 2)
		for id, want := range map[int64]bool{kept: true, dead: true, cancelled: false} {
			_, d, err := q.Get(t.Context(), id)
			if err != nil || (d != nil) != want {
				t.Errorf("event %d: %v %v, want that it is kept: %t", id, d, err, want)
			}
		}
		state(t, q, cancelled, Discarded)
		expectErr(t, "retry of what is gone", q.Retry(t.Context(), cancelled), errGone)
		if err := db.engine.retry(t.Context(), cancelled); err != nil { // as River's page does
			t.Fatal(err)
		}
		eventually(t, "it is cancelled again", func() bool {
			e, _, err := q.Get(t.Context(), cancelled)
			return err == nil && e.State == Discarded && len(e.Failures) == 1
		})
		expect(t, "delivered", q.config.Counts.Delivered.Load(), 0)
	})
}

func runSQL(t *testing.T, db *Database, statement string, args ...any) {
	t.Helper()
	if err := db.exec(t.Context(), db.engine.executor(), statement, args...); err != nil {
		t.Fatal(err)
	}
}

func TestRecordsAreDeletedAtTheEndOfTheirQueuesRetention(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		db := open(t, url)
		config := (&backend{}).config()
		config.Retention = 2 * time.Hour
		q := start(t, db, config)
		config.Name, config.Retention = "longer", 4*time.Hour
		longer := start(t, db, config)
		age := func(q *Queue, n int, age time.Duration, when When, want State) int64 {
			id := store(t, q, event(n), when)
			state(t, q, id, want)
			runSQL(t, db, "UPDATE river_job SET finalized_at = $1 WHERE id = $2", db.timeArg(time.Now().Add(-age)), id)
			return id
		}
		dead := When{Dead: true}
		for _, c := range []struct {
			name string
			q    *Queue
			id   int64
			kept bool
		}{
			{"delivered long ago", q, age(q, 1, 3*time.Hour, When{}, Done), false},
			{"delivered lately", q, age(q, 2, time.Hour, When{}, Done), true},
			{"dead for long", q, age(q, 3, 100*time.Hour, dead, Dead), true},
			{"of a queue that keeps them longer", longer, age(longer, 1, 3*time.Hour, When{}, Done), true},
			{"delivered longer ago", longer, age(longer, 2, 5*time.Hour, When{}, Done), false},
		} {
			if err := c.q.retire(); err != nil {
				t.Fatal(err)
			}
			_, _, err := c.q.Get(t.Context(), c.id)
			expect(t, c.name+": kept", err == nil, c.kept)
		}
	})
}
