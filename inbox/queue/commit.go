package queue

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"
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
	commitPause   = 50 * time.Millisecond
)

// When says when a stored event is to be delivered.
type When struct {
	Dead   bool      // not at all: the backend has rejected it in a first attempt
	At     time.Time // not before; the zero time means at once
	Tried  bool      // a first attempt was made, or is under way
	Detail string    // how that one failed; empty while it is under way
}

// underWay says whether a first attempt goes on while the event is stored.
func (w When) underWay() bool { return w.Tried && !w.Dead && w.Detail == "" }

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
	timeout  time.Duration
	stored   Stored
	written  bool // by an earlier try, of which nobody heard that it was committed
}

// write is one change that is waiting for its transaction: an insertion, or an
// event that was delivered.
type write struct {
	insertion *insertion
	delivered int64 // its ID
	event     Key   // its key; zero when the job is closed already
	done      chan error
}

func (w *write) size() int64 {
	if w.insertion == nil {
		return 0
	}
	return w.insertion.delivery.size()
}

func (w *write) key() Key {
	if w.insertion != nil {
		return w.insertion.delivery.Key
	}
	return w.event
}

// commit returns when w is on disk. Ctx is for how long it may wait for its
// transaction to begin; that takes commitTimeout at the most.
func (db *Database) commit(ctx context.Context, w *write) error {
	w.done = make(chan error, 1)
	select {
	case <-db.ready:
	default:
		return ErrUnavailable
	}
	if db.gone.Load() && w.insertion != nil {
		return ErrUnavailable
	}
	select {
	case db.writes <- w:
	case <-db.closing:
		return ErrUnavailable
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUnavailable, context.Cause(ctx))
	}
	return <-w.done // its transaction has a limit of its own; who left before its end would not know what is stored
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

// commitBatch commits a batch. It tries again if PostgreSQL ended the transaction
// because another one was in its way, or was restarted: that an event is stored
// twice its key prevents.
func (db *Database) commitBatch(batch []*write) error {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	for {
		err := db.tryBatch(ctx, batch)
		if err == nil || db.sqlite || !isPassing(err) {
			return unavailable(err)
		}
		if !inTheWay(err) {
			db.engine.reset() // after a restart all connections of the pool are broken
		}
		select {
		case <-ctx.Done():
			return unavailable(err)
		case <-time.After(commitPause):
		}
	}
}

// isPassing says whether PostgreSQL may take the same transaction a moment later.
func isPassing(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return true // there was no answer
	}
	return inTheWay(err) || pgerrcode.IsOperatorIntervention(pgErr.Code) || pgerrcode.IsConnectionException(pgErr.Code)
}

// inTheWay says whether another transaction was in the way of this one.
func inTheWay(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pgErr.Code == pgerrcode.DeadlockDetected || pgErr.Code == pgerrcode.SerializationFailure)
}

func (db *Database) tryBatch(ctx context.Context, batch []*write) error {
	tx, err := db.engine.executor().Begin(ctx)
	if err != nil {
		return err
	}
	if err = db.apply(ctx, tx, batch); err == nil {
		err = tx.Commit(ctx)
	}
	if err != nil {
		_ = tx.Rollback(context.WithoutCancel(ctx))
	}
	return err
}

func (db *Database) apply(ctx context.Context, tx riverdriver.ExecutorTx, batch []*write) error {
	var insertions []*insertion
	var delivered []int64
	for _, w := range batch {
		if w.insertion != nil {
			insertions = append(insertions, w.insertion)
		} else {
			delivered = append(delivered, w.delivered)
		}
	}
	if err := db.lockEvents(ctx, tx, batch); err != nil {
		return err
	}
	if err := db.insert(ctx, tx, insertions); err != nil {
		return err
	}
	return db.complete(ctx, tx, delivered)
}

// identity is what tells events apart.
type identity struct {
	queue string
	key   string
}

func (in *insertion) identity() identity { return identity{in.queue, in.delivery.Key.String()} }

