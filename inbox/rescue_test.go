package inbox_test

import (
	"database/sql"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/klinkgate/caddy-klink/inbox"
)

// TestRescuePassesThrough holds that with a backend that is well an inbox is not
// noticed: its own answer goes back, and nothing is stored.
func TestRescuePassesThrough(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b, "")
	b.does(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Backend", "php")
		w.WriteHeader(http.StatusCreated)
		w.Write([]byte("thanks"))
	})
	got := g.send(signed(t, "/hook", event("contact.create", "1")))
	if got.status != http.StatusOK || got.body != "thanks" || got.header.Get("X-Backend") != "php" {
		t.Errorf("answered %+v", got)
	}
	b.has(t, 1)
	if strings.Contains(g.log(), "stored") {
		t.Error("something was stored")
	}
}

// TestRescue holds that K-LINK is answered 200 whatever the backend does, and the
// event is delivered once the backend is well again.
func TestRescue(t *testing.T) {
	t.Parallel()
	status := func(status int) func(t *testing.T, b *backend) {
		return func(_ *testing.T, b *backend) { b.status(status) }
	}
	for name, breaks := range map[string]func(t *testing.T, b *backend){
		"refuses connections": func(_ *testing.T, b *backend) { b.refuse() },
		"breaks off": func(_ *testing.T, b *backend) {
			b.does(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		},
		"breaks off in the middle of its answer": func(_ *testing.T, b *backend) {
			b.does(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "100")
				w.WriteHeader(http.StatusOK)
				w.Write([]byte("half"))
				http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			})
		},
		"302": status(302), "408": status(408), "425": status(425), "429": status(429),
		"500": status(500), "502": status(502), "503": status(503), "504": status(504),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			g := start(t, b, "retry 200ms")
			breaks(t, b)
			body := event("contact.create", name)
			if status := g.deliver(body); status != http.StatusOK {
				t.Fatalf("K-LINK was answered %d", status)
			}
			b.status(http.StatusOK)
			if name == "refuses connections" {
				b.back(t)
			}
			wait(t, "the event is delivered", func() bool {
				got := b.got()
				return len(got) > 0 && got[len(got)-1].header.Get("Klink-Delivery-Attempt") != ""
			})
			for _, r := range b.got() {
				if r.body != body {
					t.Errorf("the backend got %q", r.body)
				}
			}
		})
	}
}

// TestWhileTheBackendIsDown holds that one delivery at a time is tried then, and
// that the others are stored without an attempt, or tried as well when they cannot
// be stored.
func TestWhileTheBackendIsDown(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options string
		want    []string // Klink-Delivery-Attempt of what the backend gets beside the one that is tried
	}{
		"stored": {"retry 10m\nconcurrency 1", []string{"2", "1"}},
		"full":   {"retry 10m\nmax_stored 1", []string{"", "2"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			g := start(t, b, test.options)
			b.refuse()
			if status := g.deliver(event("contact.create", "finds nobody")); status != http.StatusOK {
				t.Fatalf("K-LINK was answered %d", status)
			}
			tried := event("contact.create", "is tried")
			var hangs atomic.Bool
			release := make(chan struct{})
			hangs.Store(true)
			b.does(func(http.ResponseWriter, *http.Request) {
				if hangs.CompareAndSwap(true, false) {
					<-release
				}
			})
			b.back(t)
			answered := make(chan int, 1)
			go func() { answered <- g.deliver(tried) }()
			b.has(t, 1)
			if status := g.deliver(event("contact.create", "comes meanwhile")); status != http.StatusOK {
				t.Fatalf("K-LINK was answered %d", status)
			}
			if n := len(b.got()); name == "stored" && n != 1 {
				t.Fatalf("the backend has seen %d attempts", n)
			}
			close(release)
			if status := <-answered; status != http.StatusOK {
				t.Errorf("K-LINK was answered %d for the one that was tried", status)
			}
			got := b.has(t, 1+len(test.want))
			if got[0].body != tried || len(got) != 1+len(test.want) {
				t.Errorf("the backend has got %+v", got)
			}
			for i, want := range test.want {
				if attempt := got[i+1].header.Get("Klink-Delivery-Attempt"); attempt != want {
					t.Errorf("attempt %d is called %q, want %q", i+2, attempt, want)
				}
			}
			g.mustTake(t, event("contact.create", "comes later"))
			if attempt := b.has(t, 2+len(test.want))[1+len(test.want)].header.Get("Klink-Delivery-Attempt"); attempt != "" {
				t.Errorf("K-LINK did not wait for the backend, which is up: attempt %q", attempt)
			}
		})
	}
}

// TestABackendThatHangsIsTriedOnceADeadline holds that one attempt which hangs does
// not keep others from finding out that the backend is back.
func TestABackendThatHangsIsTriedOnceADeadline(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b, "retry 10m\ndeadline 200ms")
	b.refuse()
	g.mustTake(t, event("contact.create", "finds nobody"))
	release := make(chan struct{})
	b.does(func(http.ResponseWriter, *http.Request) { <-release })
	b.back(t)
	for n, id := range []string{"hangs", "hangs too"} {
		g.mustTake(t, event("contact.create", id)) // answered at the deadline
		if attempt := b.has(t, n+1)[n].header.Get("Klink-Delivery-Attempt"); attempt != "" {
			t.Errorf("the one that %s was stored first, and is attempt %q", id, attempt)
		}
	}
	close(release)
	b.has(t, 3)
}

