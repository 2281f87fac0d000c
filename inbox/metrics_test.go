package inbox_test

import (
	"net/http"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/klinkgate/caddy-klink/inbox"
)

// metrics returns those of all inboxes.
func (g *gateway) metrics() []*dto.MetricFamily {
	g.t.Helper()
	registry := prometheus.NewPedanticRegistry() // as Caddy's is
	if err := inbox.RegisterMetrics(registry); err != nil {
		g.t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		g.t.Fatal(err)
	}
	return families
}

// metric returns the value of a metric of the gateway's inbox.
func (g *gateway) metric(name string) float64 {
	g.t.Helper()
	for _, family := range g.metrics() {
		if family.GetName() != "caddy_klink_inbox_"+name {
			continue
		}
		for _, m := range family.GetMetric() {
			if m.GetLabel()[0].GetValue() != g.name {
				continue
			}
			switch {
			case m.GetCounter() != nil:
				return m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				return m.GetGauge().GetValue()
			default:
				return float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	g.t.Fatalf("there is no metric %s of %s", name, g.name)
	return 0
}

// TestMetrics follows what the metrics say of events of every kind.
func TestMetrics(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b, "retry 200ms\nmax_stored 10")
	deliver := func(id string) {
		t.Helper()
		if status := g.deliver(event("contact.create", id)); status != http.StatusOK {
			t.Fatalf("K-LINK was answered %d", status)
		}
	}
	deliver("passed")
	deliver("passed")
	b.status(422)
	deliver("dead")
	b.refuse()
	deliver("rescued")
	wait(t, "the backlog is measured", func() bool {
		return g.metric("depth") == 1 && g.metric("dead") == 1 && g.metric("oldest_seconds") > 0 && g.metric("backend_up") == 0
	})
	for name, want := range map[string]float64{
		"stored_total": 2, "rescued_total": 2, "deduplicated_total": 1, "dead_total": 1, "delivered_total": 0,
		"backend_up": 0, "used_ratio": 0.2, "commit_duration_seconds": 2,
	} {
		if got := g.metric(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if g.metric("bytes") < 100 {
		t.Errorf("bytes is %v", g.metric("bytes"))
	}
	b.status(200)
	b.back(t)
	wait(t, "the event is delivered", func() bool {
		return g.metric("delivered_total") == 1 && g.metric("depth") == 0 && g.metric("backend_up") == 1
	})
}
