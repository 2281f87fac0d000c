package main

import (
	"context"
	"fmt"
	"time"
)

// solo is what a handler alone cost in each round.
type solo struct {
	name        string
	seconds     []float64
	ratios      []float64 // to the pooled HMAC in the same round
	allocations []float64
	bytes       []float64
}

// measureHandler measures handlers without server and backend beside a pooled HMAC of the same body.
func (b *bench) measureHandler(ctx context.Context) ([]goal, error) {
	handlers, stop, err := provisioned()
	if err != nil {
		return nil, err
	}
	defer stop()
	var goals []goal
	for _, size := range []struct {
		name string
		body []byte
	}{
		{"1 KB", event(1, smallBody)},
		{"64 KB", event(1, largeBody)},
	} {
		solos, err := b.solos(ctx, handlers, size.body)
		if err != nil {
			return nil, err
		}
		b.printSolos(fmt.Sprintf("Handler alone, body of %s (%d bytes)", size.name, len(size.body)), solos)
		gateway := solos[1]
		goals = append(goals,
			goal{"handler alone, " + size.name + ", of a pooled HMAC", median(gateway.ratios), 4},
			goal{"handler alone, " + size.name + ", allocations", median(gateway.allocations), 2})
	}
	return goals, nil
}

// solos makes all rounds for one body. The first result is the pooled HMAC's, the second the gateway's.
func (b *bench) solos(ctx context.Context, handlers []alone, body []byte) ([]*solo, error) {
	c, err := newCall(body)
	if err != nil {
		return nil, err
	}
	calls := []func() error{c.sign}
	all := []*solo{{name: "pooled HMAC"}}
	for _, h := range handlers {
		calls = append(calls, func() error { return c.serve(h.handler) })
		all = append(all, &solo{name: h.name})
	}
	for range b.rounds {
		for i, call := range calls {
			if err := all[i].measure(call, b.duration/time.Duration(len(calls)), all[0]); err != nil {
				return nil, fmt.Errorf("%s: %w", all[i].name, err)
			}
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return all, nil
}

// measure adds what one round gives. The reference has had its turn in it.
func (s *solo) measure(call func() error, duration time.Duration, reference *solo) error {
	seconds, err := timed(duration, call)
	if err != nil {
		return err
	}
	times, bytes, err := allocated(call)
	if err != nil {
		return err
	}
	s.seconds = append(s.seconds, seconds)
	s.ratios = append(s.ratios, seconds/reference.seconds[len(s.seconds)-1])
	s.allocations = append(s.allocations, times)
	s.bytes = append(s.bytes, bytes)
	return nil
}
