package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestClockIsSlowWhileSomethingStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock(1.0 / 10)
		start := time.Now()
		go func() {
			time.Sleep(time.Second)
			_ = c.slow(func() error { time.Sleep(5 * time.Second); return nil }) // half a second on the clock
		}()
		if err := c.sleep(t.Context(), 3*time.Second); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got != 7500*time.Millisecond {
			t.Errorf("3 s took %v: 1 s, then 5 s for half a second, then 1.5 s are expected", got)
		}
		start = time.Now()
		if err := c.sleep(t.Context(), time.Second); err != nil || time.Since(start) != time.Second {
			t.Errorf("a second took %v: %v", time.Since(start), err)
		}
	})
}

func TestClockEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := newClock(1).sleep(ctx, time.Hour); err == nil || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}
