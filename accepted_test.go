package klink_test

import (
	"net/http"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	klink "github.com/klinkgate/caddy-klink"
	"github.com/klinkgate/caddy-klink/verifier"
)

// TestHandlersBehindKnowWhatWasAccepted looks at the variable that klink_inbox reads.
func TestHandlersBehindKnowWhatWasAccepted(t *testing.T) {
	const body = `{"event":"contact.create","timestamp":"2026-01-09T03:42:38.000000Z","data":{}}`
	for name, test := range map[string]struct {
		mode string
		sign bool
		want verifier.Accepted
	}{
		"verified":     {sign: true, want: verifier.Accepted{Endpoint: "known", Event: "contact.create", Verified: true}},
		"only let by":  {mode: "observe", want: verifier.Accepted{Endpoint: "known", Event: "contact.create"}},
		"both of them": {mode: "observe", sign: true, want: verifier.Accepted{Endpoint: "known", Event: "contact.create", Verified: true}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := caddy.NewContext(caddy.Context{Context: t.Context()})
			t.Cleanup(cancel)
			w := &klink.Webhook{Name: "known", Mode: test.mode, HMAC: &klink.HMAC{Secrets: []string{testSecret}}}
			if err := w.Provision(ctx); err != nil {
				t.Fatal(err)
			}
			r := signed(t, "/hook", body)
			r.RequestURI = "/hook"
			if !test.sign {
				r.Header.Set("X-Signature", "0000000000000000000000000000000000000000000000000000000000000000")
			}
			rw := nowhere{make(http.Header)}
			r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), rw, nil)
			caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, klinkAddress)
			var got *verifier.Accepted
			err := w.ServeHTTP(rw, r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
				got, _ = caddyhttp.GetVar(r.Context(), "klink_webhook").(*verifier.Accepted)
				return nil
			}))
			if err != nil {
				t.Fatal(err)
			}
			if got == nil || *got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}
