package queue

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// These measure on the machine at hand; nothing is asserted. Run them with
//
//	go test ./inbox/queue -run '^$' -bench . -benchtime 1x

const (
	storers = 64    // that store at the same time
	stored  = 20000 // events
	drained = 10000
)

func onEachBench(b *testing.B, bench func(b *testing.B, url string)) {
	for _, kind := range kinds {
		b.Run(kind.name, func(b *testing.B) { bench(b, kind.fresh(b)) })
	}
}

// fill stores events from many goroutines and returns how long that took.
func fill(b *testing.B, q *Queue, events int, when When) time.Duration {
	b.Helper()
	ready(b, q.db)
	body := bytes.Repeat([]byte("x"), 1024)
	var next atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for range storers {
		wg.Go(func() {
			for n := int(next.Add(1)); n <= events; n = int(next.Add(1)) {
				d := event(n)
				d.Body = body
				if _, err := q.Store(context.Background(), d, when); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}

func BenchmarkStore(b *testing.B) {
	for _, c := range []struct {
		name string
		when func() When
	}{
		{"untried", func() When { return When{At: time.Now().Add(time.Hour)} }},
		{"failed", func() When { return When{At: time.Now().Add(time.Hour), Tried: true, Detail: "answer 503"} }},
		{"underway", func() When { return When{At: time.Now().Add(time.Hour), Tried: true} }},
	} {
		b.Run(c.name, func(b *testing.B) {
			onEachBench(b, func(b *testing.B, url string) {
				for b.Loop() {
					q := start(b, open(b, url), (&backend{}).config())
					took := fill(b, q, stored, c.when())
					b.ReportMetric(float64(stored)/took.Seconds(), "events/s")
				}
			})
		})
	}
}

// BenchmarkStoreAndDeliver stores while what is stored is delivered.
func BenchmarkStoreAndDeliver(b *testing.B) {
	onEachBench(b, func(b *testing.B, url string) {
		for b.Loop() {
			config := (&backend{}).config()
			config.Concurrency = 8
			config.Deliver = func(context.Context, *Delivery, int) Result { return Result{Outcome: Delivered} }
			q := start(b, open(b, url), config)
			took := fill(b, q, stored, When{})
			b.ReportMetric(float64(stored)/took.Seconds(), "events/s")
			b.ReportMetric(float64(config.Counts.Delivered.Load())/took.Seconds(), "delivered/s")
		}
	})
}

// BenchmarkDrain delivers a backlog that came while the backend was away. How busy
// the backend is then, of what concurrency allows, says whether it is the slower
// of the two.
func BenchmarkDrain(b *testing.B) {
	for _, c := range []struct {
		concurrency int
		takes       time.Duration // the backend, for an event
	}{{1, 0}, {8, 0}, {64, 0}, {1, 10 * time.Millisecond}, {8, 10 * time.Millisecond}, {8, 50 * time.Millisecond}} {
		b.Run(fmt.Sprintf("%d/%v", c.concurrency, c.takes), func(b *testing.B) {
			onEachBench(b, func(b *testing.B, url string) {
				for b.Loop() {
					drain(b, url, c.concurrency, c.takes)
				}
			})
		})
	}
}

func drain(b *testing.B, url string, concurrency int, takes time.Duration) {
	b.Helper()
	var up atomic.Bool
	var busy atomic.Int64
	config := (&backend{}).config()
	config.Concurrency = concurrency
	config.Deliver = func(context.Context, *Delivery, int) Result {
		if !up.Load() {
			return Result{Unreachable, "connection refused"}
		}
		began := time.Now()
		time.Sleep(takes)
		busy.Add(int64(time.Since(began)))
		return Result{Outcome: Delivered}
	}
	q := start(b, open(b, url), config)
	events := drained
	if takes > 0 {
		events = min(drained, concurrency*int(15*time.Second/takes))
	}
	fill(b, q, events, When{})
	began := time.Now()
	up.Store(true)
	eventually(b, "all are delivered", func() bool { return config.Counts.Delivered.Load() == int64(events) })
	took := time.Since(began)
	b.ReportMetric(float64(events)/took.Seconds(), "events/s")
	b.ReportMetric(100*float64(busy.Load())/float64(took)/float64(concurrency), "%busy")
}
