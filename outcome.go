package klink

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/klinkgate/caddy-klink/verifier"
)

// senderTimeout is how long the vendor waits for an answer. A later 200 is an
// error to it.
const senderTimeout = 10 * time.Second

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

// accepted notes a verified delivery.
func (a *attempt) accepted() {
	w := a.webhook
	a.findEvent()
	w.endpoint.histograms.verify.Observe(a.spent.Seconds())
	if a.body.buf == nil {
		w.endpoint.accept("", "", nil, a.arrived)
		return
	}
	w.endpoint.histograms.bodySize.Observe(float64(len(a.body.buf.data)))
	secret := w.secretNames[a.evidence.HMAC.Secret-1]
	first, idle := w.endpoint.accept(secret, a.passed.Event, &a.evidence.HMAC.Form, a.arrived)
	if first && len(w.secretNames) > 1 {
		w.logger.Info("first delivery signed with this secret",
			zap.String("endpoint", w.Name), zap.String("secret", secret))
	}
	for _, unused := range idle {
		w.logger.Info("a secret has not been used for a day and can be removed",
			zap.String("endpoint", w.Name), zap.String("secret", unused), zap.String("in_use", secret))
	}
	w.reportForm(&a.evidence.HMAC.Form)
}

// lenient says whether a delivery goes on that does not pass. A client that is
// not on the address list is refused even in observe mode, and so is a body that
// never came.
func (a *attempt) lenient(refusal *verifier.Refusal) bool {
	return a.webhook.observing() && a.allowed && refusal.Reason != verifier.BodyIncomplete
}

// refused logs and counts a refusal, and returns whether the sender must be told.
func (a *attempt) refused(refusal *verifier.Refusal, r *http.Request) bool {
	w := a.webhook
	lenient := a.lenient(refusal)
	message := "delivery refused"
	if lenient {
		message = "delivery would be refused"
	}
	a.reason = refusal.Reason
	a.findEvent()
	w.logger.Info(message,
		zap.String("endpoint", w.Name),
		zap.String("reason", string(refusal.Reason)),
		zap.String("detail", refusal.Detail),
		zap.String("client_ip", addressText(a.delivery.Client)),
		zap.String("path", beginning(a.delivery.Path())),
		zap.String("event", a.passed.Event),
	)
	w.endpoint.histograms.verify.Observe(a.spent.Seconds())
	w.endpoint.refuse(Refusal{
		Time: a.arrived, ClientIP: a.delivery.Client, Reason: refusal.Reason, Detail: refusal.Detail,
		Size: r.ContentLength, Event: a.passed.Event, HeaderNames: headerNames(a.delivery.Header), Observed: lenient,
	})
	if refusal.Reason == verifier.SignatureMismatch {
		w.diagnose(a, r)
	}
	return !lenient
}

// keptText is how much of what a stranger wrote is logged or kept, in bytes.
const keptText = 256

func beginning(s string) string { return s[:min(len(s), keptText)] }

// headerNames returns the first names in order, keptHeaderNames at the most and
// the first 64 bytes of each. A request may have a hundred thousand.
func headerNames(header http.Header) []string {
	names := make([]string, 0, min(len(header), keptHeaderNames)+1)
	for name := range header {
		i, _ := slices.BinarySearch(names, name)
		names = slices.Insert(names, i, name)
		names = slices.Delete(names, min(len(names), keptHeaderNames), len(names))
	}
	for i, name := range names {
		names[i] = strings.Clone(name[:min(len(name), 64)])
	}
	return names
}

// refusalError is what a refused sender is answered.
func (a *attempt) refusalError(refusal *verifier.Refusal) error {
	status := statusOf[refusal.Reason]
	header := a.answer.Header()
	switch {
	case status == http.StatusMethodNotAllowed:
		header.Set("Allow", http.MethodPost)
	case status == http.StatusUnauthorized && len(a.webhook.Basic) > 0:
		header.Set("WWW-Authenticate", `Basic realm="klink_webhook", charset="UTF-8"`)
	}
	a.spend(status, 0)
	return caddyhttp.Error(status, refusal)
}

// errBrokenOff stands for an answer that the backend broke off: reverse_proxy
// panics then, to break off the sender's as well.
var errBrokenOff = errors.New("the answer broke off")

// forward calls the next handler and notes what it made of the delivery, also
// when it panics.
func (a *attempt) forward(r *http.Request, next caddyhttp.Handler) error {
	a.err = errBrokenOff
	defer a.settle()
	a.err = next.ServeHTTP(&a.answer, r)
	return a.err
}

func (a *attempt) settle() {
	if a.bounded != nil {
		if a.err != nil && a.bounded.exceeded.Load() {
			return // refused after all
		}
		a.accepted()
	}
	if errors.Is(a.err, errBrokenOff) {
		a.answer.status = http.StatusBadGateway
	}
	a.answered(a.err)
}

// answered notes what the handlers behind made of a delivery.
func (a *attempt) answered(err error) {
	took := time.Since(a.arrived)
	status := a.answer.status
	if status == 0 {
		status = statusOfError(err)
	}
	a.webhook.endpoint.answer(status)
	a.webhook.endpoint.histograms.backend.Observe((took - a.verified).Seconds())
	a.spend(a.answer.sent(status), took)
}

// statusOfError returns what Caddy answers when a handler returned err and wrote
// nothing.
func statusOfError(err error) int {
	if err == nil {
		return http.StatusOK
	}
	var handlerErr caddyhttp.HandlerError
	if errors.As(err, &handlerErr) && handlerErr.StatusCode != 0 {
		return handlerErr.StatusCode
	}
	return http.StatusInternalServerError
}

// spend counts what the vendor counts as an error: by the status, or by how long
// the answer took.
func (a *attempt) spend(status int, took time.Duration) {
	if a.allowed && (status != http.StatusOK || took > senderTimeout) {
		a.webhook.endpoint.budget.spend()
	}
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
		zap.String("endpoint", w.Name),
		zap.String("pin_url", "url "+form.URL.String()),
		zap.String("pin_body", "body "+form.Body.String()),
	)
}

func (h *HMAC) pinned() bool {
	auto := func(s string) bool { return s == "" || s == "auto" }
	return !auto(h.URL) && !auto(strings.Join(h.Body, " "))
}
