package sender_test

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/klinkgate/caddy-klink/sender"
	"github.com/klinkgate/caddy-klink/verifier"
)

// memory carries real HTTP over net.Pipe, which testing/synctest understands.
type memory struct {
	connections chan net.Conn
	closed      chan struct{}
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.connections:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { close(m.closed); return nil }
func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

func (m *memory) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case m.connections <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// endpoint starts a server and returns a sender to it. Both are gone at the end of the test, in which a goroutine left
// over would make synctest fail.
func endpoint(t *testing.T, c sender.Config, h http.HandlerFunc) *sender.Sender {
	t.Helper()
	m := &memory{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Hour}
	go func() { _ = server.Serve(m) }()
	transport := &http.Transport{DialContext: m.dial, MaxIdleConnsPerHost: 100}
	c.Transport = transport
	if c.URL == "" {
		c.URL = "http://backend.example/hooks/klink?b=2&a=1"
	}
	s := must(sender.New(c))(t)
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = server.Close()
	})
	return s
}

// must returns the value that a test cannot go on without.
func must[T any](value T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func form(t testing.TB, url string, body ...string) verifier.Form {
	t.Helper()
	return verifier.Form{URL: must(verifier.ParseURLForm(url))(t), Body: must(verifier.ParseBodyForm(body))(t)}
}

func signed(t testing.TB, s sender.Signing) sender.Credential {
	t.Helper()
	s.Secret = must(verifier.NewSecret("test-secret"))(t)
	return must(s.Credential())(t)
}

func event(t testing.TB, n int) sender.Event {
	t.Helper()
	return must(sender.NewGenerator(1))(t).Event(n)
}
