package klink_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// metrics are the caddy_klink_* families that a scrape has shown.
type metrics map[string]*dto.MetricFamily

// scrape reads /metrics of a site with the metrics directive. Caddy's registry is
// a pedantic one, so an inconsistent scrape is a 500.
func (s *server) scrape(t testing.TB) (metrics, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, siteURL+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	got := s.do(t, r)
	if got.status != http.StatusOK {
		t.Fatalf("the scrape was answered with %d:\n%s", got.status, got.body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(got.body))
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(families, func(name string, _ *dto.MetricFamily) bool {
		return !strings.HasPrefix(name, "caddy_klink_")
	})
	return families, got.body
}

// of returns the series of an endpoint, such as
// requests_total{reason="body_malformed",result="refused"}, with their values. A
// histogram's value is its count.
func (m metrics) of(endpoint string) map[string]float64 {
	series := make(map[string]float64)
	for name, family := range m {
		for _, metric := range family.Metric {
			if labels := labelsOf(metric); labels["endpoint"] == endpoint {
				delete(labels, "endpoint")
				series[seriesName(strings.TrimPrefix(name, "caddy_klink_"), labels)] = valueOf(metric)
			}
		}
	}
	return series
}

func labelsOf(metric *dto.Metric) map[string]string {
	labels := make(map[string]string)
	for _, pair := range metric.Label {
		labels[pair.GetName()] = pair.GetValue()
	}
	return labels
}

func seriesName(name string, labels map[string]string) string {
	if len(labels) == 0 {
		return name
	}
	var pairs []string
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		pairs = append(pairs, fmt.Sprintf("%s=%q", label, labels[label]))
	}
	return name + "{" + strings.Join(pairs, ",") + "}"
}

func valueOf(metric *dto.Metric) float64 {
	switch {
	case metric.Histogram != nil:
		return float64(metric.Histogram.GetSampleCount())
	case metric.Gauge != nil:
		return metric.Gauge.GetValue()
	default:
		return metric.Counter.GetValue()
	}
}

// expect compares some series of an endpoint.
func (m metrics) expect(t testing.TB, endpoint string, want map[string]float64) {
	t.Helper()
	got := m.of(endpoint)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if value, there := got[name]; !there || value != want[name] {
			t.Errorf("%s: %s is %v (there: %v), want %v", endpoint, name, value, there, want[name])
		}
	}
}

func find(t testing.TB, family *dto.MetricFamily, endpoint string) *dto.Metric {
	t.Helper()
	for _, metric := range family.Metric {
		if labelsOf(metric)["endpoint"] == endpoint {
			return metric
		}
	}
	t.Fatalf("%s has no series of %s", family.GetName(), endpoint)
	return nil
}

func countSeries(series map[string]float64, prefix string) (n int) {
	for name := range series {
		if strings.HasPrefix(name, prefix) {
			n++
		}
	}
	return n
}
