package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivertype"
)

const (
	// Concurrent writes share a transaction: as many as this, and of about this
	// many bytes.
	batchWrites = 128
	batchBytes  = 8 << 20

	commitTimeout = 5 * time.Second
)

// When says when a stored event is to be delivered.
type When struct {
	Dead   bool      // not at all: the backend has rejected it
	At     time.Time // not before; the zero time means at once
	Tried  bool      // a first attempt was made, or is under way
	Detail string    // how that one failed; empty while it is under way
}

// Stored is an event in the database.
type Stored struct {
	ID        int64
	Duplicate bool // it was there already
}

// insertion is an event on its way into the database.
type insertion struct {
	delivery *Delivery
	queue    string
	when     When
	dedupe   time.Duration
	stored   Stored
}

// write is one change that is waiting for its transaction: an insertion, or the
// payload of a delivered event to be forgotten.
type write struct {
	insertion *insertion
	forget    int64
	done      chan error
}

func (w *write) size() int64 {
	if w.insertion == nil {
		return 0
	}
	return w.insertion.delivery.size()
}

// commit returns when w is on disk.
func (db *Database) commit(ctx context.Context, w *write) error {
	w.done = make(chan error, 1)
	select {
	case <-db.ready:
	default:
		return ErrUnavailable
	}
	select {
	case db.writes <- w:
	case <-db.closing:
		return ErrUnavailable
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done(): // it may be stored all the same
		return fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
}

// commitLoop commits what has come while the transaction before was on its way
// to the disk.
func (db *Database) commitLoop() {
	for {
		select {
		case w := <-db.writes:
			batch := db.gather(w)
			err := db.commitBatch(batch)
			for _, w := range batch {
				w.done <- err
			}
		case <-db.closing:
			return
		}
	}
}

// gather returns first and what else is waiting.
func (db *Database) gather(first *write) []*write {
	batch := []*write{first}
	for size := first.size(); len(batch) < batchWrites && size < batchBytes; {
		select {
		case w := <-db.writes:
			batch = append(batch, w)
			size += w.size()
		default:
			return batch
		}
	}
	return batch
}

func (db *Database) commitBatch(batch []*write) error {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	tx, err := db.engine.executor().Begin(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	err = db.apply(ctx, tx, batch)
	if err == nil {
		err = tx.Commit(ctx)
	}
	if err != nil {
		_ = tx.Rollback(context.WithoutCancel(ctx))
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

func (db *Database) apply(ctx context.Context, tx riverdriver.ExecutorTx, batch []*write) error {
	var insertions []*insertion
	var forget []int64
	for _, w := range batch {
		if w.insertion != nil {
			insertions = append(insertions, w.insertion)
		} else {
			forget = append(forget, w.forget)
		}
	}
	if err := db.insert(ctx, tx, insertions); err != nil {
		return err
	}
	return db.forgetPayloads(ctx, tx, forget)
}

// insert inserts events. Of those with the same key in one queue the first one
// counts.
func (db *Database) insert(ctx context.Context, tx riverdriver.ExecutorTx, all []*insertion) error {
	type identity struct {
		queue string
		key   Key
	}
	firsts := make(map[identity]*insertion, len(all))
	var unique []*insertion
	for _, in := range all {
		id := identity{in.queue, in.delivery.Key}
		if firsts[id] == nil {
			firsts[id] = in
			unique = append(unique, in)
		}
	}
	if err := db.insertUnique(ctx, tx, unique); err != nil {
		return err
	}
	for _, in := range all {
		if first := firsts[identity{in.queue, in.delivery.Key}]; first != in {
			in.stored = Stored{ID: first.stored.ID, Duplicate: true}
		}
	}
	return nil
}

func (db *Database) insertUnique(ctx context.Context, tx riverdriver.ExecutorTx, all []*insertion) error {
	again, err := db.insertJobs(ctx, tx, all)
	if err == nil && len(again) > 0 {
		_, err = db.insertJobs(ctx, tx, again)
	}
	if err != nil {
		return err
	}
	fresh := make([]*insertion, 0, len(all))
	for _, in := range all {
		if !in.stored.Duplicate {
			fresh = append(fresh, in)
		}
	}
	if err := db.insertPayloads(ctx, tx, fresh); err != nil {
		return err
	}
	for _, in := range fresh {
		if err := db.noteAttempt(ctx, tx, in.stored.ID, in.when); err != nil {
			return err
		}
	}
	return nil
}

// insertJobs inserts the jobs. It returns those that were held up by an event
// that is done with and not known any more; another try will insert them.
func (db *Database) insertJobs(ctx context.Context, tx riverdriver.ExecutorTx, all []*insertion) (again []*insertion, err error) {
	if len(all) == 0 {
		return nil, nil
	}
	params := make([]river.InsertManyParams, len(all))
	for i, in := range all {
		params[i] = in.job()
	}
	results, err := db.engine.insert(ctx, tx, params)
	if err != nil {
		return nil, err
	}
	for i, in := range all {
		row := results[i].Job
		in.stored = Stored{ID: row.ID, Duplicate: results[i].UniqueSkippedAsDuplicate}
		if in.stored.Duplicate && forgotten(row, in.dedupe) {
			if err := db.exec(ctx, tx, "UPDATE river_job SET unique_key = NULL WHERE id = $1", row.ID); err != nil {
				return nil, err
			}
			again = append(again, in)
		}
	}
	return again, nil
}

// forgotten says whether an event was delivered, or given up, longer ago than an
// event is known.
func forgotten(row *rivertype.JobRow, dedupe time.Duration) bool {
	return row.FinalizedAt != nil && time.Since(*row.FinalizedAt) > dedupe
}

// noteAttempt notes the attempt that was made before an event was stored, and
// closes the job of an event that is dead already.
func (db *Database) noteAttempt(ctx context.Context, on riverdriver.Executor, id int64, when When) error {
	if !when.Tried {
		return nil
	}
	update := &riverdriver.JobUpdateFullParams{ID: id, AttemptDoUpdate: true, Attempt: 1}
	if when.Detail != "" {
		failure, err := json.Marshal(rivertype.AttemptError{At: time.Now(), Attempt: 1, Error: when.Detail})
		if err != nil {
			return err
		}
		update.ErrorsDoUpdate, update.Errors = true, [][]byte{failure}
	}
	if when.Dead {
		now := time.Now()
		update.StateDoUpdate, update.State = true, rivertype.JobStateDiscarded
		update.FinalizedAtDoUpdate, update.FinalizedAt = true, &now
	}
	_, err := on.JobUpdateFull(ctx, update)
	return err
}
