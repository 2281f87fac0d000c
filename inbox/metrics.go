package inbox

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/klinkgate/caddy-klink/inbox/queue"
)

func describe(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("caddy_klink_inbox_"+name, help, []string{"inbox"}, nil)
}

var (
	storedDesc       = describe("stored_total", "Events written to the database.")
	deliveredDesc    = describe("delivered_total", "Stored events that the backend has got.")
	rescuedDesc      = describe("rescued_total", "Events stored because the backend did not take them in time.")
	deduplicatedDesc = describe("deduplicated_total", "Deliveries of an event that was under way, delivered or stored already.")
	deadTotalDesc    = describe("dead_total", "Stored events that were given up.")
	depthDesc        = describe("depth", "Stored events that are to be delivered.")
	deadDesc         = describe("dead", "Stored events that were given up and wait for an operator.")
	bytesDesc        = describe("bytes", "What stored events take, dead ones included.")
	fullDesc         = describe("used_ratio", "How much of max_stored is used, by events or by bytes, whichever is more; at 1 nothing more is stored.")
	oldestDesc       = describe("oldest_seconds", "Age of the oldest stored event that is to be delivered; 0 when there is none.")
	upDesc           = describe("backend_up", "1 when the backend is taken to be up, 0 when it is tried with one event only.")
)

// tally is what an inbox counts besides what its queue does.
type tally struct {
	rescued      atomic.Int64
	deduplicated atomic.Int64
	commit       *prometheus.HistogramVec
}

func newTally() *tally {
	return &tally{commit: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "caddy_klink_inbox_commit_duration_seconds", Help: "How long an event took to be on disk.",
		Buckets: []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5},
	}, []string{"inbox"})}
}

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

// Describe implements prometheus.Collector.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		storedDesc, deliveredDesc, rescuedDesc, deduplicatedDesc, deadTotalDesc,
		depthDesc, deadDesc, bytesDesc, fullDesc, oldestDesc, upDesc,
	} {
		ch <- d
	}
	newTally().commit.Describe(ch)
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
	if in == nil {
		return
	}
	count := func(d *prometheus.Desc, n *atomic.Int64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n.Load()), s.name)
	}
	count(storedDesc, &s.counts.Stored)
	count(deliveredDesc, &s.counts.Delivered)
	count(rescuedDesc, &s.tally.rescued)
	count(deduplicatedDesc, &s.tally.deduplicated)
	count(deadTotalDesc, &s.counts.Dead)
	s.tally.commit.Collect(ch)

	gauge := func(d *prometheus.Desc, value float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, s.name)
	}
	backlog := in.queue.Backlog()
	gauge(depthDesc, float64(backlog.Waiting))
	gauge(deadDesc, float64(backlog.Dead))
	gauge(bytesDesc, float64(backlog.Bytes))
	gauge(fullDesc, max(float64(backlog.Waiting+backlog.Dead)/float64(in.MaxStored), float64(backlog.Bytes)/float64(in.MaxStoredBytes)))
	gauge(oldestDesc, age(backlog))
	gauge(upDesc, up(in.queue.Reachable()))
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
