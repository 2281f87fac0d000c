package sender_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klinkgate/caddy-klink/sender"
)

// answers makes an endpoint that answers with one after the other, the last one for good. A status below 0 hangs up; a
// status above 1000 answers 200 after as many milliseconds.
func answers(statuses ...int) http.HandlerFunc {
	var calls atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) {
		n := int(calls.Add(1)) - 1
		status := statuses[min(n, len(statuses)-1)]
		_, _ = io.Copy(io.Discard, r.Body)
		switch {
		case status < 0:
			panic(http.ErrAbortHandler)
		case status > 1000:
			select {
			case <-time.After(time.Duration(status) * time.Millisecond):
			case <-r.Context().Done():
			}
		case status/100 == 3:
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		default:
			w.WriteHeader(status)
		}
	}
}

func TestSend(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answers []int
		scale   float64
		outcome sender.Outcome
		want    string // status@start of each attempt; - for no answer
	}{
		{"200", []int{200}, 0, sender.Delivered, "200@0s"},
		{"retries after 30, 60 and 90 s", []int{500}, 0, sender.Failed, "500@0s 500@30s 500@1m30s 500@3m0s"},
		{"the last retry succeeds", []int{503, 404, 401, 200}, 0, sender.Delivered, "503@0s 404@30s 401@1m30s 200@3m0s"},
		{"no retry after success", []int{500, 200, 500}, 0, sender.Delivered, "500@0s 200@30s"},
		{"201 is an error", []int{201, 200}, 0, sender.Delivered, "201@0s 200@30s"},
		{"204 is an error", []int{204, 200}, 0, sender.Delivered, "204@0s 200@30s"},
		{"a redirect is an error and not followed", []int{302, 307, 200}, 0, sender.Delivered, "302@0s 307@30s 200@1m30s"},
		{"9.999 s is in time", []int{9999}, 0, sender.Delivered, "200@0s"},
		{"10.001 s is too late", []int{10001, 200}, 0, sender.Delivered, "-@0s 200@40s"},
		{"always too late: 220 s in all", []int{11000}, 0, sender.Failed, "-@0s -@40s -@1m50s -@3m30s"},
		{"hung up on", []int{-1, 200}, 0, sender.Delivered, "-@0s 200@30s"},
		{"scaled", []int{500}, 0.01, sender.Failed, "500@0s 500@300ms 500@900ms 500@1.8s"},
		{"the time-out is not scaled", []int{11000, 200}, 0.01, sender.Delivered, "-@0s 200@10.3s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := endpoint(t, sender.Config{TimeScale: tt.scale}, answers(tt.answers...))
				start := time.Now()
				d := must(s.Send(t.Context(), event(t, 0)))(t)
				if d.Outcome != tt.outcome {
					t.Errorf("outcome %q, want %q", d.Outcome, tt.outcome)
				}
				if got := describe(start, d); got != tt.want {
					t.Errorf("attempts\n got %s\nwant %s", got, tt.want)
				}
			})
		})
	}
}

// describe prints the status and the start of each attempt.
func describe(start time.Time, d sender.Delivery) string {
	var parts []string
	for _, a := range d.Attempts {
		status := fmt.Sprint(a.Status)
		if a.Status == 0 {
			status = "-"
		}
		parts = append(parts, status+"@"+a.Start.Sub(start).String())
	}
	return strings.Join(parts, " ")
}

func TestAttemptTellsLatencyAndReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := endpoint(t, sender.Config{}, answers(20000, -1, 1500))
		d := must(s.Send(t.Context(), event(t, 0)))(t)
		if len(d.Attempts) != 3 || d.Event != "contact.create" {
			t.Fatalf("%+v", d)
		}
		late, hungUp, good := d.Attempts[0], d.Attempts[1], d.Attempts[2]
		if late.Latency != 10*time.Second || late.Err.Error() != "no answer within 10s" {
			t.Errorf("too late: %v, %v", late.Latency, late.Err)
		}
		if !errors.Is(hungUp.Err, io.EOF) {
			t.Errorf("hung up: %v", hungUp.Err)
		}
		if good.Latency != 1500*time.Millisecond || good.Err != nil {
			t.Errorf("good: %v, %v", good.Latency, good.Err)
		}
	})
}

func TestATimeoutOfOnesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := endpoint(t, sender.Config{Timeout: 2 * time.Second}, answers(2001, 1999))
		start := time.Now()
		d := must(s.Send(t.Context(), event(t, 0)))(t)
		if got, want := describe(start, d), "-@0s 200@32s"; got != want {
			t.Errorf("attempts %q, want %q", got, want)
		}
		if got := d.Attempts[0].Err; got == nil || got.Error() != "no answer within 2s" {
			t.Errorf("too late: %v", got)
		}
	})
}

