package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/klinkgate/caddy-klink/bench/process"
)

// abuse is one kind of bad traffic, with as many endpoints as it is for.
type abuse struct {
	name      string
	endpoints int
	traffic   func(context.Context, *target) tally
}

func (b *bench) abuses() []abuse {
	return []abuse{
		{"good deliveries alone", 1, b.calm},
		{"every reason of refusal, 64 connections", 1, b.everyRefusal},
		{fmt.Sprintf("%d addresses, 64 connections", b.addresses), 1, b.manyAddresses},
		{"1,000 header names a request, 64 connections", 1, b.manyHeaders},
		{fmt.Sprintf("bodies byte by byte, %d connections", b.slow), 1, b.slowBodies},
		{"good bodies of 1 MiB, 256 connections", 1, b.fullBodies},
		{"forged bodies of 1 MiB, 256 connections", 1, b.forgedBodies},
		{"forged, 130,000 shuffled members, 256 connections", 1, b.hardBodies},
		{"wrong signatures to diagnose, 32 connections", 1, b.diagnoses},
		{fmt.Sprintf("%d endpoints with all they can keep", b.endpoints), b.endpoints, b.fullState},
		{fmt.Sprintf("%d endpoints with signatures to diagnose", b.endpoints), b.endpoints, b.diagnoses},
	}
}

// runAbuse makes each kind of bad traffic at a gateway of its own while good deliveries go on, and writes a table.
func (b *bench) runAbuse(ctx context.Context) error {
	b.printf("%s; %d cores, %s; %s, Caddy %s\n", time.Now().Format(time.DateOnly), runtime.NumCPU(), cpuModel(), runtime.Version(), caddyVersion())
	b.printf("%v of each kind; good deliveries of 1 KB on %d connections, %v between them\n", b.abuseFor, goodConnections, goodPause)
	b.printf("\n| %-49s |     bad | wrong |   good | lost | p50 ms | p99 ms | max ms | RSS MB | heap MB | after | goroutines |\n", "")
	b.printf("|%s|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n", strings.Repeat("-", 51))
	var failed []error
	for _, a := range b.abuses() {
		if b.only != "" && !strings.Contains(a.name, b.only) {
			continue
		}
		if err := b.suffer(ctx, a); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", a.name, err))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errors.Join(failed...)
}

// target is a gateway that is abused.
type target struct {
	*process.Process
	address   string
	admin     string
	endpoints int
}

// suffer is one row of the table. It fails when a good delivery was lost, a bad one was not answered as it should be,
// or something was left behind.
func (b *bench) suffer(ctx context.Context, a abuse) error {
	t, stop, err := b.startTarget(ctx, a.endpoints)
	if err != nil {
		return err
	}
	defer stop()
	good, err := newGoodSenders(t)
	if err != nil {
		return err
	}
	good.run(func() { time.Sleep(b.warmup) })
	before, err := t.settled(ctx, 0)
	if err != nil {
		return err
	}
	watch := t.watch()
	var bad tally
	delivered := good.run(func() { bad = a.traffic(ctx, t) })
	heap := watch()
	after, err := t.settled(ctx, before.goroutines)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, t.Log())
	}
	rss, err := t.Peak()
	if err != nil {
		return err
	}
	lost, reasonsLost := reasons(delivered.failures)
	wrong, reasonsWrong := reasons(bad.wrong)
	b.printf("| %-49s | %7d | %5d | %6d | %4d | %6.1f | %6.1f | %6.0f | %6.0f | %7.0f | %5.1f | %d → %d |\n",
		a.name, bad.answered, wrong, delivered.requests, lost, ms(delivered.percentile(0.5)), ms(delivered.percentile(0.99)),
		ms(delivered.percentile(1)), float64(rss)/1e6, heap/1e6, after.heap/1e6, before.goroutines, after.goroutines)
	if lost+wrong > 0 {
		return fmt.Errorf("lost%s; wrongly answered%s", reasonsLost, reasonsWrong)
	}
	if after.goroutines > before.goroutines {
		return fmt.Errorf("%d goroutines are left behind", after.goroutines-before.goroutines)
	}
	return nil
}

func ms(d time.Duration) float64 { return 1e3 * d.Seconds() }

// startTarget starts a gateway and a backend that looks at every byte.
func (b *bench) startTarget(ctx context.Context, endpoints int) (*target, func(), error) {
	dir, err := os.MkdirTemp(b.dir, "abuse")
	if err != nil {
		return nil, nil, err
	}
	backend := process.FreeAddress()
	behind, err := startSelf(dir, roleChecker, backend)
	if err != nil {
		return nil, nil, err
	}
	t := &target{address: process.FreeAddress(), admin: process.FreeAddress(), endpoints: endpoints}
	if t.Process, err = startCaddyfile(dir, abusedCaddyfile(t, backend, dir), ""); err != nil {
		behind.Stop()
		return nil, nil, err
	}
	stop := func() { t.Stop(); behind.Stop() }
	if err = behind.AwaitListening(ctx, backend); err == nil {
		err = t.AwaitListening(ctx, t.address)
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, t.Log())
		stop()
		return nil, nil, err
	}
	return t, stop, nil
}

// abusedCaddyfile has all endpoints on paths of their own. Whoever connects is a trusted proxy, so that
// X-Forwarded-For says where a request comes from.
func abusedCaddyfile(t *target, backend, dir string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{
	admin %s
	auto_https off
	persist_config off
	log {
		output file %s/gateway.log {
			roll_size 50MiB
			roll_keep 1
		}
	}
	servers {
		trusted_proxies static 127.0.0.1/32
	}
}

http://%s {
	bind 127.0.0.1
	klink_webhook /basic* {
		name by-user
		basic user password
	}
	klink_webhook /header* {
		name by-header
		header X-Key value
	}
`, t.admin, dir, t.address)
	for i := range t.endpoints {
		fmt.Fprintf(&b, "\tklink_webhook %s* {\n\t\tname endpoint%d\n\t\thmac %s\n\t}\n", endpointPath(i), i, secret)
	}
	fmt.Fprintf(&b, `	reverse_proxy %s {
		transport http {
			keepalive 1s
		}
	}
}
`, backend)
	return b.String()
}

func endpointPath(i int) string { return fmt.Sprintf("/endpoint%05d", i) }
