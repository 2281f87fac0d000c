package klink_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	klink "github.com/klinkgate/caddy-klink"
)

// nowhere is a ResponseWriter that keeps nothing.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) WriteHeader(int)             {}
func (n nowhere) Write(p []byte) (int, error) { return len(p), nil }

// TestHandlerAllocations counts what a verified delivery of 1 KB costs beyond
// what Caddy needs for any request.
func TestHandlerAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
	defer cancel()
	body := []byte(padded(1024))
	template := signed(t, "/hook?b=2&a=1", string(body))
	template.RequestURI = "/hook?b=2&a=1"
	count := func(h caddyhttp.MiddlewareHandler) float64 {
		passed := 0
		next := caddyhttp.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) error {
			got, err := io.Copy(io.Discard, r.Body)
			passed++
			rw.WriteHeader(http.StatusCreated)
			if err != nil || got != int64(len(body)) {
				t.Errorf("%d bytes reached the next handler, %v", got, err)
			}
			return nil
		})
		reader := bytes.NewReader(body)
		rw := nowhere{make(http.Header)}
		allocations := testing.AllocsPerRun(500, func() {
			reader.Reset(body)
			r := *template
			r.Body = io.NopCloser(reader)
			prepared := caddyhttp.PrepareRequest(&r, caddy.NewReplacer(), rw, nil)
			caddyhttp.SetVar(prepared.Context(), caddyhttp.ClientIPVarKey, klinkAddress)
			if err := h.ServeHTTP(rw, prepared, next); err != nil {
				t.Fatal(err)
			}
		})
		if passed != 501 {
			t.Fatalf("%d of 501 deliveries passed", passed)
		}
		return allocations
	}
	without := count(passOn{})
	for name, h := range map[string]*klink.HMAC{
		"auto":   {Secrets: []string{testSecret}},
		"pinned": {Secrets: []string{"another", testSecret}, URL: "full", Body: []string{"go"}},
	} {
		w := &klink.Webhook{Name: "allocations-" + name, HMAC: h}
		if err := w.Provision(ctx); err != nil {
			t.Fatal(err)
		}
		if got := count(w) - without; got > 2 {
			t.Errorf("%s: %v allocations, want at most 2", name, got)
		}
	}
}

type passOn struct{}

func (passOn) ServeHTTP(rw http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	return next.ServeHTTP(rw, r)
}
