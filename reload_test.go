package klink_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// reconnecting sends a request again when its connection breaks off before an
// answer. net/http's server does that to a connection that it accepted, but of
// which it had read no request, when its shutdown began; and Caddy's reload
// returns before the old server has closed its listeners. No handler has seen
// such a request.
type reconnecting struct {
	*http.Transport
	brokenOff atomic.Int64
}

func (c *reconnecting) RoundTrip(r *http.Request) (*http.Response, error) {
	for tries := 1; ; tries++ {
		res, err := c.Transport.RoundTrip(r)
		if err == nil || tries == 5 || !brokenOff(err) {
			return res, err
		}
		c.brokenOff.Add(1)
		r = r.Clone(r.Context())
		if r.GetBody != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// brokenOff says whether there was a connection, and it ended before its time.
func brokenOff(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return (!ok || op.Op != "dial") && !errors.Is(err, context.DeadlineExceeded)
}

// reloadable returns a server that runs from its first load to the end of the
// test, and whose client outlives reloads.
func reloadable(t testing.TB) (*server, *reconnecting) {
	t.Helper()
	dir := shortTempDir(t)
	s := &server{socket: filepath.Join(dir, "caddy.sock"), logFile: filepath.Join(dir, "log.json")}
	transport := &reconnecting{Transport: s.transport()}
	s.client = s.newClient()
	s.client.Transport = transport
	t.Cleanup(func() {
		provisioning.Lock()
		defer provisioning.Unlock()
		transport.CloseIdleConnections()
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s, transport
}

// load makes the site on the server's socket the running configuration, as a reload
// does. It is Caddy's one, so no other test may do the same at that time.
func (s *server) load(t testing.TB, site string) {
	t.Helper()
	provisioning.Lock()
	defer provisioning.Unlock()
	config := adapt(t, s.expand(`{
		{common}
		servers {
			trusted_proxies_unix
		}
	}
	http:// {
		bind unix/{socket}
		`+site+`
	}`))
	if err := caddy.Load(config, true); err != nil {
		t.Fatal(err)
	}
}

// TestReloadUnderLoad changes secrets and options twenty times while eight
// clients deliver: every answer is 200, every body arrives as it was sent, and
// what broke off had gone nowhere. It is Caddy's real reload, so no other server
// runs beside it.
func TestReloadUnderLoad(t *testing.T) {
	good := new(checker)
	address := listen(t, good.ServeHTTP)
	s, transport := reloadable(t)
	load := func(i int) {
		t.Helper()
		s.load(t, fmt.Sprintf(`klink_webhook {
			hmac "secret %d" "%s"
			max_body %dKiB
		}
		reverse_proxy %s`, i, testSecret, 1024+i, address))
	}
	load(0)

	var stop atomic.Bool
	var sent atomic.Int64
	var wg sync.WaitGroup
	progress := make(chan struct{}, 1)
	for range 8 {
		wg.Go(func() {
			for !stop.Load() {
				body := distinctBody([]int{100, 5 << 10, 100 << 10, 300 << 10}[rand.IntN(4)])
				a, err := s.try(hashed(t, body))
				if err != nil || a.status != 200 {
					t.Errorf("delivery %d: %v, %v", sent.Load(), a, err)
					return
				}
				sent.Add(1)
				select {
				case progress <- struct{}{}:
				default:
				}
			}
		})
	}
	for i := range 20 {
		for range 3 { // so that deliveries fall between one reload and the next
			<-progress
		}
		load(i + 1)
	}
	stop.Store(true)
	wg.Wait()
	t.Logf("%d sent, %d connections broke off unread", sent.Load(), transport.brokenOff.Load())
	if n := good.good.Load(); n != sent.Load() || n < 60 || good.wrong.Load()+good.broken.Load() > 0 {
		t.Errorf("%d answered, %d good, %d wrong, %d broken", sent.Load(), n, good.wrong.Load(), good.broken.Load())
	}
}

// TestReloadBreaksOffWhatNobodyHasSeen: the one request that a reload can lose is
// the first on a connection that the old server had accepted. It gets no answer
// at all, so K-LINK tries again; the gateway has counted nothing and the backend
// got nothing.
func TestReloadBreaksOffWhatNobodyHasSeen(t *testing.T) {
	b := startBackend(t, nil)
	s, _ := reloadable(t)
	const name = "broken-off-by-reload"
	load := func(i int) {
		t.Helper()
		s.load(t, fmt.Sprintf(`klink_webhook {
			name %s
			hmac "%s"
			max_body %dKiB
		}
		reverse_proxy %s`, name, testSecret, 1024+i, b.address))
	}
	load(0)
	dial := func() net.Conn {
		t.Helper()
		conn, err := net.Dial("unix", s.socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	early, kept := dial(), dial()
	keptAnswers := bufio.NewReader(kept)
	answerTo := func(conn net.Conn, in *bufio.Reader) (status int, err error) {
		_ = signed(t, "/hook", testBody).Write(conn) // the answer shows what became of it
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			return 0, err
		}
		return res.StatusCode, res.Body.Close()
	}
	if status, err := answerTo(kept, keptAnswers); err != nil || status != 200 {
		t.Fatalf("before the reload: %d, %v", status, err)
	}
	b.one(t)
	load(1)
	// The shutdown may begin after the reload has returned. It closes what is idle.
	if _, err := keptAnswers.ReadByte(); err == nil {
		t.Fatal("the old server has sent something after its answer")
	}
	if status, err := answerTo(early, bufio.NewReader(early)); err == nil {
		t.Errorf("%d: README.md says under limits that there is no answer", status)
	}
	b.none(t)
	if got := statusOf(t, name); got.Accepted != 1 || len(got.Refusals) != 0 || got.ErrorBudget.Used != 0 {
		t.Errorf("%+v", got)
	}
	if a := s.do(t, signed(t, "/hook", testBody)); a.status != 200 {
		t.Errorf("tried again: %v", a)
	}
}
