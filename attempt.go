package klink

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/klinkgate/caddy-klink/verifier"
)

// attempt is one request on its way through a Webhook. It is not reused: logs
// and placeholders look at it after the handler has returned.
type attempt struct {
	webhook  *Webhook
	delivery verifier.Delivery
	evidence verifier.Evidence
	reason   verifier.Reason
	body     replayBody
	bounded  *boundedBody
	partial  bool // whether there is more of the body than was read
	answer   answerWriter
	logged   bool // whether an access log wants the fields
	allowed  bool // whether the client is on the address list: its errors count
	arrived  time.Time
	err      error             // of the next handler
	verified time.Duration     // when the last check ended, after arrived
	spent    time.Duration     // on verification, reading the body excluded
	passed   verifier.Accepted // its event is there once it has been looked for

	timestamp string // once it has been looked for
}

func newAttempt(w *Webhook, rw http.ResponseWriter, r *http.Request) *attempt {
	a := &attempt{webhook: w, arrived: time.Now()}
	a.answer.ResponseWriter = rw
	a.answer.keep = w.KeepStatus
	ctx := r.Context()
	vars, _ := ctx.Value(caddyhttp.VarsCtxKey).(map[string]any)
	w.describe(&a.delivery, r, vars)
	a.allowed = w.verifier.Allow.Contains(a.delivery.Client)

	server, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	a.body.replacer = ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	a.body.replacer.Map(a.placeholder)
	if server != nil && server.Logs != nil {
		if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
			extra.Set(zap.Object("klink_webhook", a))
			a.logged = true
		}
	}
	return a
}

// describe takes the request as it arrived, before any rewrite.
func (w *Webhook) describe(d *verifier.Delivery, r *http.Request, vars map[string]any) {
	d.Method, d.Target, d.Header = r.Method, r.RequestURI, r.Header
	if orig, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		d.Method, d.Target = orig.Method, orig.RequestURI
	}
	d.Target = originForm(d.Target)
	d.Scheme, d.Host = w.publicScheme, w.publicHost
	if w.publicHost == "" {
		d.Scheme, d.Host = schemeAndHost(r, vars)
	}
	if client, ok := vars[caddyhttp.ClientIPVarKey].(string); ok {
		d.Client, _ = netip.ParseAddr(client)
	}
}

// originForm takes scheme and host off a request-target in absolute form. Where
// no path follows them, nothing is taken for one.
func originForm(target string) string {
	if strings.HasPrefix(target, "/") {
		return target
	}
	_, rest, found := strings.Cut(target, "://")
	end := strings.IndexAny(rest, "/?")
	if !found || end < 0 {
		return target
	}
	return rest[end:]
}

// schemeAndHost believes X-Forwarded-Proto and X-Forwarded-Host only of a proxy
// that Caddy trusts, and only where they have a single value.
func schemeAndHost(r *http.Request, vars map[string]any) (scheme, host string) {
	scheme, host = "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if trusted, _ := vars[caddyhttp.TrustedProxyVarKey].(bool); !trusted {
		return scheme, host
	}
	if proto := single(r.Header["X-Forwarded-Proto"]); proto == "http" || proto == "https" {
		scheme = proto
	}
	if forwarded := single(r.Header["X-Forwarded-Host"]); forwarded != "" {
		host = forwarded
	}
	return scheme, host
}

func single(values []string) string {
	if len(values) != 1 || strings.Contains(values[0], ",") {
		return ""
	}
	return values[0]
}

// verify makes all checks. When it returns nil, the next handler can have r.
func (a *attempt) verify(r *http.Request) *verifier.Refusal {
	w := a.webhook
	refusal := w.verifier.CheckRequest(&a.delivery, &a.evidence)
	a.verified = time.Since(a.arrived)
	a.spent = a.verified
	if refusal != nil {
		return refusal
	}
	if r.ContentLength > w.MaxBody {
		return tooLarge()
	}
	if !w.verifier.NeedsBody() {
		a.boundBody(r)
		return nil
	}
	if refusal := a.readBody(r); refusal != nil {
		return refusal
	}
	return a.checkBody(r.Context())
}

