package sender

import (
	"context"
	"net/http"
	"time"
)

// Outcome is how a delivery ended.
type Outcome string

const (
	// Delivered means that an attempt was answered with 200.
	Delivered Outcome = "delivered"
	// Failed means that the first attempt and all retries were made, in vain.
	Failed Outcome = "failed"
	// Deactivated means that the endpoint was switched off before the last retry, perhaps before the first attempt.
	Deactivated Outcome = "deactivated"
	// Interrupted means that the caller gave up.
	Interrupted Outcome = "interrupted"
)

// Delivery is what became of one event.
type Delivery struct {
	Event    string // the event's name
	Outcome  Outcome
	Attempts []Attempt
}

// Attempt is one request.
type Attempt struct {
	Start   time.Time
	Latency time.Duration // until the status was there, or until the attempt was given up
	Status  int           // 0 when there was no answer
	Err     error         // why there was no answer
}

// slots bounds how many attempts are in flight. nil sets no bound.
type slots chan struct{}

func (s slots) acquire(ctx context.Context) error {
	if s == nil || ctx.Err() != nil {
		return ctx.Err() // select could prefer a free slot
	}
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s slots) release() {
	if s != nil {
		<-s
	}
}

// deliver makes the attempts for one event. The caller has acquired the slot for the first one.
func (s *Sender) deliver(ctx context.Context, e Event, slots slots) (Delivery, error) {
	d := Delivery{Event: e.Name}
	header, err := s.header(e.Body)
	if err != nil {
		slots.release()
		return d, err
	}
	for retry := 0; ; retry++ {
		switch {
		case s.Deactivated():
			d.Outcome = Deactivated
		case ctx.Err() != nil:
			d.Outcome = Interrupted
		default:
			attempt := s.attempt(ctx, header, e.Body)
			d.Attempts = append(d.Attempts, attempt)
			d.Outcome = s.judge(ctx, attempt, retry)
		}
		slots.release()
		if d.Outcome == Interrupted {
			return d, context.Cause(ctx)
		}
		if d.Outcome != "" {
			return d, nil
		}
		s.pause(ctx, s.scaled(retryWaits[retry]))
		if slots.acquire(ctx) != nil {
			d.Outcome = Interrupted
			return d, context.Cause(ctx)
		}
	}
}

// judge counts an error and says how the delivery ended, or "" when there is a retry to come.
func (s *Sender) judge(ctx context.Context, a Attempt, retry int) Outcome {
	if a.Status == http.StatusOK {
		return Delivered
	}
	if a.Status == 0 && ctx.Err() != nil {
		return Interrupted // our own doing, not the endpoint's
	}
	s.errors.add(s.now())
	if retry == len(retryWaits) {
		return Failed
	}
	return ""
}

// pause returns after d, or as soon as ctx ends or the endpoint is deactivated.
func (s *Sender) pause(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(s.errors.spent, cancel)
	defer stop()
	_ = s.sleep(ctx, d) // why it ended is looked up by the caller
}
