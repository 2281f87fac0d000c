package sender_test

import (
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/klinkgate/caddy-klink/sender"
)

func TestSummary(t *testing.T) {
	var s sender.Summary
	if s.Latency(0.5) != 0 || s.Deliveries() != 0 || s.Attempts() != 0 {
		t.Error("the zero Summary is not empty")
	}
	for n := 100; n >= 1; n-- {
		s.Add(sender.Delivery{Outcome: sender.Delivered, Attempts: []sender.Attempt{
			{Status: 200, Latency: time.Duration(n) * time.Millisecond},
		}})
	}
	refused := errors.New("refused")
	s.Add(sender.Delivery{Outcome: sender.Failed, Attempts: []sender.Attempt{
		{Err: refused, Latency: time.Hour}, {Err: sender.ErrTimeout, Latency: time.Hour}, {Err: refused, Latency: time.Hour},
	}})
	s.Add(sender.Delivery{Outcome: sender.Deactivated})
	for p, want := range map[float64]int64{0.001: 1, 0.5: 50, 0.9: 90, 0.99: 99, 0.995: 100, 1: 100} {
		if got := s.Latency(p); got.Milliseconds() != want {
			t.Errorf("latency of %v: %v, want %d ms", p, got, want)
		}
	}
	if want := map[sender.Outcome]int{"delivered": 100, "failed": 1, "deactivated": 1}; !maps.Equal(s.Outcomes, want) {
		t.Errorf("outcomes %v", s.Outcomes)
	}
	if want := map[int]int{200: 100}; !maps.Equal(s.Statuses, want) {
		t.Errorf("statuses %v", s.Statuses)
	}
	if want := map[string]int{"refused": 2, "no answer within 10s": 1}; !maps.Equal(s.Errors, want) {
		t.Errorf("errors %v", s.Errors)
	}
	if s.Deliveries() != 102 || s.Attempts() != 103 {
		t.Errorf("%d deliveries, %d attempts", s.Deliveries(), s.Attempts())
	}
}
