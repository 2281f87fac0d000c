// Command proof shows whether an accepted event reaches the backend once, whatever happens: K-LINK's events, with its
// time-outs, retries and rule for deactivation, meet a gateway that is killed, a database that is restarted and a backend
// that is away for much of the time. It does so for plain reverse_proxy and for every kind of inbox, and accounts for
// each event. The README beside bench says how.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// settings are what the flags say.
type settings struct {
	events     int
	duration   time.Duration
	kills      int
	restarts   int
	away       float64
	scale      scale
	seed       uint64
	healthy    int
	contenders string
	disk       bool
	json       bool
}

func main() {
	var s settings
	flag.IntVar(&s.events, "events", 10_000, "events for each contender")
	flag.DurationVar(&s.duration, "duration", 4*time.Minute, "how long they are sent")
	flag.IntVar(&s.kills, "kills", 10, "how often the gateway gets SIGKILL meanwhile")
	flag.IntVar(&s.restarts, "restarts", 2, "how often PostgreSQL is restarted meanwhile")
	flag.Float64Var(&s.away, "away", 0.4, "share of the time in which the backend is away")
	flag.Float64Var((*float64)(&s.scale), "scale", 1.0/60, "what a second of K-LINK's time lasts, in seconds")
	flag.Uint64Var(&s.seed, "seed", 1, "decides about events, phases of the backend, and moments of kills and restarts")
	flag.IntVar(&s.healthy, "healthy", 1000, "events for the latency when all is well; 0 leaves it out")
	flag.StringVar(&s.contenders, "contenders", "", "which to try, with commas between them (default all): "+words())
	flag.BoolVar(&s.disk, "disk", true, "fill the disk below SQLite, which needs root, as one more trial")
	flag.BoolVar(&s.json, "json", false, "write the report as JSON")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, s, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "proof:", err)
		os.Exit(1)
	}
}

var errNotProven = errors.New("not everything that is wanted holds")

// run tries the contenders one after the other and writes the report. What goes on is said on progress.
func run(ctx context.Context, s settings, out, progress io.Writer) error {
	if s.events < 1 || s.duration <= 0 || s.kills < 0 || s.restarts < 0 || !(s.away >= 0 && s.away < 1) || !(s.scale > 0 && s.scale <= 1) {
		return errors.New("events, duration and scale must be above 0, kills and restarts not below it, and away in [0, 1)")
	}
	proof, err := newProof(s, progress)
	if err != nil {
		return err
	}
	defer proof.close()
	report, err := proof.all(ctx)
	if err != nil {
		return err
	}
	if err := report.write(out, s.json); err != nil {
		return err
	}
	if len(report.Missed) > 0 {
		return errNotProven
	}
	return nil
}
