package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
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
	fetchPoll = 250 * time.Millisecond
	// gateHold is how long an event waits in memory for a backend that is down,
	// before it goes back into the database.
	gateHold = 20 * time.Second
	// rescueMargin is how much longer than it can take a delivery is taken to be
	// under way, when its gateway is gone.
	rescueMargin = 15 * time.Second

	recordTimeout = 30 * time.Second
)

// worker delivers a queue's events.
type worker struct {
	river.WorkerDefaults[job]
	queue  *Queue
	client riverWorker
}

func (q *Queue) startWorker() (*worker, error) {
	w := &worker{queue: q}
	workers := river.NewWorkers()
	river.AddWorker(workers, w)
	client, err := q.db.engine.worker(&river.Config{
		CompletedJobRetentionPeriod: q.config.Retention,
		CancelledJobRetentionPeriod: q.config.Retention,
		DiscardedJobRetentionPeriod: -1, // what is dead is kept until somebody looks at it
		FetchCooldown:               fetchCooldown,
		FetchPollInterval:           fetchPoll,
		JobTimeout:                  -1, // a delivery has a time-out of its own
		Logger:                      q.config.Logger,
		Queues:                      map[string]river.QueueConfig{q.config.Name: {MaxWorkers: q.config.Concurrency}},
		RescueStuckJobsAfter:        q.config.Timeout + gateHold + rescueMargin,
		SoftStopTimeout:             stopGrace,
		Workers:                     workers,
	})
	if err != nil {
		return nil, err
	}
	w.client = client
	return w, client.Start(context.Background())
}

func (w *worker) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace+recordTimeout)
	defer cancel()
	return w.client.Stop(ctx)
}

// Timeout implements river.Worker.
func (w *worker) Timeout(*river.Job[job]) time.Duration { return -1 }

// NextRetry implements river.Worker.
func (w *worker) NextRetry(j *river.Job[job]) time.Time {
	return time.Now().Add(pauseAt(w.queue.config.Retry, j.Attempt-1))
}

// Work implements river.Worker: it makes one attempt at an event.
func (w *worker) Work(ctx context.Context, j *river.Job[job]) error {
	q := w.queue
	if wait := q.firstAttempt(j); wait > 0 {
		return river.JobSnooze(wait)
	}
	pass := q.gate.enter(ctx, q.closing, j.ID, gateHold)
	if pass == nil {
		return backInPlace(j)
	}
	d, err := q.load(ctx, j)
	if err != nil || d == nil {
		q.gate.abandon(pass)
		return err
	}
	deliverCtx, cancel := context.WithTimeout(ctx, q.config.Timeout)
	result := q.config.Deliver(deliverCtx, d, j.Attempt)
	cancel()
	if result.Outcome != Delivered && ctx.Err() != nil { // the queue is being closed
		q.gate.abandon(pass)
		return context.Cause(ctx)
	}
	q.gate.leave(pass, result.Outcome)
	return q.settle(ctx, j, d, result)
}

// firstAttempt returns for how long the first attempt at an event may still be
// under way that was stored in the middle of it. Nobody comes here before that is
// over, but for River's own page.
func (q *Queue) firstAttempt(j *river.Job[job]) time.Duration {
	if j.Attempt != 2 || len(j.Errors) > 0 {
		return 0
	}
	return time.Until(j.CreatedAt.Add(q.config.Timeout))
}

// load returns what is to be sent; nil when the event was delivered before.
func (q *Queue) load(ctx context.Context, j *river.Job[job]) (*Delivery, error) {
	key, err := ParseKey(j.Args.Key)
	if err != nil {
		return nil, err
	}
	d := &Delivery{Key: key, Endpoint: j.Args.Endpoint, Event: j.Args.Event, Received: time.UnixMilli(j.Args.Received)}
	row := q.db.queryRow(ctx, "SELECT head, body FROM klink_inbox_payload WHERE job_id = $1", j.ID)
	err = row.Scan(&d.Head, &d.Body)
	if noRows(err) {
		return nil, nil
	}
	return d, err
}

func noRows(err error) bool { return errors.Is(err, sql.ErrNoRows) || errors.Is(err, pgx.ErrNoRows) }

// settle makes of the result of an attempt what River is to do with the job.
func (q *Queue) settle(ctx context.Context, j *river.Job[job], d *Delivery, result Result) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	expired := time.Since(d.Received) >= q.config.GiveUp
	switch {
	case result.Outcome == Delivered:
		return q.delivered(ctx, j, d)
	case result.Outcome == Rejected || expired:
		return q.die(ctx, j, result)
	case result.Outcome == Unreachable:
		return backInPlace(j)
	default:
		return errors.New(result.Detail)
	}
}

// delivered notes durably that the backend has the event, before River does.
func (q *Queue) delivered(ctx context.Context, j *river.Job[job], d *Delivery) error {
	q.config.Counts.Delivered.Add(1)
	for {
		err := q.forget(ctx, j.ID)
		if err == nil {
			q.usage.add(-1, -d.size())
			return nil
		}
		q.config.Logger.Error("an event was delivered, but that cannot be noted; trying again", "id", d.Key.String(), "error", err)
		if ctx.Err() != nil || !q.pause(time.Second) {
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
// line again, and among others of its kind in the order in which they came.
func backInPlace(j *river.Job[job]) error {
	place := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(j.ID) * 100 * time.Millisecond)
	return &rivertype.JobSnoozeError{Duration: time.Until(place)}
}
