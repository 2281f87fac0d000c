package main

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// load is what one run of requests gave.
type load struct {
	requests  int // answered with 200
	failures  map[string]int
	elapsed   time.Duration
	latencies []time.Duration // of the answered ones, sorted
}

// percentile returns the latency that the share p of the requests did not exceed.
func (l *load) percentile(p float64) time.Duration {
	if len(l.latencies) == 0 {
		return 0
	}
	return l.latencies[min(int(p*float64(len(l.latencies))), len(l.latencies)-1)]
}

// generator keeps connections to one contender busy.
type generator struct {
	address string
	workers []worker
}

type worker struct {
	conn *connection
	next source
}

// source returns the bytes of the request that comes next. They are good until the next call.
type source func() []byte

// inTurn begins with the n-th request.
func inTurn(requests [][]byte, n int) source {
	return func() []byte {
		request := requests[n%len(requests)]
		n++
		return request
	}
}

func newGenerator(r *running, connections int) *generator {
	g := &generator{address: r.address, workers: make([]worker, connections)}
	for i := range g.workers {
		g.workers[i].next = r.source(i)
	}
	return g
}

func (g *generator) close() {
	for _, w := range g.workers {
		if w.conn != nil {
			w.conn.close()
		}
	}
}

// run sends requests on every connection, one after the other, until the time is over, and waits for the last answers.
func (g *generator) run(duration time.Duration) load {
	end := time.Now().Add(duration)
	return g.each(func(w *worker) load { return g.work(w, end) })
}

// each lets all connections work, and sums up.
func (g *generator) each(work func(*worker) load) load {
	total := load{failures: map[string]int{}}
	var mu sync.Mutex
	var all sync.WaitGroup
	start := time.Now()
	for i := range g.workers {
		all.Go(func() {
			one := work(&g.workers[i])
			mu.Lock()
			defer mu.Unlock()
			total.latencies = append(total.latencies, one.latencies...)
			for reason, n := range one.failures {
				total.failures[reason] += n
			}
		})
	}
	all.Wait()
	total.elapsed = time.Since(start)
	total.requests = len(total.latencies)
	slices.Sort(total.latencies)
	return total
}

// grace is how long after the end of a run an answer may come.
const grace = 30 * time.Second

func (g *generator) work(w *worker, end time.Time) load {
	l := load{failures: map[string]int{}}
	if w.conn != nil {
		_ = w.conn.SetDeadline(end.Add(grace)) // a closed one fails at the next write
	}
	for began := time.Now(); began.Before(end); {
		err := g.one(w, end.Add(grace))
		now := time.Now()
		if err == nil {
			l.latencies = append(l.latencies, now.Sub(began))
		} else {
			l.failures[reason(err)]++
			time.Sleep(10 * time.Millisecond)
		}
		began = now
	}
	return l
}

func (g *generator) one(w *worker, deadline time.Time) (err error) {
	if w.conn == nil {
		if w.conn, err = dial(g.address, deadline); err != nil {
			return err
		}
	}
	status, err := w.conn.exchange(w.next())
	if err != nil {
		w.conn.close()
		w.conn = nil
		return err
	}
	if status != 200 {
		return fmt.Errorf("status %d", status)
	}
	return nil
}
