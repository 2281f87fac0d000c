package klink_test

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// spans is an exporter that hands on what it gets.
type spans chan sdktrace.ReadOnlySpan

func (s spans) ExportSpans(_ context.Context, exported []sdktrace.ReadOnlySpan) error {
	for _, span := range exported {
		s <- span
	}
	return nil
}

func (spans) Shutdown(context.Context) error { return nil }

var exportedSpans = make(spans, 100)

// An exporter can be registered but once in a process.
var registerSpans = sync.OnceFunc(func() {
	autoexport.RegisterSpanExporter("klink_test", func(context.Context) (sdktrace.SpanExporter, error) {
		return exportedSpans, nil
	})
})

// next returns the next two spans, by name.
func (s spans) next(t *testing.T) map[string]sdktrace.ReadOnlySpan {
	t.Helper()
	got := make(map[string]sdktrace.ReadOnlySpan)
	for len(got) < 2 {
		select {
		case span := <-s:
			got[span.Name()] = span
		case <-time.After(patience):
			t.Fatalf("only these spans came: %v", got)
		}
	}
	return got
}

func TestVerificationIsASpan(t *testing.T) {
	registerSpans()
	t.Setenv("OTEL_TRACES_EXPORTER", "klink_test")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1") // milliseconds until spans are exported
	s := startCaddy(t, `
	tracing {
		span gateway
	}
	klink_webhook /hook {
		name traced
		hmac "`+testSecret+`"
	}
	klink_webhook /observed {
		name traced-observed
		mode observe
		hmac "`+testSecret+`"
	}
	respond 204`)
	forged := delivery(t, "/hook", testBody)
	forged.Header.Set("X-Signature", strings.Repeat("0", 64))

	tests := []struct {
		name                     string
		request                  *http.Request
		endpoint, result, reason string
	}{
		{"good", signed(t, "/hook", testBody), "traced", "accepted", ""},
		{"forged", forged, "traced", "refused", "signature_mismatch"},
		{"let through", delivery(t, "/observed", testBody), "traced-observed", "observed", "credential_missing"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s.do(t, test.request)
			got := exportedSpans.next(t)
			gateway, verify := got["gateway"], got["klink_webhook verify"]
			if gateway == nil || verify == nil {
				t.Fatalf("the spans are %v", got)
			}
			if verify.Parent().SpanID() != gateway.SpanContext().SpanID() {
				t.Error("the span is no child of the request's")
			}
			attributes := make(map[string]string)
			for _, a := range verify.Attributes() {
				attributes[string(a.Key)] = a.Value.AsString()
			}
			want := map[string]string{
				"klink.endpoint": test.endpoint, "klink.result": test.result, "klink.reason": test.reason,
			}
			for key, value := range want {
				if attributes[key] != value {
					t.Errorf("%s is %q, want %q", key, attributes[key], value)
				}
			}
			if len(attributes) != len(want) {
				t.Errorf("the attributes are %v", attributes)
			}
			if verify.EndTime().After(gateway.EndTime()) || verify.StartTime().Before(gateway.StartTime()) {
				t.Error("the span lies outside the request's")
			}
		})
	}
}
