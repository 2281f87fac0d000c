// Package klink is a Caddy module that authenticates webhook deliveries of the
// K-LINK Customer Support Platform before they reach a backend.
package klink

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/klinkgate/caddy-klink/verifier"
)

func init() {
	caddy.RegisterModule(new(Webhook))
}

const (
	defaultMaxBody = 1 << 20
	largestMaxBody = 512 << 20 // the largest body that has a normal form
)

// Webhook lets only genuine K-LINK deliveries through to the next handler, byte
// for byte as they arrived. Everything else is refused.
//
// A delivery is a POST from an allowed address. It must pass every check that is
// configured: hmac, basic, and each header. Inside one check any of the named
// secrets, users or values will do. At least one check is required.
//
//	klink_webhook [<matcher>] {
//		allow       <klink|any|private_ranges|address|cidr...>
//		hmac [<secret...>] {
//			secret       [<name>=]<secret...>
//			secret_file  [<name>=]<path...>
//			header       <name...>
//			url          auto|full|full_query|path|path_query|host_path|<literal URL>
//			body         auto|go|raw|<variant...>
//		}
//		basic       <user> <password>
//		header      <name> <value...>
//		public_url  <scheme://host[:port]>
//		max_body    <size>
//		keep_status
//		strip_credentials
//		name        <name>
//		mode        enforce|observe
//		error_budget {
//			limit   <errors>
//			window  <duration>
//		}
//	}
//
// What is verified is the request as it arrived, whatever rewrites ran before.
// Without an order of its own in the Caddyfile the directive stands before
// basic_auth.
//
// Refusals are answered with a bare status: 405 for another method, 403 for
// another address, 401 for a missing or wrong credential, 413 for too large a
// body, and 400 for a request that is broken or has more than one reading. Each
// is logged once, at the level Info, with its reason.
//
// A 2xx answer of the next handler is sent as 200, since K-LINK counts anything
// but 200 as an error.
//
// What the endpoint has seen is kept under its name across reloads: metrics
// caddy_klink_*, GET /klink/endpoints of the admin API, and `caddy klink status`
// show it. Every answer to an allowed address other than 200 within ten seconds
// counts against the error budget; when a half, 80 % and all of it is used, and
// when it has recovered, that is logged and the event klink_error_budget is
// emitted. A signature that does not match is looked into beside the request: a
// log line says under which reading of K-LINK's rules it would.
//
// For later handlers, error routes and logs these placeholders are set:
//
// Placeholder | Description
// ------------|------------
// `{http.klink_webhook.event}` | The event's name, such as contact.create
// `{http.klink_webhook.timestamp}` | The event's own time, as K-LINK wrote it
// `{http.klink_webhook.reason}` | Why the delivery was refused; empty when it was not
// `{http.klink_webhook.form}` | The URL form and the body form that gave the signature
// `{http.klink_webhook.credential}` | What was accepted, by name or number: hmac:new, basic:alice, header:X-Key:1, joined by +
//
// Event and timestamp are empty unless a signature was asked for, since otherwise
// the body is not read, and when they are longer than 64 bytes or hold anything
// but letters, digits and `._-:+`. The access log has the same fields under
// `klink_webhook`.
type Webhook struct {
	// Who may deliver: IP addresses, CIDR prefixes, `klink` (the vendor's
	// documented address), `private_ranges` or `any`. The client's address is
	// Caddy's, which honours the server's trusted_proxies. Default: `klink`.
	Allow []string `json:"allow,omitempty"`

	// Requires an HMAC-SHA256 signature.
	HMAC *HMAC `json:"hmac,omitempty"`

	// Requires HTTP Basic credentials of any of these users.
	Basic []BasicUser `json:"basic,omitempty"`

	// Requires each of these headers.
	Headers []Header `json:"headers,omitempty"`

	// The scheme, host and port under which K-LINK knows this endpoint, such as
	// `https://hooks.example.com`. Default: those of the request, or the
	// X-Forwarded-Proto and X-Forwarded-Host of a trusted proxy.
	PublicURL string `json:"public_url,omitempty"`

	// The largest body that is let through, in bytes; up to 512 MiB.
	// Default: 1 MiB.
	MaxBody int64 `json:"max_body,omitempty"`

	// Answers with the 2xx status of the next handler instead of 200.
	KeepStatus bool `json:"keep_status,omitempty"`

	// Removes the headers that held signatures, credentials or custom values
	// before the next handler. Default: the request goes on as it arrived.
	StripCredentials bool `json:"strip_credentials,omitempty"`

	// What this endpoint is called in logs, metrics and the admin API; what it has
	// seen is kept under this name across reloads. Two endpoints cannot have the
	// same name. Default: `endpoint`; a Caddyfile numbers its endpoints `endpoint1`,
	// `endpoint2`, …, except in a named route, where a name is required.
	Name string `json:"name,omitempty"`

	// `enforce` refuses what does not pass. `observe` logs and counts it, and lets
	// it through all the same, except from addresses that are not allowed: for
	// trying the gateway in front of a live backend. Default: `enforce`.
	Mode string `json:"mode,omitempty"`

	// What the sender puts up with before it switches the endpoint off.
	ErrorBudget *ErrorBudget `json:"error_budget,omitempty"`

	verifier     *verifier.Verifier
	publicScheme string
	publicHost   string
	buffers      buffers
	logger       *zap.Logger

	endpoint    *endpoint
	settings    *endpointSettings
	diagnosis   *diagnosis
	secretNames []string
	secretFiles []*secretFile

	lastForm  atomic.Pointer[verifier.Form]
	seenForms sync.Map // verifier.Form: those that have been logged
}

