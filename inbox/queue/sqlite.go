package queue

import (
	"context"
	"database/sql"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivertype"
)

// sqliteDriver is River's driver for SQLite, but for how jobs are completed: it
// has one long statement for each job, which SQLite compiles each time, and that
// takes as long as everything else about a delivery.
type sqliteDriver struct{ *riversqlite.Driver }

// GetExecutor implements riverdriver.Driver.
func (d sqliteDriver) GetExecutor() riverdriver.Executor {
	return sqliteExecutor{d.Driver.GetExecutor()}
}

type sqliteExecutor struct{ riverdriver.Executor }

// JobSetStateIfRunningMany implements riverdriver.Executor. It returns no rows for
// the jobs that it completes: River only tells subscribers of them, and there are
// none. Most are completed already, see Queue.delivered.
func (e sqliteExecutor) JobSetStateIfRunningMany(ctx context.Context, params *riverdriver.JobSetStateIfRunningManyParams) ([]*rivertype.JobRow, error) {
	var completed []int64
	rest := &riverdriver.JobSetStateIfRunningManyParams{Now: params.Now, Schema: params.Schema}
	for i, state := range params.State {
		if state == rivertype.JobStateCompleted && params.ErrData[i] == nil && !params.MetadataDoMerge[i] {
			completed = append(completed, params.ID[i])
			continue
		}
		rest.ID = append(rest.ID, params.ID[i])
		rest.Attempt = append(rest.Attempt, params.Attempt[i])
		rest.ErrData = append(rest.ErrData, params.ErrData[i])
		rest.FinalizedAt = append(rest.FinalizedAt, params.FinalizedAt[i])
		rest.MetadataDoMerge = append(rest.MetadataDoMerge, params.MetadataDoMerge[i])
		rest.MetadataUpdates = append(rest.MetadataUpdates, params.MetadataUpdates[i])
		rest.ScheduledAt = append(rest.ScheduledAt, params.ScheduledAt[i])
		rest.State = append(rest.State, state)
	}
	if err := (&Database{sqlite: true}).completeJobs(ctx, e.Executor, completed); err != nil {
		return nil, err
	}
	if len(rest.ID) == 0 {
		return nil, nil
	}
	return e.Executor.JobSetStateIfRunningMany(ctx, rest)
}

var _ riverdriver.Driver[*sql.Tx] = sqliteDriver{}
