package inbox_test

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestReload holds that a new configuration goes on with what is stored and with
// what is known, whether it changes the queue or not.
func TestReload(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{"same": "", "other": "concurrency 3\ntimeout 30s"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			dir := shortTempDir(t)
			old := startIn(t, dir, b, "retry 100ms")
			passed := event("contact.create", "passed through")
			if status := old.deliver(passed); status != http.StatusOK {
				t.Fatalf("K-LINK was answered %d", status)
			}
			b.refuse()
			for i := range 10 {
				if status := old.deliver(event("contact.create", strconv.Itoa(i))); status != http.StatusOK {
					t.Fatalf("K-LINK was answered %d", status)
				}
			}
			current := startIn(t, dir, b, "retry 100ms\n"+options)
			old.stop()
			b.back(t)
			b.has(t, 11)
			for _, body := range []string{passed, event("contact.create", "0")} {
				if status := current.deliver(body); status != http.StatusOK {
					t.Fatalf("K-LINK was answered %d", status)
				}
			}
			b.has(t, 11)
		})
	}
}

// TestReloadAfterTheDeadline holds that an attempt which went on when K-LINK was
// answered is noted even if its configuration is gone when it ends.
func TestReloadAfterTheDeadline(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	dir := shortTempDir(t)
	old := startIn(t, dir, b, "deadline 100ms\nretry 50ms")
	release := make(chan struct{})
	b.does(func(http.ResponseWriter, *http.Request) { <-release })
	if status := old.deliver(event("contact.create", "1")); status != http.StatusOK {
		t.Fatalf("K-LINK was answered %d", status)
	}
	current := startIn(t, dir, b, "deadline 200ms\nretry 50ms")
	old.stop()
	close(release)
	b.has(t, 1)
	wait(t, "the event is noted as delivered", func() bool { return current.metric("delivered_total") == 1 && current.metric("depth") == 0 })
}

// TestNotStarted holds that a configuration delivers nothing that is only validated,
// or that does not start after all, whether another one is in force or not.
func TestNotStarted(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{"same settings": "", "other settings": "concurrency 3"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, draft := newBackend(t), newBackend(t)
			dir := shortTempDir(t)
			_, caddyfile := newGateway(t, dir, draft, siteWith("retry 50ms\n"+options))
			written := adapt(t, caddyfile)
			inForce := startIn(t, dir, b, "retry 50ms")
			b.refuse()
			inForce.mustTake(t, event("contact.create", "before a draft is loaded"))
			during := mustProvision(t, written)
			inForce.mustTake(t, event("contact.create", "after"))
			b.back(t)
			b.has(t, 2)
			during.release()
			b.refuse()
			inForce.mustTake(t, event("contact.create", "stays behind"))
			inForce.stop()
			alone := mustProvision(t, written)
			time.Sleep(time.Second) // longer than River takes to find an event
			alone.release()
			b.back(t)
			startIn(t, dir, b, "retry 50ms")
			b.has(t, 3)
			draft.has(t, 0)
		})
	}
}

// TestWhatComesBeforeTheStart holds that an event which comes while Caddy still starts the
// other apps of a configuration is answered 200 only once it is sure to be delivered: when
// the start fails, nobody looks into the configuration's database.
func TestWhatComesBeforeTheStart(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"rescue", "store"} {
		for starts, want := range map[bool]int{true: http.StatusOK, false: http.StatusServiceUnavailable} {
			t.Run(fmt.Sprint(mode, ", starts: ", starts), func(t *testing.T) {
				t.Parallel()
				b := newBackend(t)
				b.refuse()
				g, caddyfile := newGateway(t, shortTempDir(t), b, siteWith("mode "+mode))
				c := mustProvision(t, adapt(t, caddyfile))
				release := sync.OnceFunc(c.release)
				defer release()
				if err := c.startApps(); err != nil {
					t.Fatal(err)
				}
				defer c.http.Stop()
				var starting sync.WaitGroup
				starting.Go(func() {
					time.Sleep(500 * time.Millisecond)
					if starts {
						c.started()
					} else {
						release()
					}
				})
				if got := g.deliver(event("contact.create", "early")); got != want {
					t.Errorf("it is answered %d, want %d", got, want)
				}
				starting.Wait()
				g.client.CloseIdleConnections()
			})
		}
	}
}

