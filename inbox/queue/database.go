package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"github.com/jackc/pgx/v5/pgconn"
)

// Database is where queues keep their events: an SQLite file or a PostgreSQL
// database. It must be closed after its queues.
type Database struct {
	sqlite  bool
	name    string // for errors
	path    string // of an SQLite file
	engine  engine
	writes  chan *write
	ready   chan struct{} // closed once the tables are there
	logger  *slog.Logger
	release func() error
	file    *flock.Flock // of an SQLite file
	alone   bool         // no other process has the file
	gone    atomic.Bool  // the file is not where it was
	opened  os.FileInfo  // what it was
	held    sync.Map     // IDs of events that wait here for a slot or at a gate, each with what ends its wait

	closing chan struct{}
	loops   sync.WaitGroup
}

const (
	migrateTimeout = 30 * time.Second
	migrateTries   = 10
	migratePause   = 100 * time.Millisecond
	reconnectPause = 2 * time.Second
	sweepInterval  = time.Minute
	sweepTimeout   = 30 * time.Second
)

// Open opens a database by its URL, sqlite:///path or postgres://…, and sees to
// its tables. A PostgreSQL server that is not there is waited for in the
// background: until then nothing can be stored. A wrong URL, path, user or
// database is an error.
func Open(ctx context.Context, url string, logger *slog.Logger) (*Database, error) {
	location, err := ParseURL(url)
	if err != nil {
		return nil, err
	}
	db := &Database{
		name:    "database",
		sqlite:  location.Path != "",
		writes:  make(chan *write),
		ready:   make(chan struct{}),
		logger:  logger,
		closing: make(chan struct{}),
	}
	if err := db.connect(ctx, location); err != nil {
		return nil, err
	}
	err = db.prepare(ctx)
	if err != nil && (db.sqlite || !mayPass(err)) {
		return nil, errors.Join(err, db.closeAll())
	}
	if db.alone {
		if err := db.takeBack(ctx); err != nil {
			return nil, errors.Join(err, db.closeAll())
		}
	}
	if err == nil {
		close(db.ready) // here, so that whoever comes at once is not turned away
	}
	db.loops.Go(func() { db.run(err) })
	return db, nil
}

// takeBack makes those events of an SQLite file available that a process had under way
// which is gone, but for those that an operator has cancelled meanwhile. River would do
// so too, but only after the time that a delivery may take.
func (db *Database) takeBack(ctx context.Context) error {
	err := db.exec(ctx, db.engine.executor(), `UPDATE river_job SET state = 'cancelled', finalized_at = $1
		WHERE state = 'running' AND kind = $2 AND metadata -> 'cancel_attempted_at' IS NOT NULL`, db.timeArg(time.Now()), job{}.Kind())
	if err == nil {
		err = db.exec(ctx, db.engine.executor(), "UPDATE river_job SET state = 'available' WHERE state = 'running' AND kind = $1", job{}.Kind())
	}
	if err != nil {
		return fmt.Errorf("%s: what was under way cannot be taken back: %w", db.name, err)
	}
	return nil
}

func (db *Database) connect(ctx context.Context, location Location) (err error) {
	if db.sqlite {
		db.name += " " + location.Path
		db.path = location.Path
		if db.engine, db.release, err = openSQLite(db.path, db.logger); err == nil {
			db.file, db.alone = lockSQLite(db.path)
			db.opened, err = os.Stat(db.path)
		}
	} else {
		db.engine, db.release, err = openPostgres(ctx, location.Postgres, db.logger)
	}
	return err
}

// prepare creates what is missing of River's tables and of ours.
func (db *Database) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	err := db.engine.migrate(ctx)
	for tries := 1; tries < migrateTries && othersMigrate(err); tries++ {
		time.Sleep(migratePause)
		err = db.engine.migrate(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: its tables cannot be created: %w", db.name, err)
	}
	return nil
}

// mayPass says whether a failure to reach PostgreSQL could be over in a while:
// everything but what the server says of user, password, rights and database.
func mayPass(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return true
	}
	switch pgErr.Code[:2] {
	case "28", "3D", "3F", "42":
		return false
	}
	return true
}

// run waits for the database when it was not there at first, then commits what
// comes and cleans up, until Close.
func (db *Database) run(err error) {
	late := err != nil
	for err != nil {
		db.logger.Error("the inbox's database cannot be reached; nothing can be stored until it is", "error", err)
		select {
		case <-db.closing:
			return
		case <-time.After(reconnectPause):
		}
		err = db.prepare(context.Background())
	}
	if late {
		close(db.ready)
	}
	db.loops.Go(db.sweepLoop)
	db.commitLoop()
}

// sweepLoop deletes what belongs to jobs that were delivered, discarded, or
// deleted at the end of their retention.
func (db *Database) sweepLoop() {
	for {
		select {
		case <-db.closing:
			return
		case <-time.After(sweepInterval):
		}
		if err := db.sweep(); err != nil {
			db.logger.Error("cleaning up the inbox's database failed", "error", err)
		}
	}
}

func (db *Database) sweep() error {
	ctx, cancel := context.WithTimeout(context.Background(), sweepTimeout)
	defer cancel()
	executor := db.engine.executor()
	// A job without a unique key and without a payload is one whose payload is gone though it was not delivered:
	// see load.
	err := db.exec(ctx, executor, "UPDATE river_job SET unique_key = NULL WHERE state = 'cancelled' AND kind = $1 AND unique_key IS NOT NULL", job{}.Kind())
	if err != nil {
		return err
	}
	return db.exec(ctx, executor, `DELETE FROM klink_inbox_payload WHERE NOT EXISTS (
		SELECT 1 FROM river_job WHERE river_job.id = job_id AND river_job.state NOT IN ('completed', 'cancelled'))`)
}

// checkFile refuses to write to an SQLite file that somebody has deleted or
// replaced: what is written there is gone when this process ends.
func (db *Database) checkFile() {
	if !db.sqlite {
		return
	}
	now, err := os.Stat(db.path)
	gone := err != nil || !os.SameFile(db.opened, now)
	if gone && !db.gone.Swap(gone) {
		db.logger.Error("the inbox's file was deleted or replaced; nothing is stored until Caddy is restarted", "path", db.path)
	}
}

// Close closes the database. Its queues must be closed before.
func (db *Database) Close() error {
	close(db.closing)
	db.loops.Wait()
	return db.closeAll()
}

func (db *Database) closeAll() error {
	err := db.release()
	if db.file != nil {
		err = errors.Join(err, db.file.Close())
	}
	return err
}