// TestRescueAtTheDeadline holds that an attempt which is under way at the
// deadline goes on, and that the event is sent again only if it fails.
func TestRescueAtTheDeadline(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		late http.HandlerFunc // what the backend does in the end
		want []string         // Klink-Delivery-Attempt of what it gets
	}{
		"it succeeds":    {func(http.ResponseWriter, *http.Request) {}, []string{""}},
		"it fails":       {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }, []string{"", "2"}},
		"it breaks off":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, []string{"", "2"}},
		"it is rejected": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(422) }, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			g := start(t, b, "deadline 200ms\ntimeout 20s\nretry 100ms")
			release := make(chan struct{})
			var calls atomic.Int32
			b.does(func(w http.ResponseWriter, r *http.Request) {
				if calls.Add(1) == 1 {
					<-release
					test.late(w, r)
				}
			})
			if status := g.deliver(event("contact.create", name)); status != http.StatusOK {
				t.Fatalf("K-LINK was answered %d", status)
			}
			time.Sleep(300 * time.Millisecond)
			if n := len(b.got()); n != 1 {
				t.Fatalf("%d attempts while the first one is under way", n)
			}
			close(release)
			got := b.has(t, len(test.want))
			for i, want := range test.want {
				if attempt := got[i].header.Get("Klink-Delivery-Attempt"); attempt != want {
					t.Errorf("attempt %d is called %q, want %q", i+1, attempt, want)
				}
			}
		})
	}
}

// TestTimeout holds that an attempt which takes too long is a failure.
func TestTimeout(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b, "deadline 100ms\ntimeout 300ms\nretry 100ms")
	var calls atomic.Int32
	b.does(func(_ http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			<-r.Context().Done()
		}
	})
	if status := g.deliver(event("contact.create", "1")); status != http.StatusOK {
		t.Fatalf("K-LINK was answered %d", status)
	}
	b.has(t, 2)
	if !strings.Contains(g.log(), "no answer within") {
		t.Error("the log does not say why")
	}
}

// TestRejected holds that an event that the backend does not want is stored as
// dead and not sent again, unless the backend's answer is to go back.
func TestRejected(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		options string
		want    int
	}{{"", http.StatusOK}, {"pass_rejections", http.StatusUnprocessableEntity}} {
		t.Run(test.options, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			g := start(t, b, "retry 50ms\n"+test.options)
			b.status(http.StatusUnprocessableEntity)
			if status := g.deliver(event("contact.create", "1")); status != test.want {
				t.Errorf("K-LINK was answered %d, want %d", status, test.want)
			}
			time.Sleep(300 * time.Millisecond)
			b.has(t, 1)
		})
	}
}

// TestNothingAnswers holds that an event is not lost that no handler of deliver
// takes.
func TestNothingAnswers(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	dir := shortTempDir(t)
	options := `klink_webhook {
		hmac ` + secret + `
	}
	klink_inbox {
		name {name}
		database sqlite://{dir}/inbox.db
		retry 100ms
		deliver {
			@known vars {http.klink_webhook.event} contact.create
			reverse_proxy @known {backend}
			%
		}
	}`
	g := startSite(t, dir, b, strings.Replace(options, "%", "", 1))
	if status := g.deliver(event("contact.create", "1")); status != http.StatusOK {
		t.Fatalf("K-LINK was answered %d", status)
	}
	b.has(t, 1)
	if status := g.deliver(event("message.inbound", "2")); status != http.StatusOK {
		t.Fatalf("K-LINK was answered %d", status)
	}
	b.has(t, 1)
	g.stop()
	startSite(t, dir, b, strings.Replace(options, "%", "reverse_proxy {backend}", 1))
	b.has(t, 2)
}

// TestManyLateAttempts holds that a backend that hangs does not fill the memory:
// beyond some number of late attempts, or of bytes in them, events are stored
// without one, and arrive all the same.
func TestManyLateAttempts(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]struct{ attempts, bytes int64 }{"attempts": {1000, 0}, "bytes": {0, 64 << 20}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			g := start(t, b, "retry 100ms")
			done := inbox.AddLate(g.name, late.attempts, late.bytes)
			if status := g.deliver(event("contact.create", name)); status != http.StatusOK {
				t.Fatalf("K-LINK was answered %d", status)
			}
			got := b.has(t, 1)
			if attempt := got[0].header.Get("Klink-Delivery-Attempt"); attempt != "1" {
				t.Errorf("the attempt has the number %q, so K-LINK waited for it", attempt)
			}
			done()
			if status := g.deliver(event("contact.create", name+" again")); status != http.StatusOK {
				t.Fatalf("K-LINK was answered %d", status)
			}
			if attempt := b.has(t, 2)[1].header.Get("Klink-Delivery-Attempt"); attempt != "" {
				t.Errorf("the attempt has the number %q, though there is room again", attempt)
			}
		})
	}
}

