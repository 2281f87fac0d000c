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

func BenchmarkDrain(b *testing.B) {
	for _, concurrency := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(concurrency), func(b *testing.B) {
			onEachBench(b, func(b *testing.B, url string) {
				for b.Loop() {
					var up atomic.Bool
					config := (&backend{}).config()
					config.Concurrency = concurrency
					config.Deliver = func(context.Context, *Delivery, int) Result {
						if !up.Load() {
							return Result{Unreachable, "connection refused"}
						}
						return Result{Outcome: Delivered}
					}
					q := start(b, open(b, url), config)
					fill(b, q, drained, When{})
					began := time.Now()
					up.Store(true)
					eventually(b, "all are delivered", func() bool { return config.Counts.Delivered.Load() == drained })
					b.ReportMetric(drained/time.Since(began).Seconds(), "events/s")
				}
			})
		})
	}
}
