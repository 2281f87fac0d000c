package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// holding is what one contender needed to hold the bodies.
type holding struct {
	name     string
	peaks    []float64 // in multiples of what the bodies have themselves, by run
	bytes    []float64 // the same in bytes
	failures map[string]int
}

// measureHeld sends many bodies of 1 MiB at once to a backend that answers none before all are in.
func (b *bench) measureHeld(ctx context.Context) ([]goal, error) {
	held := bodies(4, heldBody)
	holdings := make([]*holding, len(b.contenders))
	for i, c := range b.contenders {
		holdings[i] = &holding{name: c.name, failures: map[string]int{}}
	}
	for run := range b.heldRuns {
		for _, h := range rotated(holdings, run) {
			i := slices.Index(holdings, h)
			if err := b.hold(ctx, b.contenders[i], held, h); err != nil {
				return nil, err
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	b.printHoldings(holdings)
	for _, h := range holdings {
		if h.name == gatewayName {
			return []goal{{fmt.Sprintf("peak memory with %d held bodies, of their own size", b.held), median(h.peaks), 1.6}}, nil
		}
	}
	return nil, nil
}

// hold makes one run with fresh processes.
func (b *bench) hold(ctx context.Context, c contender, held [][]byte, h *holding) error {
	backend, address, err := b.startBackend(ctx)
	if err != nil {
		return err
	}
	defer backend.Stop()
	r, err := b.launch(ctx, c, address, heldPath, held)
	if err != nil {
		return err
	}
	defer r.Stop()
	for reason, n := range sendAll(r, b.held) {
		h.failures[reason] += n
	}
	peak, err := r.Peak()
	if err != nil {
		return err
	}
	h.bytes = append(h.bytes, float64(peak))
	h.peaks = append(h.peaks, float64(peak)/float64(b.held*heldBody))
	return nil
}

// sendAll sends count requests at once, and returns the failures.
func sendAll(r *running, count int) map[string]int {
	failures := map[string]int{}
	var mu sync.Mutex
	var all sync.WaitGroup
	deadline := time.Now().Add(3 * holdAtMost)
	for i := range count {
		all.Go(func() {
			err := sendOne(r, r.requests[i%len(r.requests)], deadline)
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				failures[reason(err)]++
			}
		})
	}
	all.Wait()
	return failures
}

func sendOne(r *running, request []byte, deadline time.Time) error {
	c, err := dial(r.address, deadline)
	if err != nil {
		return err
	}
	defer c.close()
	status, err := c.exchange(request)
	if err == nil && status != 200 {
		err = fmt.Errorf("status %d", status)
	}
	return err
}

func reasons(failures map[string]int) (total int, text string) {
	for _, reason := range slices.Sorted(maps.Keys(failures)) {
		total += failures[reason]
		text += fmt.Sprintf("; %d: %s", failures[reason], reason)
	}
	return total, text
}
