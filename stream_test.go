package klink_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

const basicOnly = `
	klink_webhook {
		basic alice pw
		max_body 1MB
	}
`

// withBasic is an unsigned delivery of alice's.
func withBasic(t testing.TB, target string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, siteURL+target, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-For", klinkAddress)
	r.SetBasicAuth("alice", "pw")
	return r
}

// TestBodyIsNotLookedAt: where no signature is asked for, the body may hold
// anything, and the target may be anything.
func TestBodyIsNotLookedAt(t *testing.T) {
	t.Parallel()
	b := startBackend(t, nil)
	for _, gate := range []string{basicOnly, strings.Replace(basicOnly, "basic alice pw", "header X-Token t", 1)} {
		s := startCaddy(t, gate+`reverse_proxy `+b.address)
		for _, body := range []string{"", "no JSON", `{"a":1,"a":2}`, "\x00\xff", strings.Repeat("x", 1_000_000)} {
			for _, length := range []int64{int64(len(body)), -1} {
				r := withBasic(t, "/hook?a=x+y&b=]", strings.NewReader(body))
				r.Header.Set("X-Token", "t")
				r.ContentLength = length
				a := s.do(t, r)
				got := b.one(t)
				if a.status != 200 || got.body != body || got.err != nil || got.RequestURI != "/hook?a=x+y&b=]" {
					t.Errorf("%.20q: answer %d, the backend got %d bytes, %v", body, a.status, len(got.body), got.err)
				}
			}
		}
		for _, length := range []int64{1_000_001, -1} {
			r := withBasic(t, "/hook", strings.NewReader(strings.Repeat("x", 1_000_001)))
			r.Header.Set("X-Token", "t")
			r.ContentLength = length
			a, err := s.try(r)
			if err == nil && (a.status != 413 || a.body != "") {
				t.Errorf("too large, length %d: %v", length, a)
			}
			if length > 0 {
				b.none(t)
				continue
			}
			if got := b.one(t); got.err == nil {
				t.Errorf("the backend took %d bytes for a whole body", len(got.body))
			}
		}
		lines := s.refusals(t)
		if len(lines) != 2 || lines[0]["reason"] != "body_too_large" || lines[1]["reason"] != "body_too_large" {
			t.Errorf("the log has %v", lines)
		}
	}
}

// TestStreams: the backend gets the body's beginning before its end has been sent.
func TestStreams(t *testing.T) {
	t.Parallel()
	begun, done := make(chan string), make(chan string)
	address := listen(t, func(_ http.ResponseWriter, r *http.Request) {
		beginning := make([]byte, 100_000)
		_, _ = io.ReadFull(r.Body, beginning)
		begun <- string(beginning)
		rest, _ := io.ReadAll(r.Body)
		done <- string(rest)
	})
	s := startCaddy(t, basicOnly+`reverse_proxy `+address)
	body, send := io.Pipe()
	r := withBasic(t, "/hook", body)
	answered := make(chan answer)
	go func() {
		a, _ := s.try(r)
		answered <- a
	}()
	_, _ = io.WriteString(send, strings.Repeat("a", 100_000))
	if got := <-begun; got != strings.Repeat("a", 100_000) {
		t.Errorf("the backend began with %.20q", got)
	}
	_, _ = io.WriteString(send, strings.Repeat("b", 200_000))
	_ = send.Close()
	if got := <-done; got != strings.Repeat("b", 200_000) {
		t.Errorf("the backend got %d more bytes", len(got))
	}
	if a := <-answered; a.status != 200 {
		t.Errorf("answer %v", a)
	}
}

// TestTrailers: trailers are kept for a backend that speaks HTTP/2. HTTP/1.1
// cannot carry them beside a Content-Length.
func TestTrailers(t *testing.T) {
	t.Parallel()
	got := make(chan received, 1)
	backend := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		got <- received{r, string(body), err, r.Trailer}
	}))
	backend.Config.Protocols = new(http.Protocols)
	backend.Config.Protocols.SetUnencryptedHTTP2(true)
	backend.Start()
	t.Cleanup(backend.Close)
	s := startCaddy(t, hmacOnly+`reverse_proxy h2c://`+backend.Listener.Addr().String())
	r := signed(t, "/hook", testBody)
	r.Body = io.NopCloser(io.MultiReader(strings.NewReader(testBody))) // of unknown length
	r.ContentLength = -1
	r.Trailer = http.Header{"X-Checksum": {"abc"}}
	if a := s.do(t, r); a.status != 200 {
		t.Fatalf("answer %v", a)
	}
	if r := <-got; r.body != testBody || r.trailer.Get("X-Checksum") != "abc" {
		t.Errorf("the backend got %q, trailer %v", r.body, r.trailer)
	}
}

// TestBackendAnswersWithoutReading: the answer comes through while most of a
// large body is still in memory, and the next delivery over the same connection
// is none the worse.
func TestBackendAnswersWithoutReading(t *testing.T) {
	t.Parallel()
	address := listen(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Read") == "" {
			rw.WriteHeader(http.StatusTeapot)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || hashOf(body) != r.Header.Get(hashHeader) {
			rw.WriteHeader(http.StatusConflict)
		}
	})
	s := startCaddy(t, hmacOnly+`reverse_proxy `+address)
	failed := hammer(t, 8, 20, func() *http.Request {
		r := hashed(t, distinctBody(150<<10))
		a, err := s.try(r)
		if err != nil || a.status != http.StatusTeapot {
			t.Errorf("without reading: %v, %v", a, err)
		}
		next := hashed(t, distinctBody(150<<10))
		next.Header.Set("X-Read", "yes")
		return next
	}, s)
	if failed > 0 {
		t.Errorf("%d of 160 bodies did not arrive as they were sent", failed)
	}
}

// TestBackendHangsUp: a delivery is lost with 502, others are not mixed up.
func TestBackendHangsUp(t *testing.T) {
	t.Parallel()
	good := new(checker)
	bad := rawBackend(t, func(_ net.Conn, _ *bufio.Reader, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 50_000)
	})
	s := startCaddy(t, hmacOnly+fmt.Sprintf(`
		reverse_proxy /bad %s
		reverse_proxy /hook %s`, bad, listen(t, good.ServeHTTP)))
	failed := hammer(t, 8, 20, func() *http.Request {
		r := signed(t, "/bad", distinctBody(150<<10))
		if a, err := s.try(r); err != nil || a.status != http.StatusBadGateway {
			t.Errorf("hung up: %v, %v", a, err)
		}
		return hashed(t, distinctBody(150<<10))
	}, s)
	if failed > 0 || good.good.Load() != 160 || good.wrong.Load()+good.broken.Load() > 0 {
		t.Errorf("%d failed, %d good, %d wrong, %d broken", failed, good.good.Load(), good.wrong.Load(), good.broken.Load())
	}
}
