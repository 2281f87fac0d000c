package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	klink "github.com/klinkgate/caddy-klink"
)

// handlerHost is where the requests for a handler alone claim to have arrived.
const handlerHost = "hooks.example.com"

// alone is a handler with nothing before and nothing behind it.
type alone struct {
	name    string
	handler caddyhttp.MiddlewareHandler
}

// provisioned returns the handlers to measure. Caddy's context ends with stop.
func provisioned() (all []alone, stop func(), err error) {
	ctx, stop := caddy.NewContext(caddy.Context{Context: context.Background()})
	allow := []string{"127.0.0.1"}
	secrets := []string{secret}
	pinned := &klink.Webhook{Allow: allow, HMAC: &klink.HMAC{Secrets: secrets, URL: "full", Body: []string{"go"}}}
	auto := &klink.Webhook{Allow: allow, HMAC: &klink.HMAC{Secrets: secrets}}
	for _, w := range []*klink.Webhook{pinned, auto} {
		if err := w.Provision(ctx); err != nil {
			stop()
			return nil, nil, err
		}
	}
	return []alone{{gatewayName, pinned}, {"gateway, auto", auto}, {"naive handler", &naive{Secret: secret}}}, stop, nil
}

// call is one request, prepared as Caddy's server does it.
type call struct {
	request *http.Request
	writer  http.ResponseWriter
}

// callMaker makes calls whose signature is good.
type callMaker struct {
	body   []byte
	header http.Header
	server *caddyhttp.Server
}

func newCallMaker(body []byte) (*callMaker, error) {
	signature, err := signedForm(handlerHost, webhookPath, body)
	if err != nil {
		return nil, err
	}
	header := http.Header{"X-Signature": {signature}, "Content-Type": {"application/json"}, "Accept": {"*/*"}}
	return &callMaker{body: body, header: header, server: new(caddyhttp.Server)}, nil
}

func (m *callMaker) call() (call, error) {
	r, err := http.NewRequest(http.MethodPost, webhookPath, io.NopCloser(bytes.NewReader(m.body))) //nolint:noctx // Caddy's context follows
	if err != nil {
		return call{}, err
	}
	r.Host, r.RequestURI, r.RemoteAddr = handlerHost, webhookPath, "127.0.0.1:40000"
	r.Header, r.ContentLength = m.header, int64(len(m.body))
	w := nowhere{}
	return call{caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, m.server), w}, nil
}

func (m *callMaker) calls() ([]call, error) {
	calls := make([]call, callsAtOnce)
	for i := range calls {
		var err error
		if calls[i], err = m.call(); err != nil {
			return nil, err
		}
	}
	return calls, nil
}

// nowhere is a response writer that nobody reads from.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}

// backendless stands where the backend's proxy would.
var backendless = caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })

// cost is what one call took.
type cost struct {
	seconds     float64
	allocations float64
	bytes       float64
}

// callsAtOnce are prepared before the clock starts.
const callsAtOnce = 16

// serve measures a handler for about the duration. The median of the batches leaves out those that had to share the core
// with another program.
func (a alone) serve(m *callMaker, duration time.Duration) (cost, error) {
	var batches []float64
	for began := time.Now(); len(batches) == 0 || time.Since(began) < duration; {
		calls, err := m.calls()
		if err != nil {
			return cost{}, err
		}
		start := time.Now()
		if err := a.serveAll(calls); err != nil {
			return cost{}, err
		}
		batches = append(batches, time.Since(start).Seconds())
	}
	allocations, bytes, err := a.countAllocations(m)
	return cost{median(batches) / callsAtOnce, allocations, bytes}, err
}

// countAllocations is apart from the clock: looking at them stops the world.
func (a alone) countAllocations(m *callMaker) (allocations, bytes float64, err error) {
	calls, err := m.calls()
	if err != nil {
		return 0, 0, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err = a.serveAll(calls)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / callsAtOnce, float64(after.TotalAlloc-before.TotalAlloc) / callsAtOnce, err
}

func (a alone) serveAll(calls []call) error {
	for _, c := range calls {
		if err := a.handler.ServeHTTP(c.writer, c.request, backendless); err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
	}
	return nil
}

// pooledHMAC is the measure for a handler: an HMAC-SHA256 with a keyed state that is used again.
var pooledHMAC = sync.Pool{New: func() any {
	return &macState{Hash: hmac.New(sha256.New, []byte(secret))}
}}

type macState struct {
	hash.Hash
	sum [sha256.Size]byte
}

func sign(body []byte) byte {
	mac := pooledHMAC.Get().(*macState)
	defer pooledHMAC.Put(mac)
	mac.Reset()
	mac.Write(body)
	return mac.Sum(mac.sum[:0])[0]
}

// signFor measures the pooled HMAC for about the duration.
func signFor(body []byte, duration time.Duration) (seconds float64) {
	var batches []float64
	for began := time.Now(); len(batches) == 0 || time.Since(began) < duration; {
		start := time.Now()
		for range callsAtOnce {
			sign(body)
		}
		batches = append(batches, time.Since(start).Seconds())
	}
	return median(batches) / callsAtOnce
}