// HMAC says how a signature is checked.
type HMAC struct {
	// The signature secrets, any of which is good. Placeholders such as
	// `{env.KLINK_SECRET}` and `{file./run/secrets/klink}` are replaced when the
	// configuration loads; one that is unset or empty fails the load. A name may
	// stand before a placeholder, `new={env.NEW}`; secrets without are numbered.
	Secrets []string `json:"secrets,omitempty"`

	// Files that hold one secret each, of at most 64 KiB; a name may stand before
	// the path, `new=/run/secrets/new`. A relative path begins where Caddy was
	// started. Placeholders such as `{env.CREDENTIALS_DIRECTORY}/klink` are replaced
	// when the configuration loads. A file is read anew when it changes, without a
	// reload; when it is empty or gone, its last secret stays in force.
	SecretFiles []string `json:"secret_files,omitempty"`

	// The headers that may hold the signature; the first that is there counts.
	// Default: `X-Signature`, then `Authorization`.
	Headers []string `json:"headers,omitempty"`

	// What "URL" in the string to sign means: `auto`, `full`
	// (scheme://host/path), `full_query` (the same with ?query), `path`,
	// `path_query`, `host_path`, or the URL as it is typed in K-LINK. `auto`
	// tries all but the last and logs which one matched. Default: `auto`.
	URL string `json:"url,omitempty"`

	// What "NormalizedBody" means: `auto`, `go` (what Go's encoding/json makes of
	// the body), `raw` (the body's own bytes), or variants of `go`:
	// `no_html_escape`, `raw_numbers`, `long_escapes`. Default: `auto`.
	Body []string `json:"body,omitempty"`
}

// ErrorBudget says how many errors the sender puts up with.
type ErrorBudget struct {
	// More errors than this within the window switch the endpoint off; at most
	// 10000. Default: 50.
	Limit int `json:"limit,omitempty"`

	// Default: 1h.
	Window caddy.Duration `json:"window,omitempty"`
}

// BasicUser is a user of HTTP Basic authentication.
type BasicUser struct {
	User string `json:"user,omitempty"`

	// The password or its bcrypt hash. Placeholders are replaced as in secrets.
	Password string `json:"password,omitempty"`
}

// Header is a header with a fixed value.
type Header struct {
	Name string `json:"name,omitempty"`

	// The accepted values. Placeholders are replaced as in secrets.
	Values []string `json:"values,omitempty"`
}

// CaddyModule returns the Caddy module information.
func (*Webhook) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.klink_webhook",
		New: func() caddy.Module { return new(Webhook) },
	}
}

// Provision sets up the checks. It fails on whatever is missing, empty, unknown
// or malformed.
func (w *Webhook) Provision(ctx caddy.Context) error {
	w.logger = ctx.Logger()
	if err := w.provision(); err != nil {
		return fmt.Errorf("klink_webhook: %w", err)
	}
	if err := w.provisionEndpoint(ctx); err != nil {
		return fmt.Errorf("klink_webhook: %w", err)
	}
	if len(w.secretFiles) > 0 {
		go w.watch(ctx, w.secretFiles)
	}
	return nil
}

// Cleanup gives back what Provision has taken.
func (w *Webhook) Cleanup() error {
	if w.diagnosis != nil {
		w.diagnosis.running.Wait()
	}
	if w.endpoint == nil {
		return nil
	}
	w.endpoint.drop(w.settings)
	_, err := endpoints.Delete(w.endpoint.name)
	return err
}

// ServeHTTP verifies one delivery and passes it on, or refuses it.
func (w *Webhook) ServeHTTP(rw http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	a := newAttempt(w, rw, r)
	defer a.close()

	refusal := a.verifyTraced(r)
	switch {
	case refusal != nil && a.refused(refusal, r):
		return a.refusalError(refusal)
	case refusal == nil && a.bounded == nil: // a streamed body may still prove too large
		a.accepted()
	}
	a.handOver(r)
	if w.StripCredentials {
		for _, name := range w.verifier.CredentialHeaders() {
			r.Header.Del(name)
		}
	}
	err := a.forward(r, next)
	if err != nil && a.bounded != nil && a.bounded.exceeded.Load() {
		refusal := tooLarge()
		a.refused(refusal, r)
		return a.refusalError(refusal)
	}
	return err
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Webhook)(nil)
	_ caddy.CleanerUpper          = (*Webhook)(nil)
	_ caddyhttp.MiddlewareHandler = (*Webhook)(nil)
)
