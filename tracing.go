package klink

import (
	"net/http"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/klinkgate/caddy-klink/verifier"
)

// verifyTraced is verify, as a span of its own where the request is traced.
func (a *attempt) verifyTraced(r *http.Request) *verifier.Refusal {
	parent := trace.SpanFromContext(r.Context())
	if !parent.IsRecording() {
		return a.verify(r)
	}
	tracer := parent.TracerProvider().Tracer("github.com/klinkgate/caddy-klink")
	_, span := tracer.Start(r.Context(), "klink_webhook verify")
	defer span.End()
	refusal := a.verify(r)
	result, reason := "accepted", ""
	if refusal != nil {
		result, reason = "refused", string(refusal.Reason)
		if a.lenient(refusal) {
			result = "observed"
		}
	}
	span.SetAttributes(
		attribute.String("klink.endpoint", a.webhook.Name),
		attribute.String("klink.result", result),
		attribute.String("klink.reason", reason),
	)
	return refusal
}
