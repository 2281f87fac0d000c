package queue

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// job is what River knows of an event.
type job struct {
	Key      string `json:"key"                river:"unique"`
	Endpoint string `json:"endpoint"`
	Event    string `json:"event,omitempty"`
	Received int64  `json:"received"`        // milliseconds of Unix time
	Size     int64  `json:"size"`            // of what is to be sent, in bytes
	Timeout  int64  `json:"timeout"`         // of an attempt, in milliseconds
	Until    int64  `json:"until,omitempty"` // the first attempt may be under way, milliseconds of Unix time
}

// Kind implements river.JobArgs.
func (job) Kind() string { return "klink_delivery" }

// maxAttempts is more than will be made: how long an event is tried is a matter
// of its age.
const maxAttempts = 30000

// knownStates are those in which an event is known: all but cancelled, which is
// how an operator gives an event up on River's page.
var knownStates = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStateCompleted, rivertype.JobStateDiscarded, rivertype.JobStatePending,
	rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateScheduled,
}

func (in *insertion) job() river.InsertManyParams {
	d := in.delivery
	args := job{
		Key: d.Key.String(), Endpoint: storable(d.Endpoint), Event: storable(d.Event),
		Received: d.Received.UnixMilli(), Size: d.size(), Timeout: in.timeout.Milliseconds(),
	}
	at := in.when.At
	if in.when.Dead {
		at = time.Now().Add(time.Hour) // nobody is to take it before it is closed
	} else if in.when.underWay() {
		args.Until = at.UnixMilli()
	}
	return river.InsertManyParams{
		Args: args,
		InsertOpts: &river.InsertOpts{
			MaxAttempts: maxAttempts,
			Queue:       in.queue,
			ScheduledAt: at,
			UniqueOpts:  river.UniqueOpts{ByArgs: true, ByQueue: true, ByState: knownStates},
		},
	}
}

// storable returns text that PostgreSQL takes. It refuses NUL in JSON, and would
// refuse everything else in the same transaction with it.
func storable(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// Store returns when the event is on disk, or was there already. It fails with
// ErrFull or ErrUnavailable.
func (q *Queue) Store(ctx context.Context, d *Delivery, when When) (Stored, error) {
	if !q.usage.fits(d.size(), &q.config) {
		return Stored{}, ErrFull
	}
	in := &insertion{delivery: d, queue: q.config.Name, when: when, dedupe: q.config.Dedupe, timeout: q.config.Timeout}
	began := time.Now()
	if err := q.db.commit(ctx, &write{insertion: in}); err != nil {
		return Stored{}, err
	}
	if note := q.config.Counts.Committed; note != nil {
		note(time.Since(began))
	}
	if !in.stored.Duplicate {
		q.config.Counts.Stored.Add(1)
		q.usage.add(when.Dead, 1, d.size())
		if when.Dead {
			q.config.Counts.Dead.Add(1)
		}
	}
	return in.stored, nil
}

// Finish closes an event whose first attempt went on after it was stored, and
// then succeeded. If the queue has taken it meanwhile, it finds nothing to send.
func (q *Queue) Finish(ctx context.Context, id int64) error {
	row := q.db.queryRow(ctx, `UPDATE river_job SET state = 'completed', finalized_at = $1, attempt = 1
		WHERE id = $2 AND state IN ('scheduled', 'available') RETURNING id`, q.db.timeArg(time.Now()), id)
	switch err := row.Scan(&id); {
	case err == nil:
		q.config.Counts.Delivered.Add(1)
	case !noRows(err):
		return unavailable(err)
	}
	return q.complete(ctx, id, Key{})
}

// Release says that the first attempt at a stored event has ended without
// success: the next follows when When says.
func (q *Queue) Release(ctx context.Context, id int64, when When) error {
	row, err := q.find(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil // somebody has discarded it meanwhile
	}
	if err != nil {
		return err
	}
	args, err := argsOf(row)
	if err != nil {
		return err
	}
	if row.State == rivertype.JobStateRunning || firstAttempt(row, args).IsZero() {
		return nil // it took so long that the queue has made the next one
	}
	when.Tried = true
	if when.Detail == "" {
		when.Detail = "the first attempt failed"
	}
	executor := q.db.engine.executor()
	if err := q.db.noteAttempts(ctx, executor, []attempt{newAttempt(id, when)}); err != nil {
		return unavailable(err)
	}
	if when.Dead {
		q.config.Counts.Dead.Add(1)
		return unavailable(q.markDead(ctx, id))
	}
	return unavailable(q.db.exec(ctx, executor, "UPDATE river_job SET scheduled_at = $1 WHERE id = $2 AND state IN ('scheduled', 'available')",
		q.db.timeArg(when.At), id))
}

func (q *Queue) markDead(ctx context.Context, id int64) error {
	return q.db.exec(ctx, q.db.engine.executor(), "UPDATE klink_inbox_payload SET dead = $1 WHERE job_id = $2", true, id)
}

// complete notes durably that an event was delivered, and deletes what was kept to
// deliver it.
func (q *Queue) complete(ctx context.Context, id int64, event Key) error {
	return q.db.commit(ctx, &write{delivered: id, event: event})
}
