package klink

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/klinkgate/caddy-klink/verifier"
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

// serveInMemory runs a webhook with a backend behind it, in a bubble's time.
func serveInMemory(t *testing.T, allow string, server *caddyhttp.Server, backend caddyhttp.HandlerFunc) net.Conn {
	t.Helper()
	w := &Webhook{Name: "slow", Allow: []string{allow}, HMAC: &HMAC{Secrets: []string{"secret"}}, logger: zap.NewNop()}
	if err := w.provision(); err != nil {
		t.Fatal(err)
	}
	w.endpoint, w.diagnosis = newEndpoint(w.Name), newDiagnosis()
	t.Cleanup(func() { _ = w.endpoint.Destruct() })
	handler := func(rw http.ResponseWriter, r *http.Request) {
		err := w.ServeHTTP(rw, caddyhttp.PrepareRequest(r, caddy.NewReplacer(), rw, server), backend)
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

// dribble sends a request's beginning and then a byte each second, and returns
// the answer's status and when it came.
func dribble(t *testing.T, c net.Conn, start, piece string) (status int, after time.Duration) {
	t.Helper()
	begun := time.Now()
	if _, err := io.WriteString(c, start); err != nil {
		t.Fatal(err)
	}
	if piece != "" {
		keepWriting(t, c, piece)
	}
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

func TestABodyMustComeWhileTheSenderWaits(t *testing.T) {
	for name, test := range map[string]struct {
		allow, start, piece string
		status              int
	}{
		"announced": {"any", slowHeader + "Content-Length: 100000\r\n\r\n{", " ", 400},
		"chunked":   {"any", slowHeader + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "1\r\n \r\n", 400},
		// The server reads a short body before it answers.
		"of a stranger": {"192.0.2.1", slowHeader + "Content-Length: 100000\r\n\r\n{", " ", 403},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := serveInMemory(t, test.allow, nil, nil)
				status, after := dribble(t, c, test.start, test.piece)
				if status != test.status || after < senderTimeout || after > senderTimeout+time.Second {
					t.Errorf("answered %d after %v; want %d after %v", status, after, test.status, senderTimeout)
				}
				if _, err := io.ReadAll(c); err != nil {
					t.Errorf("the connection is not closed: %v", err)
				}
			})
		})
	}
}

func TestAVerifiedDeliveryIsNotHurried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ctxErr error
		c := serveInMemory(t, "any", nil, func(rw http.ResponseWriter, r *http.Request) error {
			_, _ = io.Copy(io.Discard, r.Body)
			time.Sleep(3 * senderTimeout)
			ctxErr = r.Context().Err()
			return nil
		})
		body := `{"event":"contact.create"}`
		secret, err := verifier.NewSecret("secret")
		if err != nil {
			t.Fatal(err)
		}
		signature := secret.Sign([]byte("POST/" + body)).Hex()
		request := strings.Replace(slowHeader, strings.Repeat("0", 64), signature, 1)
		status, _ := dribble(t, c, request+"Content-Length: 26\r\n\r\n"+body, "")
		if status != 200 || ctxErr != nil {
			t.Errorf("status %d, and the backend's context: %v", status, ctxErr)
		}
	})
}

func TestAServersOwnTimeoutIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &caddyhttp.Server{ReadTimeout: caddy.Duration(time.Second)}
		c := serveInMemory(t, "any", server, nil)
		_, _ = io.WriteString(c, slowHeader+"Content-Length: 10\r\n\r\n{")
		_ = c.SetReadDeadline(time.Now().Add(3 * senderTimeout))
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("%d bytes of an answer, though this server sets no deadline here", n)
		}
	})
}
