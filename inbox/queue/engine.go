package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
	_ "modernc.org/sqlite" // the driver "sqlite"
	"riverqueue.com/riverui"
	"riverqueue.com/riverui/uiendpoints"
)

// engine is River on one kind of database.
type engine interface {
	executor() riverdriver.Executor
	migrate(ctx context.Context) error
	insert(ctx context.Context, tx riverdriver.ExecutorTx, jobs []river.InsertManyParams) ([]*rivertype.JobInsertResult, error)
	list(ctx context.Context, params *river.JobListParams) ([]*rivertype.JobRow, error)
	get(ctx context.Context, id int64) (*rivertype.JobRow, error)
	retry(ctx context.Context, id int64) error
	remove(ctx context.Context, id int64) error
	worker(config *river.Config) (riverWorker, error)
	pages() uiendpoints.Bundle
}

// riverWorker is a client of River that works on jobs.
type riverWorker interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
	StopAndCancel(ctx context.Context) error
}

// riverEngine is an engine whose transactions are of the type TTx.
type riverEngine[TTx any] struct {
	driver riverdriver.Driver[TTx]
	client *river.Client[TTx] // works on nothing
	logger *slog.Logger
	lock   func(ctx context.Context) (unlock func(), err error)
}

func newEngine[TTx any](driver riverdriver.Driver[TTx], logger *slog.Logger) (*riverEngine[TTx], error) {
	client, err := river.NewClient(driver, &river.Config{Logger: logger})
	if err != nil {
		return nil, err
	}
	return &riverEngine[TTx]{driver: driver, client: client, logger: logger}, nil
}

// openSQLite opens a file so that what is committed is on disk. One connection
// is what SQLite has a use for: it has one writer at a time.
func openSQLite(path string, logger *slog.Logger) (engine, func() error, error) {
	file := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}
	file.RawQuery = url.Values{
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)"},
		"_txlock": {"immediate"},
	}.Encode()
	pool, err := sql.Open("sqlite", file.String())
	if err != nil {
		return nil, nil, err
	}
	pool.SetMaxOpenConns(1)
	e, err := newEngine(riversqlite.New(pool), logger)
	if err != nil {
		return nil, nil, errors.Join(err, pool.Close())
	}
	e.lock = func(context.Context) (func(), error) { return func() {}, nil }
	return e, pool.Close, nil
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

func (e *riverEngine[TTx]) executor() riverdriver.Executor { return e.driver.GetExecutor() }

func (e *riverEngine[TTx]) migrate(ctx context.Context) error {
	unlock, err := e.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	migrator, err := rivermigrate.New(e.driver, &rivermigrate.Config{Logger: e.logger})
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	for _, statement := range schema[e.driver.DatabaseName()] {
		if err := e.executor().Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

func (e *riverEngine[TTx]) insert(ctx context.Context, tx riverdriver.ExecutorTx, jobs []river.InsertManyParams) ([]*rivertype.JobInsertResult, error) {
	return e.client.InsertManyTx(ctx, e.driver.UnwrapTx(tx), jobs)
}

func (e *riverEngine[TTx]) list(ctx context.Context, params *river.JobListParams) ([]*rivertype.JobRow, error) {
	result, err := e.client.JobList(ctx, params)
	if err != nil {
		return nil, err
	}
	return result.Jobs, nil
}

func (e *riverEngine[TTx]) get(ctx context.Context, id int64) (*rivertype.JobRow, error) {
	return e.client.JobGet(ctx, id)
}

func (e *riverEngine[TTx]) retry(ctx context.Context, id int64) error {
	_, err := e.client.JobRetry(ctx, id)
	return err
}

func (e *riverEngine[TTx]) remove(ctx context.Context, id int64) error {
	_, err := e.client.JobDelete(ctx, id)
	return err
}

func (e *riverEngine[TTx]) worker(config *river.Config) (riverWorker, error) {
	return river.NewClient(e.driver, config)
}

func (e *riverEngine[TTx]) pages() uiendpoints.Bundle { return riverui.NewEndpoints(e.client, nil) }

// Interface guards
var (
	_ engine = (*riverEngine[*sql.Tx])(nil)
	_ engine = (*riverEngine[pgx.Tx])(nil)
)
