// Command bench measures the gateway beside its peers on this machine: plain reverse_proxy, a naive handler, and nginx
// with and without an HMAC. README.md says what is measured and how.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// settings are what the flags say.
type settings struct {
	rounds      int
	duration    time.Duration
	warmup      time.Duration
	connections int
	held        int
	heldRuns    int
	only        string
	skip        string
	profiles    string
	abuse       bool
	abuseFor    time.Duration
	addresses   int
	slow        int
	endpoints   int
}

func main() {
	if role := os.Getenv(roleVariable); role != "" {
		exit(play(role, os.Args[1:]))
	}
	var s settings
	flag.IntVar(&s.rounds, "rounds", 15, "interleaved rounds of each measurement")
	flag.DurationVar(&s.duration, "duration", time.Second, "how long each contender is loaded in a round")
	flag.DurationVar(&s.warmup, "warmup", 200*time.Millisecond, "load before that, not measured")
	flag.IntVar(&s.connections, "connections", 32, "connections of the load generator, each with one request at a time")
	flag.IntVar(&s.held, "held", 256, "bodies of 1 MiB that the backend holds")
	flag.IntVar(&s.heldRuns, "held-runs", 3, "runs of that, each with fresh processes")
	flag.StringVar(&s.only, "only", "", "contenders to measure beside plain reverse_proxy, such as gateway-pinned,nginx-Lua; with -abuse, words in the kind of traffic (default all)")
	flag.StringVar(&s.skip, "skip", "", "sections to leave out, with commas between them: 1KB, 64KB, held, handler, rescue, store")
	flag.StringVar(&s.profiles, "cpuprofile", "", "an existing folder for a CPU profile of each Caddy process")
	flag.BoolVar(&s.abuse, "abuse", false, "send bad traffic of every kind instead, and see that good deliveries go on")
	flag.DurationVar(&s.abuseFor, "abuse-for", 15*time.Second, "how long each kind of bad traffic lasts")
	flag.IntVar(&s.addresses, "addresses", 1_000_000, "client addresses to send from, once each")
	flag.IntVar(&s.slow, "slow", 1000, "connections that send a body byte by byte")
	flag.IntVar(&s.endpoints, "endpoints", 1000, "endpoints of one gateway")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, s, os.Stdout))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// run makes all measurements, one after the other, and writes the report.
func run(ctx context.Context, s settings, out io.Writer) error {
	if s.rounds < 1 || s.duration <= 0 || s.connections < 1 || s.held < 1 || s.heldRuns < 1 {
		return fmt.Errorf("rounds, duration, connections, held and held-runs must be above 0")
	}
	bench, err := newBench(s, out)
	if err != nil {
		return err
	}
	defer bench.close()
	if s.abuse {
		return bench.runAbuse(ctx)
	}
	bench.printMachine()
	var goals []goal
	for _, section := range []struct {
		name    string
		measure func(context.Context) ([]goal, error)
	}{
		{"1KB", bench.measureSmall},
		{"64KB", bench.measureLarge},
		{"held", bench.measureHeld},
		{"handler", bench.measureHandler},
		{"rescue", bench.measureRescue},
		{"store", bench.measureStore},
	} {
		if named(s.skip, section.name) {
			fmt.Fprintf(out, "\n%s: left out\n", section.name)
			continue
		}
		found, err := section.measure(ctx)
		if err != nil {
			return err
		}
		goals = append(goals, found...)
	}
	bench.printGoals(goals)
	return nil
}

func named(list, name string) bool {
	for word := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(word) == name {
			return true
		}
	}
	return false
}
