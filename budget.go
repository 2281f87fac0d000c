package klink

import (
	"sync"
	"time"
)

// The vendor's rule: an endpoint with more errors than this within the window is
// switched off.
const (
	defaultBudgetLimit  = 50
	defaultBudgetWindow = time.Hour
)

// budgetLevel says how much of an error budget is used.
type budgetLevel int

// The levels at which an operator is told.
const (
	budgetFine budgetLevel = iota
	budgetHalf
	budgetMost // 80 %
	budgetGone
)

// budget counts errors over a sliding window, exactly: it remembers the time of
// each, up to one more than the limit.
type budget struct {
	mu      sync.Mutex
	limit   int
	window  time.Duration
	errors  []time.Time // the latest last
	level   budgetLevel
	expiry  *time.Timer // when the oldest error leaves the window
	closed  bool
	crossed func(budgetLevel, BudgetStatus)
}

// BudgetStatus is an error budget at one moment.
type BudgetStatus struct {
	Limit     int     `json:"limit"`
	Window    float64 `json:"window_seconds"`
	Used      int     `json:"used"`
	Remaining int     `json:"remaining"`
}

func newBudget() *budget {
	return &budget{
		limit: defaultBudgetLimit, window: defaultBudgetWindow,
		crossed: func(budgetLevel, BudgetStatus) {},
	}
}

// configure changes the rule, by which the errors so far are counted as well,
// and what is called with every rise of the level, and with budgetFine once it
// has fallen below the first.
func (b *budget) configure(limit int, window time.Duration, crossed func(budgetLevel, BudgetStatus)) {
	b.change(func(time.Time) { b.limit, b.window, b.crossed = limit, window, crossed })
}

// spend counts one error.
func (b *budget) spend() {
	b.change(func(now time.Time) { b.errors = append(b.errors, now) })
}

func (b *budget) status() (s BudgetStatus) {
	b.change(func(time.Time) {})
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.snapshot()
}

// change brings the budget up to date, and tells of a level that was crossed
// when nobody waits for the lock any more.
func (b *budget) change(apply func(now time.Time)) {
	b.mu.Lock()
	now := time.Now()
	before := b.level
	if !b.closed {
		apply(now)
		b.forget(now)
		b.level = levelOf(len(b.errors), b.limit)
		b.schedule(now)
	}
	level, status, crossed := b.level, b.snapshot(), b.crossed
	b.mu.Unlock()

	if level > before || level == budgetFine && before > budgetFine {
		crossed(level, status)
	}
}

func (b *budget) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.expiry != nil {
		b.expiry.Stop()
	}
}

func (b *budget) snapshot() BudgetStatus {
	used := len(b.errors)
	return BudgetStatus{Limit: b.limit, Window: b.window.Seconds(), Used: used, Remaining: max(0, b.limit-used)}
}

// forget drops what has left the window, and more than tells that the limit is
// exceeded.
func (b *budget) forget(now time.Time) {
	gone := max(0, len(b.errors)-b.limit-1)
	for gone < len(b.errors) && now.Sub(b.errors[gone]) >= b.window {
		gone++
	}
	b.errors = append(b.errors[:0], b.errors[gone:]...)
}

func (l budgetLevel) String() string {
	return [...]string{"fine", "half", "most", "gone"}[l]
}

func levelOf(used, limit int) budgetLevel {
	switch {
	case used >= limit:
		return budgetGone
	case used*10 >= limit*8:
		return budgetMost
	case used*2 >= limit:
		return budgetHalf
	default:
		return budgetFine
	}
}

// schedule looks again when the oldest error leaves the window, so that a
// recovery is noticed although nothing arrives.
func (b *budget) schedule(now time.Time) {
	if len(b.errors) == 0 {
		return
	}
	wait := b.errors[0].Add(b.window).Sub(now)
	if b.expiry == nil {
		b.expiry = time.AfterFunc(wait, func() { b.change(func(time.Time) {}) })
		return
	}
	b.expiry.Reset(wait)
}
