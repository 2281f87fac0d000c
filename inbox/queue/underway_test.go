package queue

import (
	"testing"
	"time"
)

// firstGoesOn is how an event is stored whose first attempt goes on.
func firstGoesOn(d time.Duration) When { return When{Tried: true, At: time.Now().Add(d)} }

func TestAnEventWhoseFirstAttemptSucceedsIsNotSentAgain(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{}
		db := open(t, url)
		q := start(t, db, b.config())
		id := store(t, q, event(1), firstGoesOn(time.Second))
		if err := q.Finish(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		e := state(t, q, id, Done)
		expect(t, "attempts noted", e.Attempts, 1)
		expect(t, "delivered", q.config.Counts.Delivered.Load(), 1)
		expect(t, "payloads", payloads(t, db), 0)
		later := store(t, q, event(2), When{At: time.Now().Add(2 * time.Second)})
		state(t, q, later, Done)
		expect(t, "sent", b.keys(), []Key{key(2)})
	})
}

func TestAnEventWhoseFirstAttemptFailsIsSentLater(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{}
		q := start(t, open(t, url), b.config())
		id := store(t, q, event(1), firstGoesOn(time.Hour))
		if err := q.Release(t.Context(), id, When{At: time.Now(), Detail: "answer 503"}); err != nil {
			t.Fatal(err)
		}
		e := state(t, q, id, Done)
		expect(t, "attempt", b.attempts()[0].attempt, 2)
		expect(t, "attempts noted", e.Attempts, 2)
		expect(t, "failure", e.Failures[0].Detail, "answer 503")
	})
}

func TestAnEventThatIsRejectedAtFirstIsDead(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{}
		q := start(t, open(t, url), b.config())
		id := store(t, q, event(1), firstGoesOn(time.Hour))
		if err := q.Release(t.Context(), id, When{Dead: true, Detail: "answer 422"}); err != nil {
			t.Fatal(err)
		}
		e := state(t, q, id, Dead)
		expect(t, "failure", e.Failures[0].Detail, "answer 422")
		expect(t, "dead", q.config.Counts.Dead.Load(), 1)
		eventually(t, "it is dead in the backlog", func() bool { return q.Backlog().Dead == 1 })
		if err := q.Retry(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		state(t, q, id, Done)
		expect(t, "attempt", b.attempts()[0].attempt, 2)
	})
}

func TestWhenNobodyTellsHowTheFirstAttemptWentItIsSent(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{}
		q := start(t, open(t, url), b.config())
		until := time.Now().Add(700 * time.Millisecond)
		id := store(t, q, event(1), When{Tried: true, At: until})
		state(t, q, id, Done)
		s := b.attempts()[0]
		expect(t, "attempt", s.attempt, 2)
		expect(t, "not before", s.at.Before(until.Truncate(time.Millisecond)), false)
		expectErr(t, "finished after that", q.Finish(t.Context(), id), nil)
		expectErr(t, "released after that", q.Release(t.Context(), id, When{At: time.Now(), Detail: "late"}), nil)
		state(t, q, id, Done)
		expect(t, "counted", q.config.Counts.Delivered.Load(), 1)
	})
}

func TestWhileTheFirstAttemptGoesOnAnEventIsLeftAlone(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{}
		db := open(t, url)
		q := start(t, db, b.config())
		id := store(t, q, event(1), firstGoesOn(4*time.Second))
		expectErr(t, "retry", q.Retry(t.Context(), id), ErrUnderWay)
		expectErr(t, "discard", q.Discard(t.Context(), id), ErrUnderWay)
		if err := db.engine.retry(t.Context(), id); err != nil { // as River's page does
			t.Fatal(err)
		}
		eventually(t, "the queue had it and put it back", func() bool { return snoozes(t, db) > 0 })
		expect(t, "sent", len(b.attempts()), 0)
		expectErr(t, "retry of what was put back", q.Retry(t.Context(), id), ErrUnderWay)
		if err := q.Release(t.Context(), id, When{At: time.Now(), Detail: "answer 503"}); err != nil {
			t.Fatal(err)
		}
		state(t, q, id, Done)
		expect(t, "attempt", b.attempts()[0].attempt, 2)
	})
}

func TestAFirstAttemptThatFailedIsNotUnderWay(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{}
		q := start(t, open(t, url), b.config())
		id := store(t, q, event(1), When{Tried: true, At: time.Now().Add(time.Hour), Detail: "answer 500"})
		e := state(t, q, id, Waiting)
		expect(t, "failure", e.Failures[0].Detail, "answer 500")
		if err := q.Retry(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		state(t, q, id, Done)
		expect(t, "attempt", b.attempts()[0].attempt, 2)
	})
}

func TestReleaseOfADiscardedEventIsNoError(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		q := start(t, open(t, url), (&backend{}).config())
		ready(t, q.db)
		expectErr(t, "release", q.Release(t.Context(), 12345, When{At: time.Now()}), nil)
	})
}

func TestAnEventThatIsFinishedWhileTheQueueHasItIsNotSent(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{}
		config := b.config()
		config.Retry = []time.Duration{time.Hour}
		q := start(t, open(t, url), config)
		q.report(Unreachable)
		id := store(t, q, event(1), When{})
		state(t, q, id, Delivering) // it waits at the gate
		if err := q.Finish(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		state(t, q, id, Done)
		q.report(Delivered)
		eventually(t, "it counts as delivered", func() bool { return config.Counts.Delivered.Load() == 1 })
		expect(t, "attempts", len(b.attempts()), 0)
	})
}
