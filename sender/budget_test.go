package sender_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klinkgate/caddy-klink/sender"
)

func TestMoreThanFiftyErrorsInAnHourDeactivate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := endpoint(t, sender.Config{}, answers(500))
		for n := range 12 { // 48 errors in 36 minutes
			if d := must(s.Send(t.Context(), event(t, n)))(t); d.Outcome != sender.Failed {
				t.Fatalf("event %d: %q", n, d.Outcome)
			}
		}
		if s.Deactivated() {
			t.Fatal("deactivated after 48 errors")
		}
		start := time.Now()
		d := must(s.Send(t.Context(), event(t, 12)))(t)
		if got, want := describe(start, d), "500@0s 500@30s 500@1m30s"; d.Outcome != sender.Deactivated || got != want {
			t.Errorf("the 51st error: %q, attempts %q, want %q", d.Outcome, got, want)
		}
		if !s.Deactivated() {
			t.Error("not deactivated after 51 errors")
		}
		time.Sleep(24 * time.Hour)
		d = must(s.Send(t.Context(), event(t, 13)))(t)
		if d.Outcome != sender.Deactivated || len(d.Attempts) != 0 {
			t.Errorf("afterwards: %q with %d attempts, want none", d.Outcome, len(d.Attempts))
		}
	})
}

func TestFiftyErrorsInAnHourDoNot(t *testing.T) {
	for _, tt := range []struct {
		name  string
		scale float64
		pause time.Duration // between events; 12 of them and their retries, 48 errors, fill an hour
		want  bool
	}{
		{"the window slides", 0, 2 * time.Minute, false},
		{"a little faster is too fast", 0, time.Minute + 30*time.Second, true},
		{"the scaled window slides", 0.01, 1200 * time.Millisecond, false},
		{"scaled, a little faster is too fast", 0.01, 900 * time.Millisecond, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := endpoint(t, sender.Config{TimeScale: tt.scale}, answers(500))
				for n := range 60 {
					must(s.Send(t.Context(), event(t, n)))(t)
					time.Sleep(tt.pause)
				}
				if got := s.Deactivated(); got != tt.want {
					t.Errorf("deactivated is %v, want %v", got, tt.want)
				}
			})
		})
	}
}

func TestTheFiftyFirstErrorEndsAllPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := endpoint(t, sender.Config{}, answers(500))
		start := time.Now()
		var deliveries sync.WaitGroup
		for n := range sender.MaxErrors + 1 {
			deliveries.Go(func() {
				d := must(s.Send(t.Context(), event(t, n)))(t)
				if d.Outcome != sender.Deactivated || len(d.Attempts) != 1 {
					t.Errorf("event %d: %q after %d attempts", n, d.Outcome, len(d.Attempts))
				}
			})
		}
		deliveries.Wait()
		if got := time.Since(start); got != 0 {
			t.Errorf("deliveries waited for %v after the endpoint was deactivated", got)
		}
	})
}