func TestRefusedConnection(t *testing.T) {
	s := must(sender.New(sender.Config{
		URL:   "http://127.0.0.1:1/",
		Sleep: func(context.Context, time.Duration) error { return nil },
	}))(t)
	defer s.Close()
	d := must(s.Send(t.Context(), event(t, 0)))(t)
	if d.Outcome != sender.Failed || len(d.Attempts) != 4 {
		t.Fatalf("%+v", d)
	}
	if got := d.Attempts[0].Err.Error(); got != "dial: connect: connection refused" {
		t.Errorf("reason %q", got)
	}
}

func TestRetriesAreAlike(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen []string
		s := endpoint(t, sender.Config{Credentials: []sender.Credential{
			signed(t, sender.Signing{Form: form(t, "full", "go")}),
			must(sender.BasicAuth("klink", "pässword:1"))(t),
			must(sender.FixedHeader("x-token", "abc"))(t),
		}}, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			user, password, _ := r.BasicAuth()
			seen = append(seen, fmt.Sprintf("%s %s %s %d %s %s %s %s %s %x", r.Method, r.Host, r.RequestURI, r.ContentLength,
				r.Header.Get("Content-Type"), r.Header.Get("X-Signature"), user, password, r.Header.Get("X-Token"), sha256.Sum256(body)))
			w.WriteHeader(http.StatusInternalServerError)
		})
		e := event(t, 3)
		must(s.Send(t.Context(), e))(t)
		if len(seen) != 4 || len(slices.Compact(slices.Clone(seen))) != 1 {
			t.Fatalf("the attempts differ:\n%s", strings.Join(seen, "\n"))
		}
		want := fmt.Sprintf("POST backend.example /hooks/klink?b=2&a=1 %d application/json ", len(e.Body))
		end := fmt.Sprintf(" klink pässword:1 abc %x", sha256.Sum256(e.Body))
		if !strings.HasPrefix(seen[0], want) || !strings.HasSuffix(seen[0], end) {
			t.Errorf("got  %s\nwant %s…%s", seen[0], want, end)
		}
	})
}

func TestSendStopsWithItsContext(t *testing.T) {
	stop := errors.New("stop")
	for _, tt := range []struct {
		name    string
		answers []int
		after   time.Duration
		want    string
	}{
		{"before", []int{500}, 0, ""},
		{"during an attempt", []int{9000}, 5 * time.Second, "-@0s"},
		{"during a pause", []int{500}, 45 * time.Second, "500@0s 500@30s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := endpoint(t, sender.Config{}, answers(tt.answers...))
				ctx, cancel := context.WithCancelCause(t.Context())
				if tt.after == 0 {
					cancel(stop)
				}
				start := time.Now()
				time.AfterFunc(tt.after, func() { cancel(stop) })
				d, err := s.Send(ctx, event(t, 0))
				if !errors.Is(err, stop) || d.Outcome != sender.Interrupted {
					t.Errorf("%v, outcome %q", err, d.Outcome)
				}
				if got := time.Since(start); got != tt.after {
					t.Errorf("stopped after %v, want %v", got, tt.after)
				}
				if got := describe(start, d); got != tt.want {
					t.Errorf("attempts %q, want %q", got, tt.want)
				}
			})
		})
	}
}

func TestAnInterruptedAttemptIsNoError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := endpoint(t, sender.Config{}, answers(5000))
		for range 2 * sender.MaxErrors {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, _ = s.Send(ctx, event(t, 0))
			cancel()
		}
		if s.Deactivated() {
			t.Error("deactivated by attempts that the caller broke off")
		}
	})
}

func TestClockAndSleepAreTheCallers(t *testing.T) {
	now := time.Unix(1000, 0)
	var slept []time.Duration
	s := must(sender.New(sender.Config{
		URL:       "http://127.0.0.1:1/",
		Transport: roundTripper(func(*http.Request) (*http.Response, error) { now = now.Add(time.Second); return nil, io.EOF }),
		Now:       func() time.Time { return now },
		Sleep: func(_ context.Context, d time.Duration) error {
			slept = append(slept, d)
			now = now.Add(d)
			return nil
		},
	}))(t)
	d := must(s.Send(t.Context(), event(t, 0)))(t)
	if want := []time.Duration{30 * time.Second, 60 * time.Second, 90 * time.Second}; !slices.Equal(slept, want) {
		t.Errorf("slept %v, want %v", slept, want)
	}
	if got, want := describe(time.Unix(1000, 0), d), "-@0s -@31s -@1m32s -@3m3s"; got != want {
		t.Errorf("attempts %q, want %q", got, want)
	}
	if got := d.Attempts[0].Latency; got != time.Second {
		t.Errorf("latency %v", got)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
