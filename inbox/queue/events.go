package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// State is what an operator sees of an event.
type State string

const (
	Waiting    State = "waiting"    // to be delivered, now or later
	Delivering State = "delivering" // being delivered
	Done       State = "delivered"  // the backend has it
	Dead       State = "dead"       // given up; kept until it is retried or discarded
	Discarded  State = "discarded"  // given up by an operator on River's page
)

// States returns all of them.
func States() []State { return []State{Waiting, Delivering, Done, Dead, Discarded} }

var riverStates = map[State][]rivertype.JobState{
	Waiting:    {rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable, rivertype.JobStateScheduled},
	Delivering: {rivertype.JobStateRunning},
	Done:       {rivertype.JobStateCompleted},
	Dead:       {rivertype.JobStateDiscarded},
	Discarded:  {rivertype.JobStateCancelled},
}

func stateOf(s rivertype.JobState) State {
	for state, ofRiver := range riverStates {
		if slices.Contains(ofRiver, s) {
			return state
		}
	}
	return Waiting
}

// Event is a stored event as an operator sees it.
type Event struct {
	ID       int64     // in the database
	Key      string    // what it is called towards backends, in hexadecimal
	State    State     //
	Endpoint string    //
	Event    string    // its name; empty when it is not known
	Size     int64     // of what is sent, in bytes
	Received time.Time //
	Next     time.Time // of the next attempt; zero unless it is waiting
	Ended    time.Time // when it was delivered or given up; zero before
	Attempts int       //
	Failures []Failure // of its attempts
}

// Failure is an attempt at an event that did not succeed.
type Failure struct {
	Time    time.Time `json:"time"`
	Attempt int       `json:"attempt"`
	Detail  string    `json:"detail"`
}

// Filter says which events are meant. The zero Filter means all.
type Filter struct {
	States   []State
	Event    string        // by name
	Key      *Key          // by what backends know it as
	MinAge   time.Duration // since they came
	MaxAge   time.Duration // since they came; 0 means any
	After    int64         // those with a larger ID
	Backward bool          // the latest first
}

// largestPage is how many events are listed at once, at the most.
const largestPage = 1000

// List returns the first events that a filter means, by ID.
func (q *Queue) List(ctx context.Context, f Filter, limit int) ([]Event, error) {
	rows, err := q.db.engine.list(ctx, q.listParams(f, limit))
	if err != nil {
		return nil, unavailable(err)
	}
	events := make([]Event, len(rows))
	for i, row := range rows {
		if events[i], err = eventOf(row); err != nil {
			return nil, err
		}
	}
	return events, nil
}

func (q *Queue) listParams(f Filter, limit int) *river.JobListParams {
	order := river.SortOrderAsc
	if f.Backward {
		order = river.SortOrderDesc
	}
	params := river.NewJobListParams().Queues(q.config.Name).OrderBy(river.JobListOrderByID, order).First(min(max(limit, 1), largestPage))
	states := f.States
	if len(states) == 0 {
		states = States()
	}
	var ofRiver []rivertype.JobState
	for _, state := range states {
		ofRiver = append(ofRiver, riverStates[state]...)
	}
	params = params.States(ofRiver...)
	if f.Event != "" {
		params = params.Where("args ->> 'event' = @event", river.NamedArgs{"event": storable(f.Event)})
	}
	if f.Key != nil {
		params = params.Where("args ->> 'key' = @key", river.NamedArgs{"key": f.Key.String()})
	}
	if f.MinAge > 0 {
		params = params.Where("CAST(args ->> 'received' AS bigint) <= @before",
			river.NamedArgs{"before": time.Now().Add(-f.MinAge).UnixMilli()})
	}
	if f.MaxAge > 0 {
		params = params.Where("CAST(args ->> 'received' AS bigint) >= @since",
			river.NamedArgs{"since": time.Now().Add(-f.MaxAge).UnixMilli()})
	}
	if f.After > 0 && f.Backward {
		params = params.Where("id < @after", river.NamedArgs{"after": f.After})
	} else if f.After > 0 {
		params = params.Where("id > @after", river.NamedArgs{"after": f.After})
	}
	return params
}

// Get returns one event. With it comes what is kept to deliver it; nil when that
// is gone, as it is once an event was delivered.
func (q *Queue) Get(ctx context.Context, id int64) (Event, *Delivery, error) {
	row, err := q.find(ctx, id)
	if err != nil {
		return Event{}, nil, err
	}
	event, err := eventOf(row)
	if err != nil {
		return Event{}, nil, err
	}
	j := &river.Job[job]{JobRow: row}
	if j.Args, err = argsOf(row); err != nil {
		return Event{}, nil, err
	}
	d, err := q.load(ctx, j)
	if errors.Is(err, errGone) {
		err = nil
	}
	return event, d, err
}

