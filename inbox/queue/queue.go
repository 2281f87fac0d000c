// Package queue keeps accepted deliveries on disk until a backend has them. It
// is a thin layer over River (github.com/riverqueue/river), which has the jobs,
// their retries and their retention; what a backend needs to see of a delivery
// lies in a table of its own, so that nothing that lists jobs shows it.
//
// It knows neither Caddy nor HTTP.
package queue

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Key tells deliveries apart: two with the same key are one event.
type Key [16]byte

// String returns the key in hexadecimal: what a delivery is called towards
// backends and operators, the same on every gateway.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// ParseKey reads what String has written.
func ParseKey(s string) (k Key, err error) {
	if len(s) != hex.EncodedLen(len(k)) {
		return k, fmt.Errorf("%q is no id of a delivery: it has 32 hexadecimal digits", s)
	}
	_, err = hex.Decode(k[:], []byte(s))
	return k, err
}

// Delivery is one accepted delivery, with all that it takes to make it again.
type Delivery struct {
	Key      Key
	Endpoint string
	Event    string // its name; empty when it is not known
	Received time.Time
	Head     []byte // the request without its body, in the caller's encoding
	Body     []byte
}

func (d *Delivery) size() int64 { return int64(len(d.Head) + len(d.Body)) }

// Outcome is what became of one attempt at a delivery.
type Outcome int

const (
	// Delivered: the backend has it.
	Delivered Outcome = iota
	// Rejected: the backend says that the event is wrong. It is not sent again.
	Rejected
	// Failed: the backend took it, and failed or did not answer.
	Failed
	// Unreachable: there was no backend to take it.
	Unreachable
)

// Result is an outcome with what an operator is told about it. The detail holds
// nothing of the request.
type Result struct {
	Outcome Outcome
	Detail  string
}

// DeliverFunc makes one attempt at a delivery, the first one having the number 1.
// It obeys ctx.
type DeliverFunc func(ctx context.Context, d *Delivery, attempt int) Result

// Config is what a queue is to do.
type Config struct {
	Name           string          // what the queue is called in the database
	Concurrency    int             // deliveries at the same time
	Retry          []time.Duration // pauses between attempts at an event; the last repeats
	GiveUp         time.Duration   // age at which an event that fails is dead
	Timeout        time.Duration   // for one attempt
	Dedupe         time.Duration   // for how long an event is known
	Retention      time.Duration   // for how long the record of a delivered event is kept
	MaxStored      int64           // events that are waiting or dead, at the most
	MaxStoredBytes int64           // what they may take, in bytes
	Deliver        DeliverFunc
	Counts         *Counts
	Logger         *slog.Logger
}

// Counts are what has happened. They can outlive a queue.
type Counts struct {
	Stored    atomic.Int64 // events written to the database
	Delivered atomic.Int64 // stored events that the backend has got
	Dead      atomic.Int64 // stored events that were given up

	Committed func(time.Duration) // is told how long each event took to be on disk
}

var (
	// ErrUnavailable means that the database could not be written.
	ErrUnavailable = errors.New("the inbox's database is not available")
	// ErrFull means that max_stored is reached.
	ErrFull = errors.New("the inbox is full: max_stored is reached")
	// ErrNotFound means that there is no such event.
	ErrNotFound = errors.New("there is no such event")
	// ErrUnderWay means that an event is being delivered right now.
	ErrUnderWay = errors.New("the event is being delivered right now: try again when that has ended")
)

// Queue is one inbox's share of a database: its events, and, once it is started, the
// workers that deliver them. It must be closed.
type Queue struct {
	db     *Database
	config Config
	pace   pace
	gate   *gate
	slots  chan struct{} // one for each delivery under way
	usage  usage
	work   atomic.Pointer[worker]

	starting sync.Once
	started  chan struct{} // closed once it is
	closing  chan struct{}
	loops    sync.WaitGroup
}

