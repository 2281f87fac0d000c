package inbox_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// TestStore holds that in the mode store K-LINK is answered before the backend
// is, and every event reaches it, in order.
func TestStore(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b, "mode store\nconcurrency 1\nretry 200ms")
	b.refuse()
	var want []string
	for i := range 20 {
		body := event("contact.create", strconv.Itoa(i))
		want = append(want, body)
		if status := g.deliver(body); status != http.StatusOK {
			t.Fatalf("K-LINK was answered %d", status)
		}
	}
	b.back(t)
	b.has(t, len(want))
	if got := b.bodies(); !slices.Equal(got, want) {
		t.Errorf("the backend got %q, want %q", got, want)
	}
}

// TestStoreSurvivesTheEnd holds that what is stored is delivered by the next
// Caddy.
func TestStoreSurvivesTheEnd(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.refuse()
	dir := shortTempDir(t)
	g := startIn(t, dir, b, "mode store\nretry 100ms")
	body := event("contact.create", "1")
	if status := g.deliver(body); status != http.StatusOK {
		t.Fatalf("K-LINK was answered %d", status)
	}
	g.stop()
	b.back(t)
	startIn(t, dir, b, "mode store\nretry 100ms")
	if got := b.has(t, 1); got[0].body != body {
		t.Errorf("the backend got %q", got[0].body)
	}
}

// TestOnce holds that an event that comes again goes no further than the first
// time, in both modes.
func TestOnce(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"rescue", "store"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			g := start(t, b, "mode "+mode)
			body := event("contact.create", "1")
			for range 3 {
				if status := g.deliver(body); status != http.StatusOK {
					t.Fatalf("K-LINK was answered %d", status)
				}
			}
			again := `{ "timestamp": "2026-01-09T03:42:38.000000Z", "event": "contact.create", "data": {"id": "1"} }`
			r := signed(t, "/hook", body)
			r, err := http.NewRequestWithContext(t.Context(), r.Method, r.URL.String(), strings.NewReader(again))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = signed(t, "/hook", body).Header
			if got := g.send(r); got.status != http.StatusOK {
				t.Fatalf("K-LINK was answered %d", got.status)
			}
			if status := g.deliver(event("contact.create", "2")); status != http.StatusOK {
				t.Fatalf("K-LINK was answered %d", status)
			}
			b.has(t, 2)
		})
	}
}

// TestNumbersThatDifferAreTwoEvents holds that no event is lost because its numbers
// are too long for a float64, as those of other systems' ids can be.
func TestNumbersThatDifferAreTwoEvents(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b, "")
	for _, id := range []string{"12345678901234567891", "12345678901234567892"} {
		r := signed(t, "/hook", `{"id":`+id+`}`)
		sign(r, "", `{"id":12345678901234567000}`)
		if got := g.send(r); got.status != http.StatusOK {
			t.Fatalf("K-LINK was answered %d", got.status)
		}
	}
	b.has(t, 2)
}

// TestRetryWaits holds that an event that comes again while it is being delivered
// waits for that delivery and gets its answer.
func TestRetryWaits(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b, "")
	release := make(chan struct{})
	b.does(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.Header().Set("X-Answer", "the only one")
	})
	body := event("contact.create", "1")
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if got := g.send(signed(t, "/hook", body)); got.status != http.StatusOK || got.header.Get("X-Answer") != "the only one" {
				t.Errorf("answered %+v", got)
			}
		})
	}
	b.has(t, 1)
	close(release)
	both.Wait()
	b.has(t, 1)
}

// TestAnAnswerForTwo holds that each of two requests for one event gets the backend's
// answer, whatever handlers before the inbox do to the other one's.
func TestAnAnswerForTwo(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := startSite(t, shortTempDir(t), b, `header >X-Backend ^ x-
	klink_webhook {
		hmac `+secret+`
	}
	klink_inbox {
		name {name}
		database sqlite://{dir}/inbox.db
		deliver {
			reverse_proxy {backend}
		}
	}`)
	release := make(chan struct{})
	b.does(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.Header().Set("X-Backend", "php")
	})
	body := event("contact.create", "1")
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			if got := g.send(signed(t, "/hook", body)); got.header.Get("X-Backend") != "x-php" {
				t.Errorf("K-LINK was answered %+v", got)
			}
		})
	}
	wait(t, "both wait", func() bool { return g.metric("deduplicated_total") == 1 })
	close(release)
	both.Wait()
	b.has(t, 1)
}

// TestFailedOnceMayComeAgain holds that an event is not taken for known that was
// neither delivered nor stored.
func TestFailedOnceMayComeAgain(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b, "pass_rejections")
	b.status(http.StatusNotFound)
	body := event("contact.create", "1")
	if status := g.deliver(body); status != http.StatusNotFound {
		t.Fatalf("K-LINK was answered %d", status)
	}
	b.status(http.StatusOK)
	if status := g.deliver(body); status != http.StatusOK {
		t.Fatalf("K-LINK was answered %d", status)
	}
	b.has(t, 2)
}

// TestFull holds that K-LINK is told to come again when there is no room, and
// that a rescue goes on passing through.
func TestFull(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b, "max_stored 2\nretry 10s")
	b.status(500)
	for i := range 2 {
		if status := g.deliver(event("contact.create", strconv.Itoa(i))); status != http.StatusOK {
			t.Fatalf("K-LINK was answered %d", status)
		}
		// One that is stored while the backlog is measured may count twice until the next time.
		wait(t, "the event is counted once", func() bool { return g.metric("depth") == float64(i+1) })
	}
	got := g.send(signed(t, "/hook", event("contact.create", "2")))
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("K-LINK was answered %d, Retry-After %q", got.status, got.header.Get("Retry-After"))
	}
	b.status(200)
	if status := g.deliver(event("contact.create", "2")); status != http.StatusOK {
		t.Errorf("K-LINK was answered %d", status)
	}
}

// TestWithoutABody holds that deliveries which have nothing to tell them apart are
// not taken for each other.
func TestWithoutABody(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := startSite(t, shortTempDir(t), b, `klink_webhook {
		header X-Token a-token
	}
	klink_inbox {
		name {name}
		database sqlite://{dir}/inbox.db
		deliver {
			reverse_proxy {backend}
		}
	}`)
	for range 2 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, site+"/hook", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Token", "a-token")
		r.Header.Set("X-Forwarded-For", klinkAddress)
		if got := g.send(r); got.status != http.StatusOK {
			t.Fatalf("K-LINK was answered %d", got.status)
		}
	}
	b.has(t, 2)
}
