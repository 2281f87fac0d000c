package queue

import (
	"context"
	"sync"
	"time"

	"github.com/riverqueue/river/riverdriver"
)

const (
	measureInterval = time.Second
	measureTimeout  = 10 * time.Second
	// longestMeasurePause is for when a measurement took long because the database
	// was busy with something else.
	longestMeasurePause = 10 * time.Second
	// warnAt is the part of max_stored above which operators are warned.
	warnAt = 0.8
	// retireAtOnce is how many records are deleted with one statement.
	retireAtOnce = 1000
)

// Backlog is what a queue holds.
type Backlog struct {
	Waiting int64     // events that are to be delivered
	Dead    int64     // events that were given up
	Bytes   int64     // what both take
	Oldest  time.Time // when the oldest that is waiting came; zero when none is
}

// usage is the backlog as it was measured last, and what has happened to it
// since.
type usage struct {
	mu      sync.Mutex
	backlog Backlog
	stored  Backlog // since the measurement began that is under way
	warned  bool
}

func (b *Backlog) add(dead bool, events, bytes int64) {
	if dead {
		b.Dead += events
	} else {
		b.Waiting += events
	}
	b.Bytes += bytes
}

func (u *usage) add(dead bool, events, bytes int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.backlog.add(dead, events, bytes)
	if events > 0 {
		u.stored.add(dead, events, bytes)
	}
}

// begin notes that a measurement begins.
func (u *usage) begin() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stored = Backlog{}
}

// fits says whether there is room for another event of that size.
func (u *usage) fits(size int64, c *Config) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.backlog.Waiting+u.backlog.Dead < c.MaxStored && u.backlog.Bytes+size <= c.MaxStoredBytes
}

// set takes over a measurement and returns whether it is the first one above
// warnAt. What was stored meanwhile may be in it or not, and is counted again
// rather than not at all.
func (u *usage) set(b Backlog, c *Config) (warn bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.backlog = b
	u.backlog.Waiting += u.stored.Waiting
	u.backlog.Dead += u.stored.Dead
	u.backlog.Bytes += u.stored.Bytes
	nearly := float64(b.Waiting+b.Dead) > warnAt*float64(c.MaxStored) || float64(b.Bytes) > warnAt*float64(c.MaxStoredBytes)
	warn = nearly && !u.warned
	u.warned = nearly
	return warn
}

// Backlog returns what the queue held when that was measured last, about a second
// ago.
func (q *Queue) Backlog() Backlog {
	q.usage.mu.Lock()
	defer q.usage.mu.Unlock()
	return q.usage.backlog
}

// Reachable says whether the backend is taken to be up.
func (q *Queue) Reachable() bool { return q.gate.open() }

// measureLoop measures the backlog until the queue is closed, and deletes records
// that have become old. A long backlog takes a while to count, and is counted less
// often.
func (q *Queue) measureLoop() {
	var retired time.Time
	for {
		began := time.Now()
		if began.Sub(retired) > sweepInterval {
			retired = began
			if err := q.retire(); err != nil {
				q.config.Logger.Error("old records cannot be deleted from the inbox's database", "inbox", q.config.Name, "error", err)
			}
		}
		q.db.checkFile()
		if err := q.measure(); err != nil {
			q.config.Logger.Error("the inbox's backlog cannot be measured", "inbox", q.config.Name, "error", err)
		}
		q.watch()
		if !q.pause(min(max(measureInterval, 20*time.Since(began)), longestMeasurePause)) {
			return
		}
	}
}

func (q *Queue) measure() error {
	ctx, cancel := context.WithTimeout(context.Background(), measureTimeout)
	defer cancel()
	q.usage.begin()
	row := q.db.queryRow(ctx, `SELECT count(*) FILTER (WHERE NOT dead), count(*) FILTER (WHERE dead),
		CAST(coalesce(sum(size), 0) AS bigint), coalesce(min(received) FILTER (WHERE NOT dead), 0)
		FROM klink_inbox_payload WHERE queue = $1`, q.config.Name)
	var b Backlog
	var oldest int64
	if err := row.Scan(&b.Waiting, &b.Dead, &b.Bytes, &oldest); err != nil {
		return err
	}
	if oldest > 0 {
		b.Oldest = time.UnixMilli(oldest)
	}
	if q.usage.set(b, &q.config) {
		q.config.Logger.Warn("the inbox is nearly full; once it is, deliveries are refused and K-LINK counts errors: mend the backend, discard dead events, or raise max_stored",
			"inbox", q.config.Name, "waiting", b.Waiting, "dead", b.Dead, "bytes", b.Bytes,
			"max_stored", q.config.MaxStored, "max_stored_bytes", q.config.MaxStoredBytes)
	}
	return nil
}

// retire deletes the records of events that were delivered or discarded, at the
// end of their retention. They are needed for as long as an event is known.
func (q *Queue) retire() error {
	ctx, cancel := context.WithTimeout(context.Background(), sweepTimeout)
	defer cancel()
	before := time.Now().Add(-max(q.config.Retention, q.config.Dedupe))
	for {
		n, err := q.db.engine.executor().JobDeleteBefore(ctx, &riverdriver.JobDeleteBeforeParams{
			CancelledDoDelete: true, CancelledFinalizedAtHorizon: before,
			CompletedDoDelete: true, CompletedFinalizedAtHorizon: before,
			Max: retireAtOnce, QueuesIncluded: []string{q.config.Name},
		})
		if err != nil || n < retireAtOnce || q.isClosing() {
			return err
		}
	}
}