// pace is how long things may take.
type pace struct {
	grace  time.Duration // for deliveries under way when a queue is closed
	hold   time.Duration // for an event to wait in memory for a backend that is down
	margin time.Duration // by which a delivery is longer under way than it may be, before its gateway is taken to be gone
	stall  time.Duration // for workers to take nothing though events are due, before they are started again
}

var normalPace = pace{grace: 10 * time.Second, hold: 20 * time.Second, margin: 15 * time.Second, stall: 15 * time.Second}

// Queue returns a queue of the database. It takes events, and delivers none before it
// is started.
func (db *Database) Queue(config Config) *Queue { return db.queue(config, normalPace) }

func (db *Database) queue(config Config, pace pace) *Queue {
	return &Queue{
		db: db, config: config, pace: pace, gate: newGate(config.Retry), slots: make(chan struct{}, config.Concurrency),
		started: make(chan struct{}), closing: make(chan struct{}),
	}
}

// Start lets the queue deliver, as soon as the database is there. Only the first call
// has an effect.
func (q *Queue) Start() {
	q.starting.Do(func() {
		close(q.started)
		q.loops.Go(q.run)
	})
}

// AwaitStart returns once the queue is started. It fails with ErrUnavailable when it is
// closed before, or ctx ends.
func (q *Queue) AwaitStart(ctx context.Context) error {
	select {
	case <-q.started:
	case <-q.closing:
	case <-ctx.Done():
	}
	select {
	case <-q.started: // and perhaps closed by now, but what is stored is delivered by whoever comes next
		return nil
	default:
		return fmt.Errorf("%w: its queue is not started", ErrUnavailable)
	}
}

// run waits for the database, starts the workers and measures the backlog from then
// on.
func (q *Queue) run() {
	select {
	case <-q.db.ready:
	case <-q.closing:
		return
	}
	for {
		w, err := q.startWorker()
		if err == nil {
			q.work.Store(w)
			break
		}
		q.config.Logger.Error("the inbox's workers do not start; trying again", "error", err)
		if !q.pause(restartPause) {
			return
		}
	}
	q.measureLoop()
}

const restartPause = 5 * time.Second

// pause waits, and returns whether the queue is still open.
func (q *Queue) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-q.closing:
		return false
	}
}

// Close lets deliveries that are under way end, for at most ten seconds. What is
// stored stays stored.
func (q *Queue) Close() error {
	close(q.closing)
	q.loops.Wait()
	w := q.work.Load()
	if w == nil {
		return nil
	}
	if err := w.stop(); err != nil {
		return fmt.Errorf("inbox %s: its workers did not stop: %w", q.config.Name, err)
	}
	return nil
}

// Enter says whether an attempt may be made beside the queue. It may not while the
// backend is down and another one is being made. Leave must follow when it may.
func (q *Queue) Enter() (p *Pass, may bool) { return q.gate.enterLive() }

// Linger says that an attempt takes long: another one may be made beside it.
func (q *Queue) Linger(p *Pass) { q.gate.abandon(p) }

// Leave says how an attempt went that was made beside the queue. The pass is what
// Enter has returned, or nil for an attempt that was made all the same.
func (q *Queue) Leave(p *Pass, o Outcome) { q.tell(q.gate.leave(p, o)) }

// Hurry lets a backend that is down be tried now, and not only after the pause that is
// under way.
func (q *Queue) Hurry() { q.gate.hurry() }

// tell tells operators when the backend goes and comes.
func (q *Queue) tell(c change) {
	switch c {
	case closed:
		q.config.Logger.Warn("the backend is taken to be down: events wait, and one of them is tried now and then", "inbox", q.config.Name)
	case opened:
		q.config.Logger.Info("the backend is up again: what has waited is delivered", "inbox", q.config.Name)
	case same:
	}
}

// SharedWithOthers says whether other processes may have the queue's database
// too.
func (q *Queue) SharedWithOthers() bool { return !q.db.sqlite }
