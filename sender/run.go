package sender

import (
	"context"
	"sync"
	"time"
)

// Plan says how many events Run delivers, and how fast.
type Plan struct {
	// Count is how many events there are.
	Count int
	// Event returns the n-th event, counted from 0. It is called from one goroutine.
	Event func(n int) Event
	// Rate is how many events begin per second. 0 sets no bound.
	Rate float64
	// Concurrency is how many attempts may be in flight at once; a delivery that waits for its retry does not count.
	// 0 means 1.
	Concurrency int
}

// Run delivers the events of a plan and calls report for each as it ends, one call at a time. Once the endpoint is
// deactivated the rest is reported without being sent. The first event that cannot be signed ends the run with an
// error, and so does the end of ctx; the deliveries that were under way are reported all the same.
func (s *Sender) Run(ctx context.Context, p Plan, report func(Delivery)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		deliveries sync.WaitGroup
		reporting  sync.Mutex
		inFlight   = make(slots, max(1, p.Concurrency))
		start      = s.now()
	)
	for n := range p.Count {
		if p.Rate > 0 {
			due := start.Add(time.Duration(float64(n) / p.Rate * float64(time.Second)))
			s.pause(ctx, due.Sub(s.now()))
		}
		if inFlight.acquire(ctx) != nil {
			break
		}
		event := p.Event(n)
		deliveries.Go(func() {
			d, err := s.deliver(ctx, event, inFlight)
			if err != nil {
				cancel(err)
			}
			if d.Outcome == "" {
				return // it could not be signed
			}
			reporting.Lock()
			defer reporting.Unlock()
			report(d)
		})
	}
	deliveries.Wait()
	return context.Cause(ctx)
}
