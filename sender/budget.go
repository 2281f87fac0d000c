package sender

import (
	"context"
	"sync"
	"time"
)

// errorBudget is the vendor's rule: more than MaxErrors errors within a sliding window, and the endpoint is deactivated
// for good.
type errorBudget struct {
	window time.Duration
	spent  context.Context // ends when the budget is spent
	spend  context.CancelFunc

	mu     sync.Mutex
	recent []time.Time // of the errors, oldest first
}

func newErrorBudget(window time.Duration) *errorBudget {
	b := &errorBudget{window: window}
	b.spent, b.spend = context.WithCancel(context.Background())
	return b
}

// add notes an error at now.
func (b *errorBudget) add(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.recent) > 0 && now.Sub(b.recent[0]) >= b.window {
		b.recent = b.recent[1:]
	}
	b.recent = append(b.recent, now)
	if len(b.recent) > MaxErrors {
		b.spend()
	}
}
