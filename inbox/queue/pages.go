package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/riverqueue/river/rivertype"
	"riverqueue.com/riverui/uiendpoints"
)

// Database returns where the queue keeps its events.
func (q *Queue) Database() *Database { return q.db }

// Pages returns what River's web page reads of the database: the jobs of all its
// queues. It fails with ErrUnavailable when the tables are not there before ctx
// ends.
func (db *Database) Pages(ctx context.Context) (uiendpoints.Bundle, error) {
	select {
	case <-db.ready:
		return db.engine.pages(), nil
	case <-ctx.Done():
		return nil, ErrUnavailable
	}
}

// Action is what an operator can do to an event on River's page.
type Action string

const (
	// ActionRetry delivers an event now that is waiting or dead.
	ActionRetry Action = "retry"
	// ActionCancel gives an event up that is waiting, and keeps its record.
	ActionCancel Action = "cancel"
	// ActionDelete gives an event up and deletes it.
	ActionDelete Action = "delete"
)

// Subject is the event that something was done to.
type Subject struct {
	Queue string
	Key   Key
}

var errEnded = errors.New("the event is not waiting any more: retry it if it is dead, or delete it")

// Act does to an event, of whichever queue, what an operator wants. What River's
// page would do by itself leaves out what is kept beside River's tables.
func (db *Database) Act(ctx context.Context, action Action, id int64) (Subject, error) {
	row, err := db.engine.get(ctx, id)
	if errors.Is(err, rivertype.ErrNotFound) {
		return Subject{}, ErrNotFound
	}
	if err != nil {
		return Subject{}, unavailable(err)
	}
	subject, err := subjectOf(row)
	if err != nil {
		return Subject{}, err
	}
	share := &Queue{db: db, config: Config{Name: row.Queue}}
	switch action {
	case ActionRetry:
		return subject, share.retryKept(ctx, id)
	case ActionCancel:
		return subject, share.cancel(ctx, row)
	case ActionDelete:
		return subject, share.Discard(ctx, id)
	}
	return subject, fmt.Errorf("nothing is known of the action %q", action)
}

// subjectOf says whose job it is. A database may hold other applications' jobs,
// which are none of our business.
func subjectOf(row *rivertype.JobRow) (Subject, error) {
	if row.Kind != (job{}).Kind() {
		return Subject{}, fmt.Errorf("job %d is of the kind %s and no event of an inbox", row.ID, row.Kind)
	}
	args, err := argsOf(row)
	if err != nil {
		return Subject{}, err
	}
	key, err := ParseKey(args.Key)
	return Subject{Queue: row.Queue, Key: key}, err
}

// retryKept retries an event if there is still something to deliver.
func (q *Queue) retryKept(ctx context.Context, id int64) error {
	_, delivery, err := q.Get(ctx, id)
	if err != nil {
		return err
	}
	if delivery == nil {
		return errGone
	}
	return q.Retry(ctx, id)
}

// cancel gives an event up. One that is being delivered, or waits in another process
// for a backend that is down, is given up by River if that attempt fails.
func (q *Queue) cancel(ctx context.Context, row *rivertype.JobRow) error {
	if held, err := q.giveUpHeld(ctx, row.ID); held {
		return err
	}
	running := row.State == rivertype.JobStateRunning
	if stateOf(row.State) != Waiting && !running {
		return errEnded
	}
	if !running && underWay(row) {
		return ErrUnderWay
	}
	state, err := q.db.engine.cancel(ctx, row.ID)
	if err != nil {
		return unavailable(err)
	}
	if state != rivertype.JobStateCancelled {
		return nil // its payload goes when it is swept
	}
	executor := q.db.engine.executor()
	if err := q.db.exec(ctx, executor, "UPDATE river_job SET unique_key = NULL WHERE id = $1 AND state = 'cancelled'", row.ID); err != nil {
		return unavailable(err) // it is swept
	}
	return unavailable(q.db.forgetPayloads(ctx, executor, []int64{row.ID}))
}

func (e *riverEngine[TTx]) cancel(ctx context.Context, id int64) (rivertype.JobState, error) {
	row, err := e.client.JobCancel(ctx, id)
	if err != nil {
		return "", err
	}
	return row.State, nil
}
