package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

func TestAFullDiskIsNoLoss(t *testing.T) {
	t.Parallel()
	b := &backend{down: true}
	db := open(t, freshSQLite(t))
	q := start(t, db, b.config())
	ready(t, db)
	var pages int
	if err := db.queryRow(t.Context(), "PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	stored := 0
	eventually(t, "the disk is full", func() bool {
		runSQL(t, db, fmt.Sprint("PRAGMA max_page_count = ", pages+20)) // SQLite then says so; it is forgotten with the connection
		d := event(stored)
		d.Body = []byte(strings.Repeat("x", 10000))
		_, err := q.Store(t.Context(), d, When{})
		if err == nil {
			stored++
		} else if !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		return err != nil
	})
	b.set(false)
	runSQL(t, db, "PRAGMA max_page_count = 1000000")
	eventually(t, "all that was stored is delivered", func() bool { return q.config.Counts.Delivered.Load() == int64(stored) })
	store(t, q, event(stored+1), When{})
	seen(t, b, stored+1)
}

func TestADatabaseThatIsLockedIsNoLoss(t *testing.T) {
	t.Parallel()
	url := freshSQLite(t)
	b := &backend{}
	db := open(t, url)
	q := start(t, db, b.config())
	store(t, q, event(1), When{})
	seen(t, b, 1)
	unlock := lockFile(t, strings.TrimPrefix(url, "sqlite://"))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := q.Store(ctx, event(2), When{})
	expectErr(t, "while it is locked", err, ErrUnavailable)
	unlock()
	storeAgain(t, q, event(2)) // as K-LINK sends it again
	eventually(t, "both are delivered", func() bool { return q.config.Counts.Delivered.Load() == 2 })
	expect(t, "attempts", len(b.attempts()), 2)
}

// lockFile locks an SQLite file as another program can that looks at it.
func lockFile(t *testing.T, path string) (unlock func()) {
	t.Helper()
	other, err := sql.Open("sqlite", "file:"+strings.ReplaceAll(path, "%", "%25")+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	tx, err := other.Begin()
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(tx.Rollback(), other.Close()); err != nil {
			t.Error(err)
		}
	}
}

func TestAServerThatRestartsAmidDeliveriesIsNoLoss(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start(t)
	b := &backend{}
	config := b.config()
	config.Concurrency = 4
	config.Deliver = func(ctx context.Context, d *Delivery, attempt int) Result {
		time.Sleep(5 * time.Millisecond)
		return b.deliver(ctx, d, attempt)
	}
	q := start(t, open(t, s.url("klink", serverPassword, "postgres")), config)
	const events = 200
	for n := range events {
		store(t, q, event(n), When{})
	}
	seen(t, b, 20)
	s.stop(t)
	s.start(t)
	eventually(t, "all are delivered", func() bool { return q.config.Counts.Delivered.Load() >= events })
	times := map[Key]int{}
	for _, k := range b.keys() {
		times[k]++
	}
	expect(t, "events", len(times), events)
	expect(t, "attempts", len(b.attempts()), events) // what was under way is noted when the server is back
}

func TestAStoreAfterAServersRestartSucceeds(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start(t)
	q := start(t, open(t, s.url("klink", serverPassword, "postgres")), (&backend{}).config())
	store(t, q, event(1), When{})
	s.stop(t)
	s.start(t)
	store(t, q, event(2), When{}) // though the connections that it had are broken
}

func TestWorkersThatTakeNothingAreStartedAgain(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{}
		lines := &logged{}
		config := b.config()
		config.Logger = lines.logger()
		quick := normalPace
		quick.stall = 500 * time.Millisecond
		q := started(open(t, url).queue(config, quick))
		defer q.Close()
		eventually(t, "there are workers", func() bool { return q.work.Load() != nil })
		if err := q.work.Load().client.Stop(t.Context()); err != nil { // as when a connection breaks at the wrong moment
			t.Fatal(err)
		}
		state(t, q, store(t, q, event(1), When{}), Done)
		expect(t, "lines", lines.count("take none"), 1)
	})
}

func TestWhatIsStoredInTheEndIsNoError(t *testing.T) {
	t.Parallel()
	url := freshSQLite(t)
	b := &backend{}
	q := start(t, open(t, url), b.config())
	store(t, q, event(1), When{})
	seen(t, b, 1)
	time.AfterFunc(time.Second, lockFile(t, strings.TrimPrefix(url, "sqlite://")))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := q.Store(ctx, event(2), When{})
	expectErr(t, "while it is locked for a while", err, nil)
	seen(t, b, 2)
}

func TestADeliveryIsNotedHoweverLongTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := &Database{ready: make(chan struct{}), writes: make(chan *write), closing: make(chan struct{})}
		q := &Queue{db: db, config: (&backend{}).config(), closing: make(chan struct{})}
		var noted atomic.Int64
		go func() {
			time.Sleep(time.Hour)
			close(db.ready)
			w := <-db.writes
			noted.Store(w.delivered)
			w.done <- nil
		}()
		j := &river.Job[job]{JobRow: &rivertype.JobRow{ID: 7}}
		expectErr(t, "settle", q.settle(t.Context(), j, event(1), Result{Outcome: Delivered}), nil)
		expect(t, "noted", noted.Load(), 7)
	})
}

func TestAnEventWhoseAttemptsAreUsedUpIsDead(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{answer: func(*Delivery, int) Result { return Result{Failed, "status 500"} }}
		db := open(t, url)
		q := start(t, db, b.config())
		id := store(t, q, event(1), When{At: time.Now().Add(time.Hour)})
		runSQL(t, db, "UPDATE river_job SET max_attempts = 2")
		if err := q.Retry(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		state(t, q, id, Dead)
		expect(t, "attempts", len(b.attempts()), 2)
		expect(t, "dead", q.config.Counts.Dead.Load(), 1)
		eventually(t, "it is dead in the backlog", func() bool { return q.Backlog().Dead == 1 && q.Backlog().Waiting == 0 })
	})
}