// insert inserts events. Of those with the same key in one queue the first one
// counts.
func (db *Database) insert(ctx context.Context, tx riverdriver.ExecutorTx, all []*insertion) error {
	firsts := make(map[identity]*insertion, len(all))
	unique := make([]*insertion, 0, len(all))
	for _, in := range all {
		if id := in.identity(); firsts[id] == nil {
			firsts[id] = in
			unique = append(unique, in)
		}
	}
	if err := db.insertUnique(ctx, tx, unique); err != nil {
		return err
	}
	for _, in := range all {
		if first := firsts[in.identity()]; first != in {
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
	var tried []attempt
	for _, in := range all {
		if in.stored.Duplicate || in.written {
			continue
		}
		fresh = append(fresh, in)
		if in.when.Tried || in.when.Dead {
			tried = append(tried, newAttempt(in.stored.ID, in.when))
		}
	}
	if err := db.insertPayloads(ctx, tx, fresh); err != nil {
		return err
	}
	return db.noteAttempts(ctx, tx, tried)
}

// lockEvents makes transactions that have to do with the same events wait for each
// other, in an order that all of them keep to. Otherwise PostgreSQL would take a
// second to see that each waits for the other: to insert an event that is known
// locks its row, as noting that it was delivered does.
func (db *Database) lockEvents(ctx context.Context, tx riverdriver.ExecutorTx, batch []*write) error {
	if db.sqlite || len(batch) < 2 {
		return nil
	}
	locks := make([]int64, 0, len(batch))
	for _, w := range batch {
		if k := w.key(); k != (Key{}) {
			locks = append(locks, int64(binary.BigEndian.Uint64(k[:8])^binary.BigEndian.Uint64(k[8:])))
		}
	}
	slices.Sort(locks)
	return db.exec(ctx, tx, "SELECT pg_advisory_xact_lock(id) FROM unnest($1::bigint[]) AS id", slices.Compact(locks))
}

// insertJobs inserts the jobs. It returns those that were held up by an event
// that is done with and not known any more; another try will insert them.
func (db *Database) insertJobs(ctx context.Context, tx riverdriver.ExecutorTx, all []*insertion) (again []*insertion, err error) {
	if len(all) == 0 {
		return nil, nil
	}
	params := make([]river.InsertManyParams, len(all))
	byIdentity := make(map[identity]*insertion, len(all))
	for i, in := range all {
		params[i] = in.job()
		byIdentity[in.identity()] = in
	}
	results, err := db.engine.insert(ctx, tx, params)
	if err != nil {
		return nil, err
	}
	for _, result := range results {
		in, err := inserted(byIdentity, result.Job)
		if err != nil {
			return nil, err
		}
		before := in.stored
		in.stored = Stored{ID: result.Job.ID, Duplicate: result.UniqueSkippedAsDuplicate}
		if in.stored.Duplicate && before == (Stored{ID: result.Job.ID}) {
			in.stored, in.written = before, true
		}
		if in.stored.Duplicate && forgotten(result.Job, in.dedupe) {
			if err := db.exec(ctx, tx, "UPDATE river_job SET unique_key = NULL WHERE id = $1", result.Job.ID); err != nil {
				return nil, err
			}
			again = append(again, in)
		}
	}
	return again, nil
}

// inserted returns what a job was inserted for. No database promises that what an
// INSERT returns is in the order of what it was given.
func inserted(all map[identity]*insertion, row *rivertype.JobRow) (*insertion, error) {
	args, err := argsOf(row)
	if err != nil {
		return nil, err
	}
	in := all[identity{row.Queue, args.Key}]
	if in == nil {
		return nil, fmt.Errorf("job %d was not inserted just now", row.ID)
	}
	return in, nil
}

// forgotten says whether an event was delivered, or given up, longer ago than an
// event is known.
func forgotten(row *rivertype.JobRow, dedupe time.Duration) bool {
	return row.FinalizedAt != nil && time.Since(*row.FinalizedAt) > dedupe
}

// attempt is one that was made before an event was stored.
type attempt struct {
	ID      int64                   `json:"id"`
	Failure *rivertype.AttemptError `json:"failure"` // nil while it is under way
	Dead    bool                    `json:"dead"`
}

func newAttempt(id int64, when When) attempt {
	a := attempt{ID: id, Dead: when.Dead}
	if when.Detail != "" {
		a.Failure = &rivertype.AttemptError{At: time.Now(), Attempt: 1, Error: storable(when.Detail)}
	}
	return a
}

// noteAttempts notes first attempts, and closes the jobs of events that are dead
// already.
func (db *Database) noteAttempts(ctx context.Context, on riverdriver.Executor, attempts []attempt) error {
	if len(attempts) == 0 {
		return nil
	}
	encoded, err := json.Marshal(attempts)
	if err != nil {
		return err
	}
	return db.exec(ctx, on, noteStatements[db.sqlite], string(encoded), db.timeArg(time.Now()))
}
