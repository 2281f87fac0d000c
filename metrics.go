package klink

import (
	"errors"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/klinkgate/caddy-klink/verifier"
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("caddy_klink_"+name, help, append([]string{"endpoint"}, labels...), nil)
}

var (
	requestsDesc = describe("requests_total",
		"Deliveries by result (accepted, refused, observed) and, unless accepted, reason.", "result", "reason")
	statusDesc = describe("backend_status_total",
		"Answers of the handlers behind, by HTTP status.", "status")
	budgetDesc = describe("error_budget_remaining",
		"Errors that the sender still puts up with in the window that ends now.")
	limitDesc = describe("error_budget_limit",
		"Errors that the sender puts up with in one window.")
	verifiedDesc = describe("last_verified_timestamp_seconds",
		"Unix time of the last delivery that was verified; 0 before the first.")
	secretDesc = describe("secret_matches_total",
		"Verified signatures by the secret's name.", "secret")
	eventsDesc = describe("events_total",
		"Verified deliveries by the event's name; other beyond 32 names.", "event")
)

// histograms are an endpoint's distributions.
type histograms struct {
	vectors                   []*prometheus.HistogramVec
	verify, bodySize, backend prometheus.Observer
}

func newHistograms(endpoint string) *histograms {
	h := new(histograms)
	add := func(name, help string, buckets []float64) prometheus.Observer {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "caddy_klink_" + name, Help: help, Buckets: buckets,
		}, []string{"endpoint"})
		h.vectors = append(h.vectors, v)
		return v.WithLabelValues(endpoint)
	}
	h.verify = add("verify_duration_seconds", "What verification adds to a delivery, reading the body excluded.",
		prometheus.ExponentialBuckets(1e-5, 4, 10))
	h.bodySize = add("body_bytes", "Size of the bodies that had a right signature.",
		prometheus.ExponentialBuckets(256, 4, 8))
	h.backend = add("backend_duration_seconds", "How long the handlers behind took for a delivery.",
		[]float64{0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 6, 8, 10, 20, 60})
	return h
}

// collector shows every endpoint of this process. It has no state of its own, so
// that it can be registered anew with each configuration.
type collector struct{}

// registerMetrics is called by every handler; the first one of a configuration
// registers the collector.
func registerMetrics(registry *prometheus.Registry) error {
	if registry == nil { // outside of Caddy's own loading
		return nil
	}
	err := registry.Register(collector{})
	if _, already := errors.AsType[prometheus.AlreadyRegisteredError](err); already {
		return nil
	}
	return err
}

// Describe implements prometheus.Collector.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{requestsDesc, statusDesc, budgetDesc, limitDesc, verifiedDesc, secretDesc, eventsDesc} {
		ch <- d
	}
	for _, v := range newHistograms("").vectors {
		v.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (collector) Collect(ch chan<- prometheus.Metric) {
	endpoints.Range(func(_, value any) bool {
		value.(*endpoint).collect(ch)
		return true
	})
}

func (e *endpoint) collect(ch chan<- prometheus.Metric) {
	for _, v := range e.histograms.vectors {
		v.Collect(ch)
	}
	budget := e.budget.status()

	e.mu.Lock()
	defer e.mu.Unlock()
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), append([]string{e.name}, labels...)...)
	}
	gauge := func(d *prometheus.Desc, value float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, e.name)
	}
	count(requestsDesc, e.accepted, "accepted", "")
	for _, reason := range verifier.Reasons() {
		count(requestsDesc, e.refused[reason], "refused", string(reason))
		if n, ok := e.observed[reason]; ok || e.observing {
			count(requestsDesc, n, "observed", string(reason))
		}
	}
	for status, n := range e.statuses {
		count(statusDesc, n, strconv.Itoa(status))
	}
	for secret, use := range e.secrets {
		count(secretDesc, use.Matches, secret)
	}
	for name, event := range e.events {
		count(eventsDesc, event.count, name)
	}
	gauge(budgetDesc, float64(budget.Remaining))
	gauge(limitDesc, float64(budget.Limit))
	gauge(verifiedDesc, e.lastVerifiedUnix())
}
