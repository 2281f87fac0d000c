package main

import (
	"context"
	"sync"
	"time"
)

// clock is K-LINK's. Its time is compressed, but what happens while something is being started cannot be: for so long it
// goes as slowly as a real one.
type clock struct {
	scale scale

	mu      sync.Mutex
	real    bool
	changed chan struct{} // closed, and replaced, when the speed changes
}

func newClock(s scale) *clock { return &clock{scale: s, changed: make(chan struct{})} }

// sleep returns after d on the clock, or as soon as ctx ends.
func (c *clock) sleep(ctx context.Context, d time.Duration) error {
	for d > 0 {
		speed, changed := c.speed()
		began := time.Now()
		timer := time.NewTimer(time.Duration(float64(d) / speed))
		select {
		case <-timer.C:
			return nil
		case <-changed:
		case <-ctx.Done():
		}
		timer.Stop()
		d -= time.Duration(float64(time.Since(began)) * speed)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (c *clock) speed() (speed float64, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real {
		return float64(c.scale), c.changed
	}
	return 1, c.changed
}

// slow makes the clock a real one while do runs.
func (c *clock) slow(do func() error) error {
	c.set(true)
	defer c.set(false)
	return do()
}

func (c *clock) set(real bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.real = real
	close(c.changed)
	c.changed = make(chan struct{})
}
