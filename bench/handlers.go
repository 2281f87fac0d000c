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
	maker, err := newCallMaker(body)
	if err != nil {
		return nil, err
	}
	reference := &solo{name: "pooled HMAC"}
	all := []*solo{reference}
	for _, h := range handlers {
		all = append(all, &solo{name: h.name})
	}
	slice := b.duration / time.Duration(len(all))
	for range b.rounds {
		hmac := signFor(body, slice)
		reference.add(cost{seconds: hmac}, hmac)
		for i, h := range handlers {
			c, err := h.serve(maker, slice)
			if err != nil {
				return nil, err
			}
			all[i+1].add(c, hmac)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return all, nil
}

func (s *solo) add(c cost, hmac float64) {
	s.seconds = append(s.seconds, c.seconds)
	s.ratios = append(s.ratios, c.seconds/hmac)
	s.allocations = append(s.allocations, c.allocations)
	s.bytes = append(s.bytes, c.bytes)
}