func mustProvision(t testing.TB, written []byte) *config {
	t.Helper()
	c, err := provision(written)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestReloadUnderLoad changes the configuration ten times while events come and
// the backend fails every third time: each event arrives once.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	dir := shortTempDir(t)
	var calls atomic.Int64
	var mu sync.Mutex
	seen := make(map[string]int)
	b.does(func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1)%3 == 0 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		seen[r.Header.Get("Klink-Delivery-Id")]++
	})
	const perConfig = 30
	current := startIn(t, dir, b, "retry 20ms")
	for i := range 10 {
		next := startIn(t, dir, b, "retry 20ms\nconcurrency "+strconv.Itoa(i%2+2))
		var senders sync.WaitGroup
		for j := range perConfig {
			senders.Go(func() {
				if status := current.deliver(event("contact.create", strconv.Itoa(i*perConfig+j))); status != http.StatusOK {
					t.Errorf("K-LINK was answered %d", status)
				}
			})
		}
		senders.Wait()
		current.stop()
		current = next
	}
	wait(t, "every event has arrived", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(seen) == 10*perConfig
	})
	wait(t, "nothing is waiting", func() bool { return current.metric("depth") == 0 })
	mu.Lock()
	defer mu.Unlock()
	for id, n := range seen {
		if n != 1 {
			t.Errorf("event %s was delivered %d times", id, n)
		}
	}
}

// TestReloadWithAnotherDatabase holds that what is stored there is known, though the
// numbers of its events are smaller than those of the database before.
func TestReloadWithAnotherDatabase(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	dir := shortTempDir(t)
	with := func(database string) *gateway {
		return startSite(t, dir, b, `klink_webhook {
			hmac `+secret+`
		}
		klink_inbox {
			name {name}
			retry 50ms
			database sqlite://{dir}/`+database+`
			deliver {
				reverse_proxy {backend}
			}
		}`)
	}
	b.refuse()
	other := with("other.db")
	if status := other.deliver(event("contact.create", "known")); status != http.StatusOK {
		t.Fatalf("K-LINK was answered %d", status)
	}
	other.stop()
	before := with("before.db")
	for i := range 2 {
		if status := before.deliver(event("contact.create", strconv.Itoa(i))); status != http.StatusOK {
			t.Fatalf("K-LINK was answered %d", status)
		}
	}
	same := with("before.db")
	before.stop()
	current := with("other.db")
	same.stop()
	b.back(t)
	b.has(t, 1)
	if status := current.deliver(event("contact.create", "known")); status != http.StatusOK {
		t.Fatalf("K-LINK was answered %d", status)
	}
	b.has(t, 1)
}

// TestLateCommitsOfOthersAreKnown holds that an event is known that another gateway
// has stored, even if events with larger numbers were there before it.
func TestLateCommitsOfOthersAreKnown(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	dir := shortTempDir(t)
	database := freshPostgres(t)
	run := func() *gateway {
		return startSite(t, dir, b, `klink_webhook {
			hmac `+secret+`
		}
		klink_inbox {
			name {name}
			database `+database+`
			deliver {
				reverse_proxy {backend}
			}
		}`)
	}
	b.status(http.StatusUnprocessableEntity) // so that they stay as they are
	of := func(g *gateway, id string) {
		if status := g.deliver(event("contact.create", id)); status != http.StatusOK {
			t.Fatalf("K-LINK was answered %d", status)
		}
	}
	first := run()
	of(first, "late")
	first.stop()
	onPostgres(t, database, "CREATE TABLE late AS SELECT * FROM river_job")
	onPostgres(t, database, "DELETE FROM river_job")
	g := run()
	of(g, "earlier")
	time.Sleep(2500 * time.Millisecond) // g sees it
	onPostgres(t, database, "INSERT INTO river_job SELECT (late).* FROM late")
	time.Sleep(2500 * time.Millisecond)
	of(g, "late")
	b.has(t, 2)
}
