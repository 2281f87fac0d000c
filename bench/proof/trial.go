package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/klinkgate/caddy-klink/bench/postgres"
	"github.com/klinkgate/caddy-klink/bench/process"
	"github.com/klinkgate/caddy-klink/sender"
)

// trial is one contender between K-LINK and a backend.
type trial struct {
	settings
	contender
	postgres *postgres.Server

	ledger  *ledger
	backend *backend
	gateway *gateway
	klink   *sender.Sender
	clock   *clock // K-LINK's

	restarted []time.Time // the database
}

// open starts everything; close is needed after an error too.
func (t *trial) open(ctx context.Context, caddy, dir, database string) error {
	p := place{
		dir: dir, listen: process.FreeAddress(), metrics: process.FreeAddress(), backend: process.FreeAddress(),
		database: database, scale: t.scale,
	}
	signing, err := signing()
	if err != nil {
		return err
	}
	events, err := identified(t.seed, t.events)
	if err != nil {
		return err
	}
	t.ledger = newLedger(expectation{p.listen, signing}, events)
	t.backend = newBackend(p.backend, t.settings, t.ledger)
	if err := t.backend.listen(); err != nil {
		return err
	}
	credential, err := signing.Credential()
	if err != nil {
		return err
	}
	t.clock = newClock(t.scale)
	t.klink, err = sender.New(sender.Config{
		URL: "http://" + p.listen + target, Credentials: []sender.Credential{credential},
		TimeScale: float64(t.scale), Timeout: t.scale.of(sender.Timeout), Sleep: t.clock.sleep,
	})
	if err != nil {
		return err
	}
	t.gateway, err = startGateway(ctx, caddy, t.contender, p)
	return err
}

func (t *trial) close() {
	if t.gateway != nil {
		t.gateway.stop()
	}
	if t.klink != nil {
		t.klink.Close()
	}
	if t.backend != nil {
		t.backend.close()
	}
}

// maxInFlight is more attempts than are ever under way: K-LINK does not wait for one event before it sends the next.
const maxInFlight = 1024

// play sends the events from first up to end as K-LINK does, evenly over the duration on its clock.
func (t *trial) play(ctx context.Context, first, end int, duration time.Duration) error {
	pause := duration / time.Duration(end-first)
	return t.klink.Run(ctx, sender.Plan{
		Count:       end - first,
		Concurrency: maxInFlight,
		Event: func(n int) sender.Event {
			if !t.klink.Deactivated() {
				_ = t.clock.sleep(ctx, pause) // Run sees that ctx has ended
			}
			return t.ledger.entries[first+n].event
		},
	}, t.ledger.report)
}

// try runs one contender through everything and accounts for its events.
func (p *proof) try(ctx context.Context, c contender) (result, error) {
	p.say("%s: %d events in %v, then what is left", c.name, p.events, p.duration)
	t, err := p.openTrial(ctx, c, p.settings, "")
	if err != nil {
		return result{}, err
	}
	defer t.close()
	if err := t.run(ctx); err != nil {
		return result{}, fmt.Errorf("%w\n%s", err, t.gateway.log())
	}
	drained, left, err := t.drain(ctx)
	if err != nil {
		return result{}, fmt.Errorf("%w\n%s", err, t.gateway.log())
	}
	r := t.account()
	r.Drained, r.Left = drained, left
	return r, nil
}

// meanAbsence is how long the backend is away at a time, of K-LINK's time: longer than all of its retries take.
const meanAbsence = 4 * time.Minute

// run sends all events while the backend goes through its phases and the gateway is disturbed.
func (t *trial) run(ctx context.Context) error {
	start := time.Now()
	phases := newSchedule(dice(t.seed, forPhases), t.duration, t.scale.of(meanAbsence), t.away)
	meanwhile, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 2)
	go func() { ended <- t.backend.follow(meanwhile, start, phases) }()
	go func() { ended <- t.disturb(meanwhile, start) }()
	err := t.play(ctx, 0, t.events, t.duration)
	stop() // an endpoint that is off gets no more events
	return errors.Join(err, <-ended, <-ended)
}

// disturb kills the gateway and restarts the database, and ends early with ctx.
func (t *trial) disturb(ctx context.Context, start time.Time) error {
	restarts := 0
	if t.contender.postgres && t.postgres.Ours() {
		restarts = t.restarts
	}
	for _, d := range newDisturbances(dice(t.seed, forDisturbances), t.duration, t.kills, restarts) {
		pause(ctx, time.Until(start.Add(d.at)))
		if ctx.Err() != nil {
			return nil //nolint:nilerr // all events are sent
		}
		if err := t.disturbOnce(context.WithoutCancel(ctx), d); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) disturbOnce(ctx context.Context, d disturbance) error {
	return t.clock.slow(func() error {
		if d.database {
			t.restarted = append(t.restarted, time.Now())
			return t.postgres.Restart(ctx)
		}
		return t.gateway.kill(ctx)
	})
}

// maxDrain bounds how long what is left may take.
const maxDrain = 5 * time.Minute

// settled is how long an inbox is empty before that is believed: its depth is measured once in a second.
const settled = 2500 * time.Millisecond

// drain waits until the inbox has delivered everything and the backend is idle. It returns how long that took, nil if it
// did not come to an end, and how many events are left.
func (t *trial) drain(ctx context.Context) (took *seconds, left int, err error) {
	start := time.Now()
	busy := start // the last time that there was something
	for end := start.Add(min(t.scale.of(3*time.Hour)+15*time.Second, maxDrain)); time.Now().Before(end); pause(ctx, 100*time.Millisecond) {
		if left, err = t.left(ctx); err != nil {
			return nil, left, err
		}
		if left > 0 || !t.backend.idle() {
			busy = time.Now()
		} else if !t.inbox() || time.Since(busy) >= settled {
			return &seconds{busy.Sub(start)}, left, nil
		}
	}
	return nil, left, ctx.Err()
}

// left returns how many events the inbox still has to deliver.
func (t *trial) left(ctx context.Context) (int, error) {
	if !t.inbox() {
		return 0, nil
	}
	return t.gateway.depth(ctx)
}
