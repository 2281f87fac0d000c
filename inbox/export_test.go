package inbox

import (
	"context"
	"time"

	"github.com/klinkgate/caddy-klink/inbox/queue"
)

// RegisterMetrics registers what every inbox of this process shows.
var RegisterMetrics = registerMetrics

// AddLate makes an inbox believe that there are more late attempts, until it is
// taken back.
func AddLate(name string, attempts, bytes int64) (takeBack func()) {
	l := lateOf(name)
	l.attempts.Add(attempts)
	l.bytes.Add(bytes)
	return func() {
		l.attempts.Add(-attempts)
		l.bytes.Add(-bytes)
	}
}

// Late returns how many attempts of an inbox are late, and the bytes of their
// bodies.
func Late(name string) (attempts, bytes int64) {
	l := lateOf(name)
	return l.attempts.Load(), l.bytes.Load()
}

func lateOf(name string) (l *late) {
	states.Range(func(key, value any) bool {
		if key == name {
			l = &value.(*state).late
		}
		return l == nil
	})
	return l
}

// DiscardDead discards the dead events of an inbox until then, as the admin API
// does.
func DiscardDead(ctx context.Context, name string, until time.Time) (done int, after int64, err error) {
	result, err := inboxes()[name].changeAll(ctx, discard, queue.Filter{States: []queue.State{queue.Dead}}, largestPage, until)
	return result.Done, result.After, err
}
