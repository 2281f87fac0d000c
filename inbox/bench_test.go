package inbox_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/klinkgate/caddy-klink/verifier"
)

// BenchmarkRescue measures what an inbox adds to a delivery that the backend
// takes at once: a new event of 1.2 KB each time, to a handler that answers.
func BenchmarkRescue(b *testing.B) {
	base, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(base)
	defer cancel()
	handler, err := ctx.LoadModuleByID("http.handlers.klink_inbox", []byte(`{"name":"bench","database":"sqlite://`+shortTempDir(b)+
		`/inbox.db","deliver":[{"handle":[{"handler":"static_response","status_code":200}]}]}`))
	if err != nil {
		b.Fatal(err)
	}
	inbox := handler.(caddyhttp.MiddlewareHandler)
	padding := strings.Repeat("x", 1100)
	accepted := &verifier.Accepted{Endpoint: "bench", Event: "contact.create", Verified: true}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		body := event("contact.create", strconv.Itoa(i)+padding)
		r, _ := http.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
		r.RequestURI, r.RemoteAddr, r.Proto = "/hook", "51.79.216.180:1234", "HTTP/1.1"
		for _, name := range []string{"X-Signature", "Content-Type", "User-Agent", "Accept", "X-Request-Id"} {
			r.Header.Set(name, "value")
		}
		w := discard{make(http.Header)}
		r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), w, nil)
		caddyhttp.SetVar(r.Context(), "klink_webhook", accepted)
		if err := inbox.ServeHTTP(w, r, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// discard is an answer that nobody reads.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) WriteHeader(int)             {}
func (d discard) Write(p []byte) (int, error) { return io.Discard.Write(p) }
