package sender_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klinkgate/caddy-klink/sender"
)

// run sends a plan and adds up what is reported.
func run(t *testing.T, ctx context.Context, s *sender.Sender, p sender.Plan) (*sender.Summary, error) {
	t.Helper()
	if p.Event == nil {
		p.Event = must(sender.NewGenerator(1))(t).Event
	}
	sum := new(sender.Summary)
	err := s.Run(ctx, p, sum.Add)
	return sum, err
}

func TestRunKeepsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var starts []time.Duration
		s := endpoint(t, sender.Config{}, func(http.ResponseWriter, *http.Request) {
			starts = append(starts, time.Since(start))
			time.Sleep(100 * time.Millisecond)
		})
		sum := must(run(t, t.Context(), s, sender.Plan{Count: 10, Rate: 4, Concurrency: 1}))(t)
		if sum.Outcomes[sender.Delivered] != 10 {
			t.Errorf("outcomes %v", sum.Outcomes)
		}
		for n, at := range starts {
			if want := time.Duration(n) * 250 * time.Millisecond; at != want {
				t.Errorf("event %d began after %v, want %v", n, at, want)
			}
		}
	})
}

func TestRunKeepsItsConcurrency(t *testing.T) {
	for _, tt := range []struct{ concurrency, want int }{{0, 1}, {1, 1}, {7, 7}} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var now, most int
			s := endpoint(t, sender.Config{}, func(http.ResponseWriter, *http.Request) {
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				now--
				mu.Unlock()
			})
			start := time.Now()
			sum := must(run(t, t.Context(), s, sender.Plan{Count: 70, Concurrency: tt.concurrency}))(t)
			if most != tt.want {
				t.Errorf("%d attempts in flight, want %d", most, tt.want)
			}
			if got, want := time.Since(start), time.Duration(70/tt.want)*time.Second; got != want {
				t.Errorf("took %v, want %v", got, want)
			}
			if sum.Deliveries() != 70 || sum.Latency(1) != time.Second {
				t.Errorf("%d deliveries, at most %v", sum.Deliveries(), sum.Latency(1))
			}
		})
	}
}

func TestADeliveryThatWaitsTakesNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := endpoint(t, sender.Config{}, answers(500, 200))
		start := time.Now()
		var ends []time.Duration
		plan := sender.Plan{Count: 5, Concurrency: 1, Event: must(sender.NewGenerator(1))(t).Event}
		if err := s.Run(t.Context(), plan, func(sender.Delivery) { ends = append(ends, time.Since(start)) }); err != nil {
			t.Fatal(err)
		}
		if len(ends) != 5 || ends[3] != 0 || ends[4] != 30*time.Second {
			t.Errorf("deliveries ended at %v: four at once and one after its retry are expected", ends)
		}
	})
}

func TestRunEndsWithTheEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := endpoint(t, sender.Config{}, func(w http.ResponseWriter, _ *http.Request) {
			calls.Add(1)
			w.WriteHeader(http.StatusUnauthorized)
		})
		start := time.Now()
		sum := must(run(t, t.Context(), s, sender.Plan{Count: 1000, Rate: 10, Concurrency: 4}))(t)
		if sum.Deliveries() != 1000 || sum.Outcomes[sender.Delivered]+sum.Outcomes[sender.Failed] != 0 {
			t.Errorf("outcomes %v, want 1000 deactivated", sum.Outcomes)
		}
		if calls.Load() != 51 || sum.Statuses[401] != 51 {
			t.Errorf("%d requests, %v, want 51", calls.Load(), sum.Statuses)
		}
		if got := time.Since(start); got > 6*time.Second {
			t.Errorf("went on for %v", got)
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := endpoint(t, sender.Config{}, answers(1001))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		sum, err := run(t, ctx, s, sender.Plan{Count: 1000, Concurrency: 1})
		if err == nil || time.Since(start) != 10*time.Second {
			t.Errorf("ended with %v after %v", err, time.Since(start))
		}
		if sum.Outcomes[sender.Delivered] != 9 || sum.Outcomes[sender.Interrupted] != 1 {
			t.Errorf("outcomes %v, want 9 delivered and 1 interrupted", sum.Outcomes)
		}
	})
}

func TestRunEndsWithAnEventThatCannotBeSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := endpoint(t, sender.Config{Credentials: []sender.Credential{
			signed(t, sender.Signing{Form: form(t, "path", "go")}),
		}}, answers(200))
		sum, err := run(t, t.Context(), s, sender.Plan{Count: 10, Event: func(n int) sender.Event {
			if n == 3 {
				return sender.ReadEvent([]byte(`{"event": tampered`))
			}
			return event(t, n)
		}})
		const want = `the body cannot be signed as "path go": offset 11: `
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %v, want %s…", err, want)
		}
		if got := sum.Deliveries(); got != 3 && got != 4 {
			t.Errorf("%d deliveries, want those before: %v", got, sum.Outcomes)
		}
	})
}
