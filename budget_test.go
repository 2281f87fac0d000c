package klink

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// tell makes crossed what is told under the vendor's rule.
func (b *budget) tell(crossed func(budgetLevel, BudgetStatus)) {
	b.configure(defaultBudgetLimit, defaultBudgetWindow, crossed)
}

// told collects what a budget tells.
type told struct {
	mu     sync.Mutex
	levels []string
}

func (t *told) budget() *budget {
	b := newBudget()
	b.tell(func(level budgetLevel, _ BudgetStatus) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.levels = append(t.levels, level.String())
	})
	return b
}

func (t *told) expect(test *testing.T, want ...string) {
	test.Helper()
	synctest.Wait()
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.Equal(t.levels, want) {
		test.Errorf("told %v, want %v", t.levels, want)
	}
	t.levels = nil
}

func spend(b *budget, n int) {
	for range n {
		b.spend()
	}
}

func TestBudgetTellsEachCrossingOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told told
		b := told.budget()
		defer b.close()
		spend(b, 24)
		told.expect(t)
		spend(b, 1)
		told.expect(t, "half")
		spend(b, 14)
		told.expect(t)
		spend(b, 1)
		told.expect(t, "most")
		spend(b, 10)
		told.expect(t, "gone")
		spend(b, 200)
		told.expect(t)
		if s := b.status(); s.Used != 51 || s.Remaining != 0 || s.Limit != 50 || s.Window != 3600 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestBudgetRecoversThoughNothingArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told told
		b := told.budget()
		defer b.close()
		spend(b, 30)
		told.expect(t, "half")
		time.Sleep(time.Hour - time.Nanosecond)
		told.expect(t)
		time.Sleep(time.Nanosecond)
		told.expect(t, "fine")
		if s := b.status(); s.Used != 0 || s.Remaining != 50 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestBudgetWindowSlides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told told
		b := told.budget()
		defer b.close()
		for range 40 { // one a minute
			b.spend()
			time.Sleep(time.Minute)
		}
		told.expect(t, "half", "most")
		time.Sleep(21*time.Minute - time.Second) // 61 minutes less a second after the first
		if used := b.status().Used; used != 39 {
			t.Errorf("used %d, want 39", used)
		}
		time.Sleep(time.Second)
		if used := b.status().Used; used != 38 {
			t.Errorf("used %d, want 38", used)
		}
		told.expect(t)
		spend(b, 2) // it had fallen below 80 %: a crossing of its own
		told.expect(t, "most")
	})
}

func TestBudgetIsExactBeyondTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told told
		b := told.budget()
		defer b.close()
		spend(b, 30)
		time.Sleep(30 * time.Minute)
		spend(b, 40) // 70 within the hour: the first 19 are not remembered
		time.Sleep(30 * time.Minute)
		if s := b.status(); s.Used != 40 || s.Remaining != 10 {
			t.Errorf("status %+v, want the 40 of the last half hour", s)
		}
	})
}

func TestBudgetTakesANewRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told told
		b := told.budget()
		defer b.close()
		spend(b, 20)
		b.configure(20, time.Hour, b.crossed)
		told.expect(t, "gone")
		b.configure(100, time.Hour, b.crossed)
		told.expect(t, "fine")
		time.Sleep(time.Minute)
		b.configure(20, time.Minute, b.crossed)
		if used := b.status().Used; used != 0 {
			t.Errorf("used %d in the last minute", used)
		}
	})
}

func TestAClosedBudgetTellsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told told
		b := told.budget()
		spend(b, 25)
		told.expect(t, "half")
		b.close()
		time.Sleep(2 * time.Hour)
		b.spend()
		told.expect(t)
	})
}