// find returns the job of an event of this queue.
func (q *Queue) find(ctx context.Context, id int64) (*rivertype.JobRow, error) {
	row, err := q.db.engine.get(ctx, id)
	if errors.Is(err, rivertype.ErrNotFound) || err == nil && row.Queue != q.config.Name {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, unavailable(err)
	}
	return row, nil
}

// Retry delivers an event now that is waiting or dead. One that waits in this process
// for a backend that is down goes on waiting: see Hurry. It fails with ErrUnderWay
// while the event is being delivered.
func (q *Queue) Retry(ctx context.Context, id int64) error {
	row, err := q.find(ctx, id)
	if err != nil {
		return err
	}
	if _, held := q.db.held.Load(id); held {
		return nil
	}
	if underWay(row) {
		return ErrUnderWay
	}
	if stateOf(row.State) == Done || stateOf(row.State) == Discarded && len(row.UniqueKey) == 0 {
		return errGone
	}
	if err := q.db.exec(ctx, q.db.engine.executor(), "UPDATE klink_inbox_payload SET dead = $1 WHERE job_id = $2", false, id); err != nil {
		return unavailable(err)
	}
	return unavailable(q.db.engine.retry(ctx, id))
}

var errGone = errors.New("the event was delivered or discarded, and what was sent is not kept")

// Discard gives an event up and deletes it. Of one that waits in this process for a
// backend that is down, the record stays. It fails with ErrUnderWay while the event
// is being delivered.
func (q *Queue) Discard(ctx context.Context, id int64) error {
	row, err := q.find(ctx, id)
	if err != nil {
		return err
	}
	if held, err := q.giveUpHeld(ctx, id); held {
		return err
	}
	if underWay(row) {
		return ErrUnderWay
	}
	err = q.db.engine.remove(ctx, id)
	switch {
	case errors.Is(err, rivertype.ErrJobRunning):
		return ErrUnderWay
	case errors.Is(err, rivertype.ErrNotFound):
		return ErrNotFound
	case err != nil:
		return unavailable(err)
	}
	return unavailable(q.db.forgetPayloads(ctx, q.db.engine.executor(), []int64{id}))
}

// giveUpHeld gives up an event that waits in this process, and says whether it does.
// That is not left to River, which would not do so before the wait is over, and then
// only if no attempt succeeds.
func (q *Queue) giveUpHeld(ctx context.Context, id int64) (held bool, err error) {
	letGo, held := q.db.held.LoadAndDelete(id) // so no attempt begins before it is let go
	if !held {
		return false, nil
	}
	defer letGo.(context.CancelFunc)()
	return true, q.cancelRunning(ctx, id)
}

func (q *Queue) cancelRunning(ctx context.Context, id int64) error {
	row := q.db.queryRow(ctx, `UPDATE river_job SET state = 'cancelled', finalized_at = $1, unique_key = NULL
		WHERE id = $2 AND state = 'running' RETURNING id`, q.db.timeArg(time.Now()), id)
	switch err := row.Scan(&id); {
	case noRows(err):
		return ErrUnderWay // it went back just now, and may be anywhere
	case err != nil:
		return unavailable(err)
	}
	return unavailable(q.db.forgetPayloads(ctx, q.db.engine.executor(), []int64{id}))
}

// underWay says whether a gateway is delivering an event, or may be.
func underWay(row *rivertype.JobRow) bool {
	args, err := argsOf(row)
	return row.State == rivertype.JobStateRunning || err == nil && firstAttempt(row, args).After(time.Now())
}

func eventOf(row *rivertype.JobRow) (Event, error) {
	args, err := argsOf(row)
	if err != nil {
		return Event{}, err
	}
	e := Event{
		ID: row.ID, Key: args.Key, State: stateOf(row.State), Endpoint: args.Endpoint, Event: args.Event,
		Size: args.Size, Received: time.UnixMilli(args.Received), Attempts: row.Attempt,
	}
	if e.State == Waiting {
		e.Next = later(row.ScheduledAt, e.Received) // an event that went back has a time long ago
	}
	if row.FinalizedAt != nil {
		e.Ended = *row.FinalizedAt
	}
	for _, failure := range row.Errors {
		e.Failures = append(e.Failures, Failure{Time: failure.At, Attempt: failure.Attempt, Detail: failure.Error})
	}
	return e, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func argsOf(row *rivertype.JobRow) (args job, err error) {
	err = json.Unmarshal(row.EncodedArgs, &args)
	return args, err
}

// unavailable says of an error of the database that it is one.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
