package queue

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/riverqueue/river/riverdriver"
)

// The table of what River need not know of a delivery, and must not show.
// A row is there from when an event is stored until it is delivered or
// discarded.
var schema = map[string][]string{
	riverdriver.DatabaseNamePostgres: {
		`CREATE TABLE IF NOT EXISTS klink_inbox_payload (
			job_id bigint PRIMARY KEY, queue text NOT NULL, dead boolean NOT NULL, received bigint NOT NULL,
			size bigint NOT NULL, head bytea NOT NULL, body bytea NOT NULL)`,
		`CREATE INDEX IF NOT EXISTS klink_inbox_payload_usage ON klink_inbox_payload (queue, dead, received, size)`,
	},
	riverdriver.DatabaseNameSQLite: {
		`CREATE TABLE IF NOT EXISTS klink_inbox_payload (
			job_id integer PRIMARY KEY, queue text NOT NULL, dead boolean NOT NULL, received integer NOT NULL,
			size integer NOT NULL, head blob NOT NULL, body blob NOT NULL)`,
		`CREATE INDEX IF NOT EXISTS klink_inbox_payload_usage ON klink_inbox_payload (queue, dead, received, size)`,
	},
}

const payloadColumns = 7

// noteStatements note first attempts, a JSON array of them, by whether the
// database is SQLite.
var noteStatements = map[bool]string{
	false: `UPDATE river_job SET attempt = 1,
		errors = CASE WHEN jsonb_typeof(failure) = 'object' THEN ARRAY[failure] ELSE errors END,
		state = CASE WHEN dead THEN 'discarded'::river_job_state ELSE state END,
		scheduled_at = CASE WHEN dead THEN $2::timestamptz ELSE scheduled_at END,
		finalized_at = CASE WHEN dead THEN $2::timestamptz ELSE finalized_at END
		FROM jsonb_to_recordset($1::jsonb) AS first (id bigint, failure jsonb, dead boolean) WHERE river_job.id = first.id`,
	true: `UPDATE river_job SET attempt = 1,
		errors = coalesce(jsonb('[' || (first.value ->> 'failure') || ']'), errors),
		state = CASE WHEN first.value ->> 'dead' THEN 'discarded' ELSE state END,
		scheduled_at = CASE WHEN first.value ->> 'dead' THEN $2 ELSE scheduled_at END,
		finalized_at = CASE WHEN first.value ->> 'dead' THEN $2 ELSE finalized_at END
		FROM json_each($1) AS first WHERE river_job.id = first.value ->> 'id'`,
}

// sqlFor returns a statement, written with PostgreSQL's placeholders, for the
// database at hand.
func (db *Database) sqlFor(statement string) string {
	if db.sqlite {
		return strings.ReplaceAll(statement, "$", "?")
	}
	return statement
}

// timeArg returns a time as River writes it.
func (db *Database) timeArg(t time.Time) any {
	if db.sqlite {
		return t.UTC().Round(time.Millisecond).Format("2006-01-02 15:04:05.000")
	}
	return t.UTC()
}

func (db *Database) exec(ctx context.Context, on riverdriver.Executor, statement string, args ...any) error {
	return on.Exec(ctx, db.sqlFor(statement), args...)
}

func (db *Database) queryRow(ctx context.Context, statement string, args ...any) riverdriver.Row {
	return db.engine.executor().QueryRow(ctx, db.sqlFor(statement), args...)
}

// placeholders returns ($1, $2), ($3, $4) for two rows of two columns.
func placeholders(rows, columns int) string { return placeholdersFrom(1, rows, columns) }

// placeholdersFrom does so with another first number.
func placeholdersFrom(first, rows, columns int) string {
	var b strings.Builder
	for row := range rows {
		if row > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('(')
		for column := range columns {
			if column > 0 {
				b.WriteByte(',')
			}
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(first + row*columns + column))
		}
		b.WriteByte(')')
	}
	return b.String()
}

// insertPayloads writes what belongs to the jobs of the same position.
func (db *Database) insertPayloads(ctx context.Context, tx riverdriver.ExecutorTx, stored []*insertion) error {
	if len(stored) == 0 {
		return nil
	}
	args := make([]any, 0, len(stored)*payloadColumns)
	for _, in := range stored {
		d := in.delivery
		args = append(args, in.stored.ID, in.queue, in.when.Dead, d.Received.UnixMilli(), d.size(), notNil(d.Head), notNil(d.Body))
	}
	return db.exec(ctx, tx, "INSERT INTO klink_inbox_payload (job_id, queue, dead, received, size, head, body) VALUES "+
		placeholders(len(stored), payloadColumns), args...)
}

func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// complete closes the jobs of delivered events, if they are under way, and
// deletes what belongs to them.
func (db *Database) complete(ctx context.Context, on riverdriver.Executor, ids []int64) error {
	if err := db.completeJobs(ctx, on, ids); err != nil {
		return err
	}
	return db.forgetPayloads(ctx, on, ids)
}

func (db *Database) completeJobs(ctx context.Context, on riverdriver.Executor, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	args := append([]any{db.timeArg(time.Now())}, anys(ids)...)
	return db.exec(ctx, on, "UPDATE river_job SET state = 'completed', finalized_at = $1 WHERE state = 'running' AND id IN "+
		placeholdersFrom(2, 1, len(ids)), args...)
}

// forgetPayloads deletes what belongs to these jobs.
func (db *Database) forgetPayloads(ctx context.Context, on riverdriver.Executor, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	return db.exec(ctx, on, "DELETE FROM klink_inbox_payload WHERE job_id IN "+placeholders(1, len(ids)), anys(ids)...)
}

func anys(ids []int64) []any {
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	return args
}