// TestLateAttemptsAreCounted holds that an attempt is late from the deadline until
// it ends.
func TestLateAttemptsAreCounted(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b, "deadline 100ms\nretry 100ms")
	release := make(chan struct{})
	b.does(func(http.ResponseWriter, *http.Request) { <-release })
	body := event("contact.create", "1")
	if status := g.deliver(body); status != http.StatusOK {
		t.Fatalf("K-LINK was answered %d", status)
	}
	if attempts, bytes := inbox.Late(g.name); attempts != 1 || bytes != int64(len(body)) {
		t.Errorf("%d attempts with %d bytes are late", attempts, bytes)
	}
	close(release)
	wait(t, "no attempt is late", func() bool {
		attempts, bytes := inbox.Late(g.name)
		return attempts == 0 && bytes == 0
	})
}

// TestLateSuccessOutlivesAnOutage holds that an attempt which succeeds after the
// deadline is the last one, even if that cannot be noted before its lease ends.
func TestLateSuccessOutlivesAnOutage(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	dir := shortTempDir(t)
	g := startIn(t, dir, b, "deadline 100ms\ntimeout 500ms")
	release := make(chan struct{})
	b.does(func(http.ResponseWriter, *http.Request) { <-release })
	if status := g.deliver(event("contact.create", "1")); status != http.StatusOK {
		t.Fatalf("K-LINK was answered %d", status)
	}
	other, err := sql.Open("sqlite", dir+"/inbox.db?_txlock=immediate&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	lock, err := other.Begin()
	if err != nil {
		t.Fatal(err)
	}
	close(release)
	time.Sleep(6 * time.Second) // longer than timeout and leaseMargin
	if err := lock.Rollback(); err != nil {
		t.Fatal(err)
	}
	wait(t, "the event is noted as delivered", func() bool { return g.metric("delivered_total") == 1 && g.metric("depth") == 0 })
	b.has(t, 1)
}

// TestAnswerAfterTheDeadlineWithoutADatabase holds that K-LINK gets the backend's
// answer as soon as it is there when the event cannot be stored at the deadline.
func TestAnswerAfterTheDeadlineWithoutADatabase(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	dir := shortTempDir(t)
	g := startIn(t, dir, b, "deadline 100ms\ntimeout 20s")
	b.does(func(http.ResponseWriter, *http.Request) { time.Sleep(500 * time.Millisecond) })
	other, err := sql.Open("sqlite", dir+"/inbox.db?_txlock=immediate&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	lock, err := other.Begin()
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(4*time.Second, func() { _ = lock.Rollback() })
	began := time.Now()
	if status := g.deliver(event("contact.create", "1")); status != http.StatusOK {
		t.Errorf("K-LINK was answered %d", status)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("K-LINK was answered after %v, the backend answered after 0.5 s", took)
	}
	wait(t, "what was stored all the same is noted as delivered", func() bool { return g.metric("delivered_total") == 1 && g.metric("depth") == 0 })
	b.has(t, 1)
}

// TestSwitchingProtocolsIsNoSuccess holds that a backend which answers 101, as it may
// when it is asked to, has not taken the event.
func TestSwitchingProtocolsIsNoSuccess(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b, "retry 50ms")
	b.does(func(w http.ResponseWriter, _ *http.Request) {
		if connection, _, err := http.NewResponseController(w).Hijack(); err == nil {
			io.WriteString(connection, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
			connection.Close()
		}
	})
	r := signed(t, "/hook", event("contact.create", "1"))
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "other")
	if got := g.send(r); got.status != http.StatusOK {
		t.Fatalf("K-LINK was answered %d", got.status)
	}
	b.status(200)
	wait(t, "the event is delivered from the database", func() bool { return g.metric("delivered_total") == 1 })
}

// TestHandlersThatLeaveTheStatusToTheServer holds that K-LINK is then answered 200,
// as it is without an inbox.
func TestHandlersThatLeaveTheStatusToTheServer(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := startSite(t, shortTempDir(t), b, `klink_webhook {
		hmac `+secret+`
	}
	klink_inbox {
		name {name}
		database sqlite://{dir}/inbox.db
		deliver {
			test_silent
		}
	}`)
	for range 2 {
		if status := g.deliver(event("contact.create", "1")); status != http.StatusOK {
			t.Errorf("K-LINK was answered %d", status)
		}
	}
}

// silent is a handler that returns without an answer.
type silent struct{}

func (silent) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "http.handlers.test_silent", New: func() caddy.Module { return new(silent) }}
}

func (silent) ServeHTTP(http.ResponseWriter, *http.Request, caddyhttp.Handler) error { return nil }

func init() {
	caddy.RegisterModule(silent{})
	httpcaddyfile.RegisterHandlerDirective("test_silent", func(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
		h.Next()
		return silent{}, nil
	})
	httpcaddyfile.RegisterDirectiveOrder("test_silent", httpcaddyfile.Before, "reverse_proxy")
}