// largeBodies has room for those that are verified at the same time, in the whole
// process. Verifying one can take twenty times its size in scratch space, and
// more time than a thousand small ones: those do not wait.
var largeBodies = make(chan struct{}, runtime.GOMAXPROCS(0))

func (a *attempt) checkBody(ctx context.Context) *verifier.Refusal {
	data := a.body.buf.data
	if len(data) > firstBuffer {
		select {
		case largeBodies <- struct{}{}:
			defer func() { <-largeBodies }()
		case <-ctx.Done():
			return &verifier.Refusal{Reason: verifier.BodyIncomplete, Detail: "the sender went away before the body was verified"}
		}
	}
	begun := time.Since(a.arrived)
	refusal := a.webhook.verifier.CheckBody(&a.delivery, data, &a.evidence)
	a.verified = time.Since(a.arrived)
	a.spent += a.verified - begun
	return refusal
}

// boundBody lets a body stream whose length is not announced, up to max_body.
func (a *attempt) boundBody(r *http.Request) {
	if r.ContentLength < 0 && r.Body != nil && !a.webhook.observing() {
		a.bounded = &boundedBody{ReadCloser: r.Body, left: a.webhook.MaxBody}
		r.Body = a.bounded
	}
}

func (a *attempt) readBody(r *http.Request) *verifier.Refusal {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	var err error
	a.body.buf, err = a.webhook.buffers.readAll(r.Body, r.ContentLength, a.arrived.Add(senderTimeout))
	if err == nil {
		return nil
	}
	a.verified = time.Since(a.arrived)
	var handlerErr caddyhttp.HandlerError
	if errors.As(err, &handlerErr) && handlerErr.StatusCode == http.StatusRequestEntityTooLarge {
		a.partial = true
		return tooLarge()
	}
	detail := "the body broke off after "
	if errors.Is(err, errTooSlow) {
		detail = "the body did not come in time, only "
		a.stopReading()
	}
	return &verifier.Refusal{
		Reason: verifier.BodyIncomplete,
		Detail: detail + strconv.Itoa(len(a.body.buf.data)) + " bytes",
	}
}

// stopReading lets the server close the connection instead of waiting for the
// rest of the body.
func (a *attempt) stopReading() {
	_ = http.NewResponseController(a.answer.ResponseWriter).SetReadDeadline(a.arrived) // where there is a connection
}

// handOver tells the handlers behind what they may know of the delivery, and
// gives them its body.
func (a *attempt) handOver(r *http.Request) {
	a.passed.Endpoint, a.passed.Verified = a.webhook.Name, a.reason == ""
	caddyhttp.SetVar(r.Context(), "klink_webhook", &a.passed)
	a.replaceBody(r)
}

// replaceBody gives the next handler the same bytes, with a known length where
// all of them were read.
func (a *attempt) replaceBody(r *http.Request) {
	if a.body.buf == nil {
		return
	}
	if a.partial { // let through in observe mode
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(&a.body, r.Body), r.Body}
		return
	}
	length := len(a.body.buf.data)
	if r.ContentLength < 0 {
		r.ContentLength = int64(length)
		r.TransferEncoding = nil
		r.Header.Set("Content-Length", strconv.Itoa(length))
	}
	if length == 0 {
		r.Body = http.NoBody
		return
	}
	r.Body = &a.body
}

// close ends the life of the body's buffer.
func (a *attempt) close() {
	if a.logged {
		a.findEvent()
		a.findTimestamp()
	}
	a.body.release(&a.webhook.buffers)
}

// MarshalLogObject implements zapcore.ObjectMarshaler.
func (a *attempt) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	for _, name := range placeholders {
		if value := a.field(name); value != "" {
			enc.AddString(name, value)
		}
	}
	return nil
}
