package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/klinkgate/caddy-klink/sender"
)

// latency is what an event waits for its 200 when all is well.
type latency struct {
	P50      milliseconds `json:"p50_ms"`
	P99      milliseconds `json:"p99_ms"`
	AddedP50 milliseconds `json:"added_p50_ms"` // against plain reverse_proxy
	AddedP99 milliseconds `json:"added_p99_ms"`
}

// batch is how many events one contender gets in a round, one after the other.
const batch = 50

// healthyLatencies sends events through all contenders in turns, in real time, and returns their latencies by name.
func (p *proof) healthyLatencies(ctx context.Context) (map[string]latency, error) {
	if p.healthy == 0 {
		return nil, nil
	}
	p.say("all is well: %d events for each", p.healthy)
	s := p.settings
	s.events, s.scale = p.healthy, 1
	all := p.chosen
	if plain := contenders()[0]; !slices.Contains(all, plain) {
		all = append([]contender{plain}, all...)
	}
	var trials []*trial
	for _, c := range all {
		t, err := p.openTrial(ctx, c, s, "")
		if err != nil {
			return nil, err
		}
		defer t.close()
		trials = append(trials, t)
	}
	waits := map[string][]time.Duration{}
	for first := 0; first < s.events; first += batch {
		for i := range trials {
			t := trials[(first/batch+i)%len(trials)] // everybody begins as often as everybody else
			some, err := t.one(ctx, first, min(first+batch, s.events))
			if err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", t.name, err, t.gateway.log())
			}
			waits[t.name] = append(waits[t.name], some...)
		}
	}
	return compared(waits, contenders()[0].name), nil
}

// one sends events one by one and waits until they are delivered.
func (t *trial) one(ctx context.Context, first, end int) (waits []time.Duration, err error) {
	for _, e := range t.ledger.entries[first:end] {
		d, err := t.klink.Send(ctx, e.event)
		if err != nil {
			return nil, err
		}
		if d.Outcome != sender.Delivered || len(d.Attempts) != 1 {
			return nil, fmt.Errorf("event %s: %s after %d attempts", e.event.Name, d.Outcome, len(d.Attempts))
		}
		waits = append(waits, d.Attempts[0].Latency)
	}
	return waits, t.await(ctx, t.ledger.entries[first:end])
}

// await waits until the backend has processed the events.
func (t *trial) await(ctx context.Context, entries []*entry) error {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end) && ctx.Err() == nil; pause(ctx, 5*time.Millisecond) {
		if t.ledger.done(entries) {
			return nil
		}
	}
	return errors.Join(errors.New("not all events have reached the backend after 30 s"), ctx.Err())
}

func compared(waits map[string][]time.Duration, base string) map[string]latency {
	p50, p99 := percentiles(waits[base])
	all := map[string]latency{}
	for name, some := range waits {
		l := latency{}
		own50, own99 := percentiles(some)
		l.P50.Duration, l.P99.Duration = own50, own99
		l.AddedP50.Duration, l.AddedP99.Duration = own50-p50, own99-p99
		all[name] = l
	}
	return all
}

func percentiles(waits []time.Duration) (p50, p99 time.Duration) {
	slices.Sort(waits)
	return waits[len(waits)/2], waits[len(waits)*99/100]
}
