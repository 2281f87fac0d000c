package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
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

// alone is a handler with no server before and no backend behind it.
type alone struct {
	name    string
	handler caddyhttp.MiddlewareHandler
}

// provisioned returns the handlers to measure, the gateway first. They are good until stop is called.
func provisioned() (all []alone, stop func(), err error) {
	ctx, stop := caddy.NewContext(caddy.Context{Context: context.Background()})
	allow := []string{"127.0.0.1"}
	secrets := []string{secret}
	pinned := &klink.Webhook{Name: "pinned", Allow: allow, HMAC: &klink.HMAC{Secrets: secrets, URL: "full", Body: []string{"go"}}}
	auto := &klink.Webhook{Name: "auto", Allow: allow, HMAC: &klink.HMAC{Secrets: secrets}}
	for _, w := range []*klink.Webhook{pinned, auto} {
		if err := w.Provision(ctx); err != nil {
			stop()
			return nil, nil, err
		}
	}
	return []alone{{gatewayName, pinned}, {"gateway, auto", auto}, {"naive handler", &naive{Secret: secret}}}, stop, nil
}

// call is one request, prepared as Caddy's server does it, that can be made again and again.
type call struct {
	request  *http.Request
	replacer *caddy.Replacer
	fresh    caddy.Replacer // as it was before the first handler
	text     []byte
	body     wholeBody
}

func newCall(text []byte) (*call, error) {
	const host = "hooks.example.com"
	signature, err := signedForm(host, webhookPath, text)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequest(http.MethodPost, webhookPath, nil)
	if err != nil {
		return nil, err
	}
	r.Host, r.RequestURI, r.RemoteAddr = host, webhookPath, "127.0.0.1:40000"
	r.Header = http.Header{"X-Signature": {signature}, "Content-Type": {"application/json"}, "Accept": {"*/*"}}
	c := &call{replacer: caddy.NewReplacer(), text: text}
	c.request = caddyhttp.PrepareRequest(r, c.replacer, nowhere{}, new(caddyhttp.Server))
	c.fresh = *c.replacer
	return c, nil
}

func (c *call) serve(h caddyhttp.MiddlewareHandler) error {
	*c.replacer = c.fresh
	c.body.left = c.text
	c.request.Body, c.request.ContentLength = &c.body, int64(len(c.text))
	return h.ServeHTTP(nowhere{}, c.request, backendless)
}

// wholeBody ends as net/http's do: with the last bytes.
type wholeBody struct{ left []byte }

func (b *wholeBody) Read(p []byte) (int, error) {
	n := copy(p, b.left)
	if b.left = b.left[n:]; len(b.left) == 0 {
		return n, io.EOF
	}
	return n, nil
}

func (*wholeBody) Close() error { return nil }

// nowhere is a response writer that nobody reads from.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(p []byte) (int, error) { return len(p), nil }
func (nowhere) WriteHeader(int)             {}

// backendless stands where the backend's proxy would.
var backendless = caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })

// pooledHMAC is the measure for a handler: an HMAC-SHA256 with a keyed state that is used again.
var pooledHMAC = sync.Pool{New: func() any {
	return &macState{Hash: hmac.New(sha256.New, []byte(secret))}
}}

type macState struct {
	hash.Hash
	sum [sha256.Size]byte
}

func (c *call) sign() error {
	mac := pooledHMAC.Get().(*macState)
	defer pooledHMAC.Put(mac)
	mac.Reset()
	mac.Write(c.text)
	mac.Sum(mac.sum[:0])
	return nil
}

// timed returns the seconds that a call takes: the median of the batches within the duration, which leaves out those
// that lost the core to another program.
func timed(duration time.Duration, call func() error) (float64, error) {
	const batch = 50 * time.Microsecond // long for the clock, short for the scheduler
	var batches []float64
	for began := time.Now(); len(batches) == 0 || time.Since(began) < duration; {
		n := 0
		start := time.Now()
		for n == 0 || time.Since(start) < batch {
			for range 4 {
				if err := call(); err != nil {
					return 0, err
				}
			}
			n += 4
		}
		batches = append(batches, time.Since(start).Seconds()/float64(n))
	}
	return median(batches), nil
}

// allocated returns how often a call allocates memory, and how many bytes.
func allocated(call func() error) (times, bytes float64, err error) {
	const calls = 16
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range calls {
		if err := call(); err != nil {
			return 0, 0, err
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / calls, float64(after.TotalAlloc-before.TotalAlloc) / calls, nil
}
