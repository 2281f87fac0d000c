package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

const (
	// fetchCooldown bounds how fast a backlog drains: concurrency events each time.
	fetchCooldown = 2 * time.Millisecond
	// fetchPoll is how long an event waits at the most when the database does not
	// tell of it.
	fetchPoll     = 250 * time.Millisecond
	recordTimeout = 30 * time.Second
)

// worker delivers a queue's events.
type worker struct {
	river.WorkerDefaults[job]
	queue  *Queue
	client riverWorker
	busy   atomic.Int64 // events that it has
	last   atomic.Int64 // when it had one, or was started, in nanoseconds of Unix time
}

func (q *Queue) startWorker() (*worker, error) {
	w := &worker{queue: q}
	w.last.Store(time.Now().UnixNano())
	workers := river.NewWorkers()
	river.AddWorker(workers, w)
	client, err := q.db.engine.worker(&river.Config{
		// River's leader cleans up for all queues, whatever each of them wants: retire does it.
		CompletedJobRetentionPeriod: -1,
		CancelledJobRetentionPeriod: -1,
		DiscardedJobRetentionPeriod: -1,
		FetchCooldown:               fetchCooldown,
		FetchPollInterval:           fetchPoll,
		JobTimeout:                  -1, // Timeout says
		Logger:                      warnings(q.config.Logger),
		Queues:                      map[string]river.QueueConfig{q.config.Name: {MaxWorkers: q.workers()}},
		RescueStuckJobsAfter:        q.patience(0), // of those, Timeout says which
		SoftStopTimeout:             q.pace.grace,
		Workers:                     workers,
	})
	if err != nil {
		return nil, err
	}
	w.client = client
	return w, client.Start(context.Background())
}

// workers are twice as many as deliveries at the same time: while some are under
// way, the next ones come from the database, and what became of others goes there.
func (q *Queue) workers() int {
	if q.config.Concurrency == 1 {
		return 1 // for who wants them in order
	}
	return 2 * q.config.Concurrency
}

func (w *worker) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), w.queue.pace.grace+recordTimeout)
	defer cancel()
	return w.client.Stop(ctx)
}

// patience is for how long an event can be under way.
func (q *Queue) patience(timeout time.Duration) time.Duration {
	return q.pace.hold + timeout + q.pace.margin
}

// Timeout implements river.Worker. River's leader asks, which may be another
// queue's, when it looks for jobs whose worker has died: it must be positive, or
// they stay where they are for good.
func (w *worker) Timeout(j *river.Job[job]) time.Duration {
	timeout := time.Duration(j.Args.Timeout) * time.Millisecond
	if j.Queue == w.queue.config.Name {
		timeout = max(timeout, w.queue.config.Timeout) // it may have changed since
	}
	return w.queue.patience(timeout)
}

// NextRetry implements river.Worker. An attempt that ends because the queue is
// closed is no reason to wait.
func (w *worker) NextRetry(j *river.Job[job]) time.Time {
	if w.queue.isClosing() {
		return time.Now()
	}
	return time.Now().Add(pauseAt(w.queue.config.Retry, j.Attempt-1))
}

func (q *Queue) isClosing() bool {
	select {
	case <-q.closing:
		return true
	default:
		return false
	}
}

// Work implements river.Worker: it makes one attempt at an event, and more while
// there is no backend to take it.
func (w *worker) Work(ctx context.Context, j *river.Job[job]) error {
	q := w.queue
	w.busy.Add(1)
	defer func() {
		w.last.Store(time.Now().UnixNano())
		w.busy.Add(-1)
	}()
	if wait := time.Until(firstAttempt(j.JobRow, j.Args)); wait > 0 {
		return river.JobSnooze(wait)
	}
	hold := time.Now().Add(q.pace.hold)
	for {
		d, result, err := q.attemptInTurn(ctx, j, hold)
		if err != nil || d == nil {
			return err
		}
		if result.Outcome != Unreachable || q.expired(d) {
			return q.settle(ctx, j, d, result)
		}
	}
}

// attemptInTurn makes one attempt when there is a slot for it, and the gate is
// open.
func (q *Queue) attemptInTurn(ctx context.Context, j *river.Job[job], hold time.Time) (*Delivery, Result, error) {
	waiting, letGo := context.WithCancel(ctx)
	defer letGo()
	q.db.held.Store(j.ID, letGo)
	pass := q.takeTurn(waiting, j.ID, hold)
	if pass != nil {
		defer func() { <-q.slots }()
	}
	if _, still := q.db.held.LoadAndDelete(j.ID); !still {
		<-waiting.Done() // giveUpHeld has it
		q.gate.abandon(pass)
		pass = nil
	}
	if pass == nil {
		return nil, Result{}, backInPlace(j) // without effect on one that was discarded
	}
	return q.attempt(ctx, j, pass)
}

// takeTurn waits for a slot, and then at the gate. It returns nil, and keeps no slot,
// when the event is to go back into the database.
func (q *Queue) takeTurn(ctx context.Context, id int64, hold time.Time) *Pass {
	if !q.takeSlot(ctx, hold) {
		return nil
	}
	pass := q.gate.enter(ctx, q.closing, id, hold)
	if pass == nil {
		<-q.slots
	}
	return pass
}

