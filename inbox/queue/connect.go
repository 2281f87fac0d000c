package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/gofrs/flock"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// openSQLite opens a file so that what is committed is on disk. One connection
// is what SQLite has a use for: it has one writer at a time.
func openSQLite(path string, logger *slog.Logger) (engine, func() error, error) {
	if err := createFile(path); err != nil {
		return nil, nil, fmt.Errorf("database: %w", err)
	}
	file := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	file.RawQuery = url.Values{
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)"},
		"_txlock": {"immediate"},
	}.Encode()
	pool, err := sql.Open("sqlite", file.String())
	if err != nil {
		return nil, nil, fmt.Errorf("database %s: %w", path, err)
	}
	pool.SetMaxOpenConns(1)
	e, err := newEngine(sqliteDriver{riversqlite.New(pool)}, logger)
	if err != nil {
		return nil, nil, errors.Join(err, pool.Close())
	}
	e.lock = func(context.Context) (func(), error) { return func() {}, nil }
	e.drop = func() {}
	return e, pool.Close, nil
}

// lockSQLite tells other processes that this one has the file. It returns false
// when another one does.
func lockSQLite(path string) (*flock.Flock, bool) {
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	alone, err := lock.TryLock()
	return lock, alone && err == nil
}

// createFile sees to it that nobody else can read what is stored: SQLite gives its
// other files the same mode. Its error says more than SQLite's.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// othersMigrate says whether an error may come from another process that creates
// the tables of the same SQLite file at the same time.
func othersMigrate(err error) bool {
	sqliteErr, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return false
	}
	switch sqliteErr.Code() & 0xff {
	case sqlite3.SQLITE_ERROR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CONSTRAINT:
		return true
	}
	return false
}

func openPostgres(ctx context.Context, dsn string, logger *slog.Logger) (engine, func() error, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, nil, errURL // pgx's own error repeats the URL
	}
	config.ConnConfig.ConnectTimeout = min(config.ConnConfig.ConnectTimeout, 5*time.Second)
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = 5 * time.Second
	}
	config.ConnConfig.RuntimeParams["application_name"] = "klink_inbox"
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, fmt.Errorf("database: %w", err)
	}
	closePool := func() error { pool.Close(); return nil }
	e, err := newEngine(riverpgxv5.New(pool), logger)
	if err != nil {
		return nil, nil, errors.Join(err, closePool())
	}
	e.lock = func(ctx context.Context) (func(), error) { return lockPostgres(ctx, pool) }
	e.drop = pool.Reset
	return e, closePool, nil
}

// lockPostgres makes sure that of several gateways that start at once only one
// changes the tables.
func lockPostgres(ctx context.Context, pool *pgxpool.Pool) (unlock func(), err error) {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return nil, err
	}
	name := fnv.New64a()
	name.Write([]byte("klink_inbox migration")) //nolint:errcheck // a hash takes everything
	unlock = func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }
	if _, err = tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(name.Sum64())); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}
