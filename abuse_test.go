package klink_test

import (
	"fmt"
	"net/http"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klinkgate/caddy-klink/verifier"
)

// scale says how much of everything there is: the race detector takes its time.
var scale = struct{ rounds, addresses, large, slow, endpoints int }{20, 20_000, 256, 64, 200}

func init() {
	if raceEnabled {
		scale.rounds, scale.addresses, scale.large, scale.slow, scale.endpoints = 3, 2_000, 32, 16, 20
	}
}

// TestAbuse sends bad traffic of every kind, while good deliveries go on: each of
// those is answered with 200 and reaches the backend with the right bytes, memory
// stays within its bound, and nothing is left behind. It is not parallel: memory
// and goroutines are the process's.
func TestAbuse(t *testing.T) {
	behind := new(checker)
	a := &abused{
		server: startCaddyfile(t, abusedCaddyfile(listen(t, behind.ServeHTTP))),
		sent:   make(map[verifier.Reason]int),
	}
	transport := a.transport()
	transport.MaxIdleConnsPerHost = scale.large
	a.client = &http.Client{Transport: transport, Timeout: patience}
	earlier := statusOf(t, "abused") // the state is kept under this name
	goroutines, heap := runtime.NumGoroutine(), liveHeap()

	good := a.deliverGood(t)
	slow := a.dribble(t)
	for _, kind := range []struct {
		name    string
		traffic func(testing.TB)
	}{
		{"every reason", a.everyReason},
		{"many addresses", a.manyAddresses},
		{"large bodies", a.largeBodies},
		{"bodies that are hard to sort", a.hardBodies},
		{"signatures to diagnose", a.diagnoses},
		{"many endpoints", a.manyEndpoints},
	} {
		t.Run(kind.name, func(t *testing.T) { kind.traffic(t) })
	}
	slow()
	delivered := good()

	if delivered == 0 || behind.good.Load() != delivered+a.large.Load() || behind.wrong.Load() != 0 || behind.broken.Load() != 0 {
		t.Errorf("%d good deliveries and %d large ones; the backend got %d good, %d wrong and %d broken ones",
			delivered, a.large.Load(), behind.good.Load(), behind.wrong.Load(), behind.broken.Load())
	}
	a.checkState(t, earlier.Refused)
	transport.CloseIdleConnections()
	a.client.CloseIdleConnections()
	settled(t, goroutines)
	if kept, most := liveHeap()-heap, int64(8<<20+scale.endpoints*160<<10); kept > most {
		t.Errorf("%d bytes are left behind, at most %d are expected", kept, most)
	}
	t.Logf("%d good deliveries beside %v bad requests", delivered, a.sent)
}

// abused is a server under bad traffic.
type abused struct {
	*server
	large atomic.Int64 // large deliveries that are good

	mu   sync.Mutex
	sent map[verifier.Reason]int // bad requests, by reason
}

func abusedCaddyfile(backend string) string {
	var endpoints strings.Builder
	for i := range scale.endpoints {
		fmt.Fprintf(&endpoints, "klink_webhook /many%03d {\nname many%03d\nhmac secret\n}\n", i, i)
	}
	return `{
		admin off
		auto_https off
		persist_config off
		log {
			output discard
		}
		servers {
			trusted_proxies_unix
		}
	}
	http:// {
		bind unix/{socket}
		klink_webhook /hook* {
			name abused
			hmac "` + testSecret + `"
		}
		klink_webhook /basic {
			name abused_basic
			basic user password
		}
		klink_webhook /header {
			name abused_header
			header X-Key value
		}
		` + endpoints.String() + `
		reverse_proxy ` + backend + ` {
			transport http {
				keepalive 100ms
			}
		}
	}`
}

// deliverGood sends good deliveries until it is told to stop, and returns how
// many there were.
func (a *abused) deliverGood(t testing.TB) (stop func() int64) {
	var n atomic.Int64
	done := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(time.Millisecond):
				}
				n.Add(1)
				if answer, err := a.try(hashed(t, distinctBody(1000))); err != nil || answer.status != 200 {
					t.Errorf("a good delivery: status %d, %v", answer.status, err)
				}
			}
		})
	}
	return func() int64 { close(done); all.Wait(); return n.Load() }
}

// times runs one n times, on as many goroutines at once.
func times(n, goroutines int, one func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				one(i)
			}
		})
	}
	all.Wait()
}

// expect sends a bad request, and counts it.
func (a *abused) expect(t testing.TB, reason verifier.Reason, status int, r *http.Request) {
	if answer, err := a.try(r); err != nil || answer.status != status || answer.body != "" {
		t.Errorf("%s: status %d %q, %v; want %d", reason, answer.status, answer.body, err, status)
	}
	a.count(reason)
}

func (a *abused) count(reason verifier.Reason) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sent[reason]++
}

// checkState holds what the endpoint says of itself against what was sent.
func (a *abused) checkState(t *testing.T, earlier map[verifier.Reason]uint64) {
	t.Helper()
	status := statusOf(t, "abused")
	for reason, n := range a.sent {
		got := int(status.Refused[reason] - earlier[reason]) //nolint:gosec // not that many
		if dribbled := got - n; dribbled != 0 && (reason != verifier.BodyIncomplete || dribbled < 0 || dribbled > scale.slow) {
			t.Errorf("%s: %d are counted, %d were sent", reason, got, n)
		}
	}
	if len(status.Refusals) != 50 || len(status.Events) > 33 || status.ErrorBudget.Used != status.ErrorBudget.Limit+1 {
		t.Errorf("%d refusals and %d events are kept; budget %+v", len(status.Refusals), len(status.Events), status.ErrorBudget)
	}
}

// settled waits until there are no more goroutines than before.
func settled(t *testing.T, before int) {
	t.Helper()
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// liveHeap returns the bytes in use, once pools and garbage are gone.
func liveHeap() int64 {
	for range 3 {
		debug.FreeOSMemory()
	}
	return liveSample()
}

func liveSample() int64 {
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	runtimemetrics.Read(sample)
	return int64(sample[0].Value.Uint64()) //nolint:gosec // no heap is that large
}

// largestHeap runs traffic, and returns by how much what was in use grew at the
// most, as the garbage collections saw it.
func largestHeap(traffic func()) int64 {
	before, most := liveHeap(), int64(0)
	done, seen := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(seen)
		for {
			most = max(most, liveSample()-before)
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	traffic()
	close(done)
	<-seen
	return most
}
