package queue

import (
	"context"
	"database/sql"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
	"riverqueue.com/riverui"
	"riverqueue.com/riverui/uiendpoints"
)

// engine is River on one kind of database.
type engine interface {
	executor() riverdriver.Executor
	migrate(ctx context.Context) error
	reset() // gives up connections that may be broken
	insert(ctx context.Context, tx riverdriver.ExecutorTx, jobs []river.InsertManyParams) ([]*rivertype.JobInsertResult, error)
	list(ctx context.Context, params *river.JobListParams) ([]*rivertype.JobRow, error)
	get(ctx context.Context, id int64) (*rivertype.JobRow, error)
	retry(ctx context.Context, id int64) error
	remove(ctx context.Context, id int64) error
	cancel(ctx context.Context, id int64) (rivertype.JobState, error)
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
	drop   func() // connections that may be broken
}

func newEngine[TTx any](driver riverdriver.Driver[TTx], logger *slog.Logger) (*riverEngine[TTx], error) {
	logger = warnings(logger)
	client, err := river.NewClient(driver, &river.Config{Logger: logger})
	if err != nil {
		return nil, err
	}
	return &riverEngine[TTx]{driver: driver, client: client, logger: logger}, nil
}

func (e *riverEngine[TTx]) executor() riverdriver.Executor { return e.driver.GetExecutor() }

func (e *riverEngine[TTx]) reset() { e.drop() }

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
