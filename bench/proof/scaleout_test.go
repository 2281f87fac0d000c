package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klinkgate/caddy-klink/bench/postgres"
	"github.com/klinkgate/caddy-klink/bench/process"
	"github.com/klinkgate/caddy-klink/sender"
)

// balancerFile is a Caddyfile for what stands before three gateways.
const balancerFile = `{
	admin off
	auto_https off
	persist_config off
	log {
		level ERROR
	}
}

http://%s {
	bind 127.0.0.1
	reverse_proxy %s %s %s {
		lb_policy round_robin
		lb_try_duration 500ms
		fail_duration 2s
	}
}
`

const (
	scaleOutEvents = 240
	scaleOutPause  = 20 * time.Millisecond // between events
	scaleOutScale  = scale(1.0 / 10)
	// scaleOutPatience covers the time after which River takes back what a dead gateway had under way.
	scaleOutPatience = 3 * time.Minute
)

// TestScaleOut runs three gateways behind a load balancer on one PostgreSQL. In the middle the backend is away, and
// one gateway is killed while it has events in hand: every event arrives, once.
func TestScaleOut(t *testing.T) {
	t.Parallel()
	if os.Getenv(postgres.Variable) == "" {
		missingPostgres(t)
	}
	caddy, err := buildCaddy(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"rescue", "store"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			testScaleOut(t, caddy, contender{name: mode, directive: inboxDirective, mode: mode, postgres: true})
		})
	}
}

func testScaleOut(t *testing.T, caddy string, c contender) {
	b := &recorder{seen: make(map[string]int)}
	address := process.FreeAddress()
	b.listen(t, address)
	gateways := startThree(t, caddy, c, address)
	balancer := startBalancer(t, caddy, gateways)
	events, err := identified(1, scaleOutEvents)
	if err != nil {
		t.Fatal(err)
	}

	third := scaleOutEvents / 3
	var sending sync.WaitGroup
	klink := newPlayer(t, balancer)
	for i, e := range events {
		switch i {
		case third:
			b.close()
		case third + third/2:
			gateways[1].process.End(syscall.SIGKILL)
		case 2 * third:
			b.listen(t, address)
		}
		sending.Go(func() {
			d, err := klink.Send(t.Context(), e)
			if err != nil || d.Outcome != sender.Delivered {
				t.Errorf("K-LINK gave event %d up: %v", i, err)
			}
		})
		time.Sleep(scaleOutPause)
	}
	sending.Wait()
	if klink.Deactivated() {
		t.Error("the endpoint was deactivated")
	}
	b.await(t, len(events))
}

// startThree starts the gateways, all on one fresh database.
func startThree(t *testing.T, caddy string, c contender, backend string) (gateways [3]*gateway) {
	t.Helper()
	server, err := postgres.Find(t.Context(), t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	database, err := server.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var starting sync.WaitGroup // at once, so that they create the tables at once
	for i := range gateways {
		p := place{
			dir: t.TempDir(), listen: process.FreeAddress(), metrics: process.FreeAddress(), backend: backend,
			database: database, scale: scaleOutScale,
		}
		starting.Go(func() {
			g, err := startGateway(t.Context(), caddy, c, p)
			if err != nil {
				t.Error(err)
				return
			}
			gateways[i] = g
			t.Cleanup(g.stop)
		})
	}
	starting.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return gateways
}

// startBalancer returns the address of a load balancer.
func startBalancer(t *testing.T, caddy string, gateways [3]*gateway) string {
	t.Helper()
	dir, address := t.TempDir(), process.FreeAddress()
	file := filepath.Join(dir, "Caddyfile")
	text := fmt.Sprintf(balancerFile, address, gateways[0].listen, gateways[1].listen, gateways[2].listen)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(caddy, "run", "--adapter", "caddyfile", "--config", file)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir)
	p, err := process.Start(dir, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	if err := p.AwaitListening(t.Context(), address); err != nil {
		t.Fatalf("%v\n%s", err, p.Log())
	}
	return address
}

func newPlayer(t *testing.T, address string) *sender.Sender {
	t.Helper()
	signing, err := signing()
	if err != nil {
		t.Fatal(err)
	}
	credential, err := signing.Credential()
	if err != nil {
		t.Fatal(err)
	}
	s, err := sender.New(sender.Config{
		URL: "http://" + address + target, Credentials: []sender.Credential{credential},
		TimeScale: float64(scaleOutScale), Timeout: scaleOutScale.of(sender.Timeout),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// recorder is a backend that counts how often it has processed each event.
type recorder struct {
	mu     sync.Mutex
	seen   map[string]int
	server *http.Server
}

func (b *recorder) listen(t *testing.T, address string) {
	t.Helper()
	listener, err := listenAgain(address)
	if err != nil {
		t.Fatal(err)
	}
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: time.Minute}
	go b.server.Serve(listener)
	t.Cleanup(b.close)
}

// close refuses connections, once what is under way has ended.
func (b *recorder) close() { _ = b.server.Shutdown(context.Background()) }

func (b *recorder) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen[identity(body)]++
}

// await waits until every event has arrived, and holds that none has arrived twice.
func (b *recorder) await(t *testing.T, events int) {
	t.Helper()
	for end := time.Now().Add(scaleOutPatience); b.count() < events; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d events have arrived", b.count(), events)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, n := range b.seen {
		if n > 1 {
			t.Errorf("event %s has arrived %d times", id, n)
		}
	}
}

func (b *recorder) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.seen)
}
