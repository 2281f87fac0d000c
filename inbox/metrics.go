package inbox

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/klinkgate/caddy-klink/inbox/queue"
)

const (
	namespace = "caddy_klink"
	subsystem = "inbox"
)

// labels are those of every metric.
var labels = []string{"inbox"}

// tally is what an inbox counts besides what its queue does.
type tally struct {
	rescued      prometheus.Counter
	deduplicated prometheus.Counter
	commit       prometheus.Histogram
}

func newTally(name string) tally {
	counter := func(metric, help string) prometheus.Counter {
		return prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: namespace, Subsystem: subsystem, Name: metric, Help: help,
		}, labels).WithLabelValues(name)
	}
	return tally{
		rescued:      counter("rescued_total", "Events stored because the backend did not take them in time."),
		deduplicated: counter("deduplicated_total", "Deliveries of an event that was under way, delivered or stored already."),
		commit: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: subsystem, Name: "commit_duration_seconds",
			Help:    "How long an event took to be on disk.",
			Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5},
		}, labels).WithLabelValues(name).(prometheus.Histogram),
	}
}

func desc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, subsystem, name), help, labels, nil)
}

var (
	storedDesc    = desc("stored_total", "Events written to the database.")
	deliveredDesc = desc("delivered_total", "Stored events that the backend has got.")
	deadDesc      = desc("dead_total", "Stored events that were given up.")
	depthDesc     = desc("depth", "Stored events that are to be delivered.")
	deadNowDesc   = desc("dead", "Stored events that were given up and wait for an operator.")
	bytesDesc     = desc("bytes", "What stored events take, dead ones included.")
	maxDesc       = desc("max_stored", "How many stored events there may be, dead ones included.")
	maxBytesDesc  = desc("max_stored_bytes", "What stored events may take.")
	oldestDesc    = desc("oldest_seconds", "Age of the oldest stored event that is to be delivered; 0 when there is none.")
	reachableDesc = desc("backend_up", "1 when the backend is taken to be up, 0 when it is tried with one event only.")
)

// collector shows every inbox of this process. It has no state of its own, so
// that it can be registered anew with each configuration.
type collector struct{}

// registerMetrics is called by every inbox; the first one of a configuration
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

// Describe implements prometheus.Collector. All that is collected must be here,
// or nothing is served at all.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	t := newTally("")
	for _, d := range []*prometheus.Desc{
		t.rescued.Desc(), t.deduplicated.Desc(), t.commit.Desc(),
		storedDesc, deliveredDesc, deadDesc, depthDesc, deadNowDesc, bytesDesc, maxDesc, maxBytesDesc, oldestDesc, reachableDesc,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (collector) Collect(ch chan<- prometheus.Metric) {
	states.Range(func(_, value any) bool {
		value.(*state).collect(ch)
		return true
	})
}

func (s *state) collect(ch chan<- prometheus.Metric) {
	in := s.current()
	if in == nil || in.queue == nil {
		return
	}
	ch <- s.tally.rescued
	ch <- s.tally.deduplicated
	ch <- s.tally.commit
	metric := func(d *prometheus.Desc, kind prometheus.ValueType, value float64) {
		ch <- prometheus.MustNewConstMetric(d, kind, value, s.name)
	}
	metric(storedDesc, prometheus.CounterValue, float64(s.counts.Stored.Load()))
	metric(deliveredDesc, prometheus.CounterValue, float64(s.counts.Delivered.Load()))
	metric(deadDesc, prometheus.CounterValue, float64(s.counts.Dead.Load()))
	backlog := in.queue.Backlog()
	metric(depthDesc, prometheus.GaugeValue, float64(backlog.Waiting))
	metric(deadNowDesc, prometheus.GaugeValue, float64(backlog.Dead))
	metric(bytesDesc, prometheus.GaugeValue, float64(backlog.Bytes))
	metric(maxDesc, prometheus.GaugeValue, float64(in.MaxStored))
	metric(maxBytesDesc, prometheus.GaugeValue, float64(in.MaxStoredBytes))
	metric(oldestDesc, prometheus.GaugeValue, age(backlog))
	metric(reachableDesc, prometheus.GaugeValue, up(in.queue.Reachable()))
}

func age(b queue.Backlog) float64 {
	if b.Oldest.IsZero() {
		return 0
	}
	return max(time.Since(b.Oldest).Seconds(), 0)
}

func up(reachable bool) float64 {
	if reachable {
		return 1
	}
	return 0
}
