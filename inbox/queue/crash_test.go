package queue

import (
	"errors"
	"os"
	"testing"
)

// running makes jobs look as if a process had them under way.
func running(t testing.TB, db *Database) {
	t.Helper()
	expectErr(t, "update", db.exec(t.Context(), db.engine.executor(), "UPDATE river_job SET state = 'running', attempt = 1"), nil)
}

// TestAFileIsTakenBackAtOnce holds that what a killed process had under way is
// delivered as soon as the next one has the SQLite file, in order, and not only
// once River is sure that it is gone.
func TestAFileIsTakenBackAtOnce(t *testing.T) {
	t.Parallel()
	url := freshSQLite(t)
	db, err := Open(t.Context(), url, (&logged{}).logger())
	expectErr(t, "open", err, nil)
	q := started(db.Queue((&backend{down: true}).config()))
	for n := range 3 {
		store(t, q, event(n), When{})
	}
	expectErr(t, "close", q.Close(), nil)
	running(t, db)
	expectErr(t, "close of the database", db.Close(), nil)

	b := &backend{}
	start(t, open(t, url), b.config())
	for n, got := range seen(t, b, 3) {
		expect(t, "key", got.key, key(n))
		expect(t, "attempt", got.attempt, 2)
	}
}

// TestWhatWasCancelledIsNotTakenBack holds that an event which an operator has cancelled
// while a process had it under way that was killed then is not delivered.
func TestWhatWasCancelledIsNotTakenBack(t *testing.T) {
	t.Parallel()
	url := freshSQLite(t)
	db, err := Open(t.Context(), url, (&logged{}).logger())
	expectErr(t, "open", err, nil)
	q := db.Queue((&backend{}).config())
	cancelled, kept := store(t, q, event(1), When{}), store(t, q, event(2), When{})
	running(t, db)
	_, err = db.Act(t.Context(), ActionCancel, cancelled)
	expectErr(t, "cancel", err, nil)
	expectErr(t, "close", q.Close(), nil)
	expectErr(t, "close of the database", db.Close(), nil)

	b := &backend{}
	q = start(t, open(t, url), b.config())
	state(t, q, kept, Done)
	state(t, q, cancelled, Discarded)
	expect(t, "sent", b.keys(), []Key{key(2)})
}

// TestAFileOfAnotherProcessIsNotTakenBack holds that what another process has
// under way is left to it.
func TestAFileOfAnotherProcessIsNotTakenBack(t *testing.T) {
	t.Parallel()
	url := freshSQLite(t)
	db := open(t, url)
	q := started(db.Queue((&backend{down: true}).config()))
	id := store(t, q, event(1), When{})
	expectErr(t, "close", q.Close(), nil)
	running(t, db)
	open(t, url)
	row, err := db.engine.get(t.Context(), id)
	expectErr(t, "get", err, nil)
	expect(t, "state", stateOf(row.State), Delivering)
}

// TestPostgresEndsConnections holds that an event is stored all the same when the
// server has closed the connections in between, as it does when it is restarted.
// No worker runs: a job that River has taken with a connection that then ends is
// delivered only after the time that a delivery may take.
func TestPostgresEndsConnections(t *testing.T) {
	t.Parallel()
	url := freshPostgres(t)
	db := open(t, url)
	ready(t, db)
	q := started(db.Queue((&backend{}).config()))
	expectErr(t, "close", q.Close(), nil)
	for n := range 5 {
		onServer(t, url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
		store(t, q, event(n), When{})
	}
	events, err := q.List(t.Context(), Filter{}, 10)
	expectErr(t, "list", err, nil)
	expect(t, "events", len(events), 5)
}

// TestAFileThatIsGone holds that nothing is taken for stored when the file was
// deleted under the queue's hands.
func TestAFileThatIsGone(t *testing.T) {
	t.Parallel()
	url := freshSQLite(t)
	db := open(t, url)
	q := start(t, db, (&backend{}).config())
	store(t, q, event(1), When{})
	expectErr(t, "remove", os.Remove(db.path), nil)
	eventually(t, "nothing is stored", func() bool {
		_, err := q.Store(t.Context(), event(2), When{})
		return errors.Is(err, ErrUnavailable)
	})
}
