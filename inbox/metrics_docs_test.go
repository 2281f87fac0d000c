package inbox_test

import (
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scrape returns the inboxes' metrics, and the lint of all there is of them.
func (s *adminSite) scrape(t testing.TB) map[string]*dto.MetricFamily {
	t.Helper()
	response, err := s.client.Get(siteURL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(strings.NewReader(string(text)))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	maps.DeleteFunc(all, func(name string, _ *dto.MetricFamily) bool { return !strings.HasPrefix(name, "caddy_klink_inbox_") })
	for _, family := range all {
		problems, err := promlint.NewWithMetricFamilies([]*dto.MetricFamily{family}).Lint()
		if err != nil || len(problems) > 0 {
			t.Errorf("%s: %v %v", family.GetName(), problems, err)
		}
	}
	return all
}

// A row such as: | `caddy_klink_inbox_x_total` | counter | `inbox` | …
var metricRow = regexp.MustCompile("(?m)^\\| `(caddy_klink_inbox_[a-z_]+)` \\| (counter|gauge|histogram) \\| `inbox` \\|")

func TestEveryMetricIsDocumented(t *testing.T) {
	s, _ := rejecting(t, "measured", "contact.create")
	page, err := os.ReadFile("../docs/inbox.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, row := range metricRow.FindAllSubmatch(page, -1) {
		documented[string(row[1])] = string(row[2])
	}
	there := make(map[string]string)
	for name, family := range s.scrape(t) {
		there[name] = strings.ToLower(family.GetType().String())
		for _, m := range family.GetMetric() {
			if labels := m.GetLabel(); len(labels) != 1 || labels[0].GetName() != "inbox" {
				t.Errorf("%s has the labels %v", name, labels)
			}
		}
	}
	if !maps.Equal(documented, there) {
		t.Errorf("docs/inbox.md has\n%v\nthe scrape has\n%v", documented, there)
	}
}

func TestMetricsSayWhatTheAdminAPISays(t *testing.T) {
	s, backend := rejecting(t, "counted", "contact.create", "contact.update")
	s.deliver(t, event("contact.create", 0)) // again
	backend.status.Store(http.StatusOK)
	post[changes](t, "/klink/inbox/counted/retry?state=dead&limit=1")
	want := map[string]float64{
		"stored_total": 2, "rescued_total": 2, "dead_total": 2, "deduplicated_total": 1, "delivered_total": 1,
		"depth": 0, "dead": 1, "max_stored": 100_000, "max_stored_bytes": 1 << 30, "oldest_seconds": 0, "backend_up": 1,
	}
	got := make(map[string]float64)
	for deadline := time.Now().Add(patience); !maps.Equal(got, want); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the metrics are %v, want %v", got, want)
		}
		for name, family := range s.scrape(t) {
			if name = strings.TrimPrefix(name, "caddy_klink_inbox_"); name != "bytes" && name != "commit_duration_seconds" {
				m := family.GetMetric()[0]
				got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	seen := get[inboxSeen](t, "/klink/inbox/counted")
	if seen.Dead != 1 || seen.Counters["deduplicated"] != 1 || seen.Counters["dead"] != 2 || seen.Counters["delivered"] != 1 {
		t.Errorf("the admin API says %+v", seen)
	}
	if n := s.scrape(t)["caddy_klink_inbox_commit_duration_seconds"].GetMetric()[0].GetHistogram().GetSampleCount(); n != 2 {
		t.Errorf("%d commits were measured, want 2", n)
	}
}
