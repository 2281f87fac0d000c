package klink_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/fcgi"
	"sync"
	"sync/atomic"
	"testing"
)

// hashHeader holds the hash of the body that the sender sent.
const hashHeader = "X-Body-Hash"

func hashOf(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// noise is text without a pattern, for bodies to take a piece of.
var noise = func() string {
	random := make([]byte, 2<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(random)
	return hex.EncodeToString(random)
}()

// distinctBody returns a JSON body like no other, of about size bytes.
func distinctBody(size int) string {
	at := rand.IntN(len(noise) - size)
	return fmt.Sprintf(`{"data":{"id":"%016x","text":%q},"event":"message.inbound"}`, rand.Uint64(), noise[at:at+size])
}

// hashed is a signed delivery that says in a header what its body is.
func hashed(t testing.TB, body string) *http.Request {
	t.Helper()
	r := signed(t, "/hook", body)
	r.Header.Set(hashHeader, hashOf([]byte(body)))
	return r
}

// checker is a backend that holds every complete body against its hash.
type checker struct {
	good, wrong, broken atomic.Int64
}

func (c *checker) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil || r.ContentLength >= 0 && int64(len(body)) != r.ContentLength:
		c.broken.Add(1) // the backend can see that this is not all
		http.Error(rw, "broken", http.StatusBadRequest)
	case hashOf(body) != r.Header.Get(hashHeader):
		c.wrong.Add(1)
		http.Error(rw, "wrong", http.StatusBadRequest)
	default:
		c.good.Add(1)
	}
}

// rawBackend hands every connection to serve, with its request's header read, and
// hangs up after that.
func rawBackend(t testing.TB, serve func(net.Conn, *bufio.Reader, *http.Request)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				in := bufio.NewReader(conn)
				if r, err := http.ReadRequest(in); err == nil {
					serve(conn, in, r)
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func deadAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	return listener.Addr().String()
}

const busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

// badBackends fail in every way that reverse_proxy can be told to retry after.
var badBackends = map[string]func(t testing.TB) string{
	"dead port": deadAddress,
	"hangs up after the header": func(t testing.TB) string {
		return rawBackend(t, func(net.Conn, *bufio.Reader, *http.Request) {})
	},
	"hangs up in the middle of the body": func(t testing.TB) string {
		return rawBackend(t, func(_ net.Conn, _ *bufio.Reader, r *http.Request) {
			_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		})
	},
	"hangs up after the body": func(t testing.TB) string {
		return rawBackend(t, func(_ net.Conn, _ *bufio.Reader, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
		})
	},
	"answers 503 after the body": func(t testing.TB) string {
		return rawBackend(t, func(conn net.Conn, _ *bufio.Reader, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.WriteString(conn, busy)
		})
	},
	"answers 503 without reading": func(t testing.TB) string {
		return rawBackend(t, func(conn net.Conn, _ *bufio.Reader, _ *http.Request) {
			_, _ = io.WriteString(conn, busy)
		})
	},
	"answers 503 without reading, and lingers": func(t testing.TB) string {
		return rawBackend(t, func(conn net.Conn, in *bufio.Reader, _ *http.Request) {
			_, _ = io.WriteString(conn, busy)
			_, _ = io.CopyN(io.Discard, in, 100<<10)
		})
	},
}

// mayGiveUp are those whose answer can come while the body is still being sent.
// Then it is not sent again, since the first sending may be going on.
var mayGiveUp = map[string]bool{
	"answers 503 after the body":               true, // the last byte is read before it counts as sent
	"answers 503 without reading":              true,
	"answers 503 without reading, and lingers": true,
}

const retryPolicy = `
	lb_policy round_robin
	lb_retries 30
	lb_retry_match {
		method POST
	}
	lb_retry_match {
		expression ` + "`{rp.status_code} == 503`" + `
	}
`

// TestRetriesSendTheWholeBody has two backends in turn, of which one fails. No
// body may arrive complete and wrong, and none may be lost without need.
func TestRetriesSendTheWholeBody(t *testing.T) {
	t.Parallel()
	for name, bad := range badBackends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if raceEnabled && mayGiveUp[name] {
				t.Skip("reverse_proxy itself counts what two tries read without a lock")
			}
			good := new(checker)
			s := startCaddy(t, `
				klink_webhook {
					hmac "`+testSecret+`"
				}
				reverse_proxy `+bad(t)+` `+listen(t, good.ServeHTTP)+` {
					`+retryPolicy+`
				}`)
			const goroutines, each = 8, 25
			failed := hammer(t, goroutines, each, func() *http.Request {
				return hashed(t, distinctBody([]int{100, 5 << 10, 40 << 10, 150 << 10, 500 << 10}[rand.IntN(5)]))
			}, s)
			if n := good.wrong.Load(); n > 0 {
				t.Errorf("%d bodies came complete and wrong", n)
			}
			if n := good.good.Load(); n != goroutines*each-failed {
				t.Errorf("%d good bodies and %d failed deliveries", n, failed)
			}
			t.Logf("%d of %d failed", failed, goroutines*each)
			if failed > 0 && !mayGiveUp[name] {
				t.Errorf("%d of %d deliveries failed; the good backend saw %d broken bodies", failed, goroutines*each, good.broken.Load())
			}
		})
	}
}

// hammer makes deliveries from several goroutines, and counts those that are not
// answered with 200.
func hammer(t *testing.T, goroutines, each int, next func() *http.Request, s *server) (failed int64) {
	t.Helper()
	var count atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				if a, err := s.try(next()); err != nil || a.status != http.StatusOK {
					count.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return count.Load()
}

// TestRetriesOverFastCGI: PHP's transport reads the body only once it has a
// connection, so a dead port costs nothing.
func TestRetriesOverFastCGI(t *testing.T) {
	t.Parallel()
	good := new(checker)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() { _ = fcgi.Serve(listener, good) }()
	s := startCaddy(t, `
		klink_webhook {
			hmac "`+testSecret+`"
		}
		reverse_proxy `+deadAddress(t)+` `+listener.Addr().String()+` {
			transport fastcgi
			`+retryPolicy+`
		}`)
	failed := hammer(t, 4, 20, func() *http.Request {
		return hashed(t, distinctBody([]int{100, 5 << 10, 40 << 10, 300 << 10}[rand.IntN(4)]))
	}, s)
	if failed > 0 || good.good.Load() != 80 {
		t.Errorf("%d good bodies, %d wrong, %d broken; %d failed deliveries", good.good.Load(), good.wrong.Load(), good.broken.Load(), failed)
	}
}