// takeSlot waits for a slot. It returns false when the event is to go back into the
// database: after hold, or a little later when the backend is up, since then its
// turn is near.
func (q *Queue) takeSlot(ctx context.Context, hold time.Time) bool {
	for late := false; ; {
		timer := time.NewTimer(time.Until(hold))
		select {
		case q.slots <- struct{}{}:
			timer.Stop()
			return true
		case <-timer.C:
			if late || q.gate.goBack() {
				return false
			}
			hold, late = hold.Add(q.pace.margin/3), true
		case <-q.closing:
			timer.Stop()
			return false
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// firstAttempt returns until when the first attempt at an event may be under way
// that was stored in the middle of it; the zero time when that has ended. Nobody
// takes an event before that, but for River's own page.
func firstAttempt(row *rivertype.JobRow, args job) time.Time {
	tried := row.Attempt
	if row.State == rivertype.JobStateRunning {
		tried-- // this one counts already
	}
	if tried != 1 || len(row.Errors) > 0 || args.Until == 0 {
		return time.Time{}
	}
	return time.UnixMilli(args.Until)
}

// attempt makes one attempt. The delivery is nil when there is none to be made.
func (q *Queue) attempt(ctx context.Context, j *river.Job[job], p *Pass) (*Delivery, Result, error) {
	defer q.gate.abandon(p) // without effect once it has left; Deliver may panic
	d, err := q.load(ctx, j)
	if err != nil {
		return nil, Result{}, err
	}
	if d == nil { // a first attempt, or a gateway that died, has delivered it
		q.config.Counts.Delivered.Add(1)
		return nil, Result{}, nil
	}
	deliverCtx, cancel := context.WithTimeout(ctx, q.config.Timeout)
	defer cancel()
	result := q.config.Deliver(deliverCtx, d, j.Attempt)
	if ctx.Err() != nil && result.Outcome != Delivered { // reverse_proxy answers 499 then
		return d, Result{Failed, "it was cut off: " + context.Cause(ctx).Error()}, nil // which says nothing about the backend
	}
	q.tell(q.gate.leave(p, result.Outcome))
	return d, result, nil
}

// load returns what is to be sent; nil when the event was delivered before. An
// event that was discarded on River's page, and then retried there, is cancelled
// again if what was to be sent is gone.
func (q *Queue) load(ctx context.Context, j *river.Job[job]) (*Delivery, error) {
	key, err := ParseKey(j.Args.Key)
	if err != nil {
		return nil, err
	}
	d := &Delivery{Key: key, Endpoint: j.Args.Endpoint, Event: j.Args.Event, Received: time.UnixMilli(j.Args.Received)}
	row := q.db.queryRow(ctx, "SELECT head, body FROM klink_inbox_payload WHERE job_id = $1", j.ID)
	err = row.Scan(&d.Head, &d.Body)
	switch {
	case noRows(err) && len(j.UniqueKey) == 0:
		return nil, river.JobCancel(errGone)
	case noRows(err):
		return nil, nil
	}
	return d, err
}

func noRows(err error) bool { return errors.Is(err, sql.ErrNoRows) || errors.Is(err, pgx.ErrNoRows) }

func (q *Queue) expired(d *Delivery) bool { return time.Since(d.Received) >= q.config.GiveUp }

// settle makes of the result of an attempt what River is to do with the job.
func (q *Queue) settle(ctx context.Context, j *river.Job[job], d *Delivery, result Result) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	switch {
	case result.Outcome == Delivered:
		return q.delivered(j, d)
	case result.Outcome == Rejected || q.expired(d) || j.Attempt >= j.MaxAttempts: // River would discard it, but tell nobody
		return q.die(ctx, j, result)
	default:
		q.config.Logger.Info("a delivery failed and will be tried again",
			"inbox", q.config.Name, "id", j.Args.Key, "event", j.Args.Event, "attempt", j.Attempt, "detail", result.Detail)
		return errors.New(result.Detail)
	}
}

// delivered notes that the backend has the event, however long the database is
// away: what is not noted is delivered again. River would do so too, but a quarter
// of a second later, and gives up.
func (q *Queue) delivered(j *river.Job[job], d *Delivery) error {
	q.config.Counts.Delivered.Add(1)
	for {
		err := q.complete(context.Background(), j.ID, d.Key)
		if err == nil {
			q.usage.add(false, -1, -d.size())
			return nil
		}
		q.config.Logger.Error("an event was delivered, but that cannot be noted; trying again", "id", d.Key.String(), "error", err)
		if !q.pause(time.Second) {
			return nil // River notes it, if it can
		}
	}
}

// die makes this attempt at an event the last one.
func (q *Queue) die(ctx context.Context, j *river.Job[job], result Result) error {
	if err := q.markDead(ctx, j.ID); err != nil {
		return fmt.Errorf("%s; it cannot be noted that this was the last attempt: %w", result.Detail, err)
	}
	j.MaxAttempts = j.Attempt // River discards a job whose attempts are used up
	q.config.Counts.Dead.Add(1)
	q.config.Logger.Error("an event is dead: look at it with caddy klink inbox, and retry or discard it",
		"inbox", q.config.Name, "id", j.Args.Key, "event", j.Args.Event, "detail", result.Detail)
	return errors.New(result.Detail)
}

// backInPlace sends an event back that nobody was there to take. It is first in
// line again, and among others of its kind in the order in which they came: River
// takes the job first whose time is the earliest. The attempt does not count.
func backInPlace(j *river.Job[job]) error {
	// A second apart, so that River, which looks at its clock a moment after this, cannot change the order. So
	// long ago, so that there is room for all.
	place := time.Date(1800, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(min(j.ID, 7e9)) * time.Second)
	return &rivertype.JobSnoozeError{Duration: time.Until(place)}
}
