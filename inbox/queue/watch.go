package queue

import (
	"context"
	"time"
)

// watch starts the workers again when they take nothing though events are due.
// River's producer ends without a word, and for good, when the connection to the
// database breaks while it starts.
func (q *Queue) watch() {
	w := q.work.Load()
	if q.isClosing() || w.busy.Load() > 0 || time.Since(time.Unix(0, w.last.Load())) < q.pace.stall || q.Backlog().Waiting == 0 {
		return
	}
	if stalled, err := q.stalled(); err != nil || !stalled {
		return
	}
	q.config.Logger.Error("events are due, but the inbox's workers take none; starting them again", "inbox", q.config.Name)
	if err := w.stop(); err != nil {
		q.config.Logger.Error("the inbox's workers did not stop", "inbox", q.config.Name, "error", err)
	}
	again, err := q.startWorker()
	if err != nil {
		w.last.Store(time.Now().UnixNano()) // it is tried again, but not at once
		q.config.Logger.Error("the inbox's workers do not start; trying again", "inbox", q.config.Name, "error", err)
		return
	}
	q.work.Store(again)
}

// stalled says whether there are events that should have been taken a while ago, or
// that River's leader should have made available.
func (q *Queue) stalled() (bool, error) {
	ctx, cancel := context.WithTimeout(context.Background(), measureTimeout)
	defer cancel()
	now := time.Now()
	var n int
	err := q.db.queryRow(ctx, `SELECT count(*) FROM river_job WHERE queue = $1
		AND (state = 'available' AND scheduled_at < $2 OR state IN ('scheduled', 'retryable') AND scheduled_at < $3)
		AND NOT EXISTS (SELECT 1 FROM river_queue WHERE name = $1 AND paused_at IS NOT NULL)`,
		q.config.Name, q.db.timeArg(now.Add(-q.pace.stall)), q.db.timeArg(now.Add(-4*q.pace.stall))).Scan(&n)
	return n > 0, err
}
