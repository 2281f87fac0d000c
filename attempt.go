package klink

import (
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

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
	answer   okWriter
	logged   bool // whether an access log wants the fields

	eventKnown       bool
	event, timestamp string
}

func newAttempt(w *Webhook, rw http.ResponseWriter, r *http.Request) *attempt {
	a := &attempt{webhook: w}
	a.answer.ResponseWriter = rw
	w.describe(&a.delivery, r)

	ctx := r.Context()
	a.body.replacer = ctx.Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	a.body.replacer.Map(a.placeholder)
	if server, ok := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server); ok && server != nil && server.Logs != nil {
		if extra, ok := ctx.Value(caddyhttp.ExtraLogFieldsCtxKey).(*caddyhttp.ExtraLogFields); ok {
			extra.Set(zap.Object("klink_webhook", a))
			a.logged = true
		}
	}
	return a
}

// describe takes the request as it arrived, before any rewrite.
func (w *Webhook) describe(d *verifier.Delivery, r *http.Request) {
	d.Method, d.Target, d.Header = r.Method, r.RequestURI, r.Header
	if orig, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		d.Method, d.Target = orig.Method, orig.RequestURI
	}
	d.Target = originForm(d.Target)
	d.Scheme, d.Host = w.publicScheme, w.publicHost
	if w.publicHost == "" {
		d.Scheme, d.Host = schemeAndHost(r)
	}
	if client, ok := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string); ok {
		d.Client, _ = netip.ParseAddr(client)
	}
}

// originForm takes scheme and host off a request-target in absolute form. One
// without a path stays as it is, which the verifier takes for no path.
func originForm(target string) string {
	if strings.HasPrefix(target, "/") {
		return target
	}
	_, rest, found := strings.Cut(target, "://")
	end := strings.IndexAny(rest, "/?")
	if !found || end < 0 || rest[end] != '/' {
		return target
	}
	return rest[end:]
}

// schemeAndHost believes X-Forwarded-Proto and X-Forwarded-Host only of a proxy
// that Caddy trusts, and only where they have a single value.
func schemeAndHost(r *http.Request) (scheme, host string) {
	scheme, host = "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); !trusted {
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
	if refusal := w.verifier.CheckRequest(&a.delivery, &a.evidence); refusal != nil {
		return refusal
	}
	if r.ContentLength > w.MaxBody {
		return tooLarge()
	}
	if !w.verifier.NeedsBody() {
		if r.ContentLength < 0 && r.Body != nil {
			a.bounded = &boundedBody{ReadCloser: r.Body, left: w.MaxBody}
			r.Body = a.bounded
		}
		return nil
	}
	if refusal := a.readBody(r); refusal != nil {
		return refusal
	}
	if refusal := w.verifier.CheckBody(&a.delivery, a.body.buf.data, &a.evidence); refusal != nil {
		return refusal
	}
	w.reportForm(&a.evidence.HMAC.Form)
	a.replaceBody(r)
	return nil
}

func (a *attempt) readBody(r *http.Request) *verifier.Refusal {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	var err error
	a.body.buf, err = a.webhook.buffers.readAll(r.Body, r.ContentLength)
	if err == nil {
		return nil
	}
	var handlerErr caddyhttp.HandlerError
	if errors.As(err, &handlerErr) && handlerErr.StatusCode == http.StatusRequestEntityTooLarge {
		return tooLarge()
	}
	return &verifier.Refusal{
		Reason: verifier.BodyIncomplete,
		Detail: "the body broke off after " + strconv.Itoa(len(a.body.buf.data)) + " bytes",
	}
}

// replaceBody gives the next handler the same bytes with a known length.
func (a *attempt) replaceBody(r *http.Request) {
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

var statusOf = map[verifier.Reason]int{
	verifier.MethodNotAllowed:    http.StatusMethodNotAllowed,
	verifier.AddressNotAllowed:   http.StatusForbidden,
	verifier.CredentialMissing:   http.StatusUnauthorized,
	verifier.CredentialMalformed: http.StatusUnauthorized,
	verifier.BasicMismatch:       http.StatusUnauthorized,
	verifier.HeaderMismatch:      http.StatusUnauthorized,
	verifier.SignatureMismatch:   http.StatusUnauthorized,
	verifier.PathAmbiguous:       http.StatusBadRequest,
	verifier.QueryAmbiguous:      http.StatusBadRequest,
	verifier.BodyTooLarge:        http.StatusRequestEntityTooLarge,
	verifier.BodyIncomplete:      http.StatusBadRequest,
	verifier.BodyMalformed:       http.StatusBadRequest,
	verifier.BodyAmbiguous:       http.StatusBadRequest,
}

// refuse logs the refusal and returns the error for Caddy's error routes.
func (a *attempt) refuse(refusal *verifier.Refusal) error {
	a.reason = refusal.Reason
	a.findEvent()
	a.webhook.logger.Info("delivery refused",
		zap.String("reason", string(refusal.Reason)),
		zap.String("detail", refusal.Detail),
		zap.String("client_ip", a.delivery.Client.String()),
		zap.String("path", a.delivery.Path()),
		zap.String("event", a.event),
	)
	status := statusOf[refusal.Reason]
	header := a.answer.Header()
	switch {
	case status == http.StatusMethodNotAllowed:
		header.Set("Allow", http.MethodPost)
	case status == http.StatusUnauthorized && len(a.webhook.Basic) > 0:
		header.Set("WWW-Authenticate", `Basic realm="klink_webhook", charset="UTF-8"`)
	}
	return caddyhttp.Error(status, refusal)
}

// close ends the life of the body's buffer.
func (a *attempt) close() {
	if a.logged {
		a.findEvent()
	}
	a.body.release(&a.webhook.buffers)
}

// reportForm says once for every form that it matched, unless it is pinned.
func (w *Webhook) reportForm(f *verifier.Form) {
	if last := w.lastForm.Load(); last != nil && *last == *f {
		return
	}
	form := *f
	w.lastForm.Store(&form)
	if w.HMAC.pinned() {
		return
	}
	if _, seen := w.seenForms.LoadOrStore(form, true); seen {
		return
	}
	w.logger.Info("signature matches; pin the form in hmac once it has held for deliveries of every kind",
		zap.String("pin_url", "url "+form.URL.String()),
		zap.String("pin_body", "body "+form.Body.String()),
	)
}

func (h *HMAC) pinned() bool {
	auto := func(s string) bool { return s == "" || s == "auto" }
	return !auto(h.URL) && !auto(strings.Join(h.Body, " "))
}

// okWriter answers 200 for every 2xx.
type okWriter struct {
	caddyhttp.ResponseWriterWrapper
}

func (w *okWriter) WriteHeader(status int) {
	if status >= 200 && status <= 299 {
		status = http.StatusOK
	}
	w.ResponseWriter.WriteHeader(status)
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
