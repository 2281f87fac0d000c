package klink

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// oneConnection is a listener that has a single connection.
type oneConnection struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (l *oneConnection) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneConnection) Close() error   { close(l.closed); return nil }
func (l *oneConnection) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

// serveInMemory runs a webhook in a bubble's time.
func serveInMemory(t *testing.T) net.Conn {
	t.Helper()
	w := &Webhook{Name: "slow", Allow: []string{"any"}, HMAC: &HMAC{Secrets: []string{"secret"}}, logger: zap.NewNop()}
	if err := w.provision(); err != nil {
		t.Fatal(err)
	}
	w.endpoint, w.diagnosis = newEndpoint(w.Name), newDiagnosis()
	t.Cleanup(func() { _ = w.endpoint.Destruct() })
	handler := func(rw http.ResponseWriter, r *http.Request) {
		err := w.ServeHTTP(rw, caddyhttp.PrepareRequest(r, caddy.NewReplacer(), rw, nil), nil)
		if refused, ok := err.(caddyhttp.HandlerError); ok {
			rw.WriteHeader(refused.StatusCode)
		}
	}
	client, conn := net.Pipe()
	l := &oneConnection{make(chan net.Conn, 1), make(chan struct{})}
	l.conn <- conn
	s := &http.Server{Handler: http.HandlerFunc(handler), ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Hour}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = client.Close(); _ = s.Close() })
	return client
}

const slowHeader = "POST / HTTP/1.1\r\nHost: example.com\r\nX-Signature: " +
	"0000000000000000000000000000000000000000000000000000000000000000\r\n"

// dribbleTo sends a request's beginning and then a byte each second, and returns
// the answer's status and when it came.
func dribbleTo(t *testing.T, c net.Conn, start, piece string) (status int, after time.Duration) {
	t.Helper()
	begun := time.Now()
	if _, err := io.WriteString(c, start); err != nil {
		t.Fatal(err)
	}
	keepWriting(t, c, piece)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	return res.StatusCode, time.Since(begun)
}

func keepWriting(t *testing.T, c net.Conn, piece string) {
	done := make(chan struct{})
	t.Cleanup(func() { _ = c.Close(); <-done })
	go func() {
		defer close(done)
		for range 3600 {
			time.Sleep(time.Second)
			if _, err := io.WriteString(c, piece); err != nil {
				return
			}
		}
	}()
}

func TestADribbledBodyEndsTheConnection(t *testing.T) {
	for name, test := range map[string]struct{ start, piece string }{
		"announced": {slowHeader + "Content-Length: 100000\r\n\r\n{", " "},
		"chunked":   {slowHeader + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "1\r\n \r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := serveInMemory(t)
				status, after := dribbleTo(t, c, test.start, test.piece)
				if status != 400 || after < senderTimeout || after > senderTimeout+time.Second {
					t.Errorf("answered %d after %v; want 400 after %v", status, after, senderTimeout)
				}
				if _, err := io.ReadAll(c); err != nil {
					t.Errorf("the connection is not closed: %v", err)
				}
			})
		})
	}
}
