package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// sample is what one contender did in one round.
type sample struct {
	cpu        float64 // seconds per request
	throughput float64 // requests per second
	p50, p99   float64 // seconds
}

// contest is one contender's part of the rounds.
type contest struct {
	*running
	samples    []sample
	failures   map[string]int
	peakMemory int64
}

func (b *bench) measureSmall(ctx context.Context) ([]goal, error) {
	return b.measureLoad(ctx, "1 KB", bodies(16, smallBody), 1.05)
}

func (b *bench) measureLarge(ctx context.Context) ([]goal, error) {
	return b.measureLoad(ctx, "64 KB", bodies(16, largeBody), 1.9)
}

// measureLoad loads the contenders in turn. The gateway's CPU time should be at most atMost of plain reverse_proxy's.
func (b *bench) measureLoad(ctx context.Context, size string, bodies [][]byte, atMost float64) ([]goal, error) {
	contests, err := b.contest(ctx, b.startBackend, b.contenders, bodies)
	if err != nil {
		return nil, err
	}
	b.printContests(fmt.Sprintf("Bodies of %s (%d bytes)", size, len(bodies[0])), contests)
	gateway := slices.IndexFunc(contests, isGateway)
	if gateway < 0 {
		return nil, nil
	}
	cpu := ratios(contests[gateway].samples, contests[0].samples, cpuOf)
	return []goal{{"CPU per request, " + size + ", of plain reverse_proxy's", median(cpu), atMost}}, nil
}

func isGateway(c *contest) bool { return c.name == gatewayName }

// contest makes all rounds for bodies of one size, with fresh processes.
func (b *bench) contest(ctx context.Context, startBackend backendStarter, contenders []contender, bodies [][]byte) ([]*contest, error) {
	backend, address, err := startBackend(ctx)
	if err != nil {
		return nil, err
	}
	defer backend.Stop()
	var contests []*contest
	for _, c := range contenders {
		r, err := b.launch(ctx, c, address, webhookPath, bodies)
		if err != nil {
			return nil, err
		}
		defer r.Stop()
		contests = append(contests, &contest{running: r, failures: map[string]int{}})
	}
	for round := range b.rounds {
		for _, c := range rotated(contests, round) {
			if err := c.measure(b.settings); err != nil {
				return nil, fmt.Errorf("%s: %w\n%s", c.name, err, c.Log())
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
		}
	}
	for _, c := range contests {
		if c.peakMemory, err = c.Peak(); err != nil {
			return nil, err
		}
	}
	return contests, nil
}

// measure adds the sample of one round.
func (c *contest) measure(s settings) error {
	g := newGenerator(c.running, s.connections)
	defer g.close()
	warm := g.run(s.warmup)
	before, err := c.CPU()
	if err != nil {
		return err
	}
	l := g.run(s.duration)
	after, err := c.CPU()
	if err != nil {
		return err
	}
	for reason, n := range warm.failures {
		c.failures[reason] += n
	}
	for reason, n := range l.failures {
		c.failures[reason] += n
	}
	if l.requests == 0 {
		return fmt.Errorf("no request was answered with 200: %v", slices.Sorted(maps.Keys(c.failures)))
	}
	c.samples = append(c.samples, sample{
		cpu:        (after - before).Seconds() / float64(l.requests),
		throughput: float64(l.requests) / l.elapsed.Seconds(),
		p50:        l.percentile(0.5).Seconds(),
		p99:        l.percentile(0.99).Seconds(),
	})
	return nil
}

func cpuOf(s sample) float64        { return s.cpu }
func throughputOf(s sample) float64 { return s.throughput }
func p50Of(s sample) float64        { return s.p50 }
func p99Of(s sample) float64        { return s.p99 }
