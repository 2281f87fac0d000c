package klink_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/klinkgate/caddy-klink/verifier"
)

// sendAs sends a delivery from an address and returns the answer's status.
func (s *server) sendAs(t testing.TB, r *http.Request, address string) int {
	t.Helper()
	r.Header.Set("X-Forwarded-For", address)
	return s.do(t, r).status
}

func TestMetricsCountDeliveries(t *testing.T) {
	t.Parallel()
	const counted, observed = "counted", "counted-observed"
	s := startCaddy(t, `
	metrics /metrics
	klink_webhook /hook* {
		name `+counted+`
		error_budget {
			limit 20
		}
		hmac "`+testSecret+`" "the old one"
	}
	klink_webhook /observed {
		name `+observed+`
		mode observe
		hmac "`+testSecret+`"
	}
	respond /hook/down 503
	respond /hook 204
	respond /observed 204`)
	m, _ := s.scrape(t)
	m.expect(t, counted, map[string]float64{
		`requests_total{reason="",result="accepted"}`:                  0,
		`requests_total{reason="signature_mismatch",result="refused"}`: 0,
		`secret_matches_total{secret="1"}`:                             0,
		`secret_matches_total{secret="2"}`:                             0,
		`error_budget_limit`:                                           20,
		`error_budget_remaining`:                                       20,
		`last_verified_timestamp_seconds`:                              0,
		`verify_duration_seconds`:                                      0,
	})
	m.expect(t, observed, map[string]float64{
		`requests_total{reason="signature_mismatch",result="observed"}`: 0,
		`error_budget_limit`: 50,
	})

	s.do(t, signed(t, "/hook", testBody))
	s.do(t, signed(t, "/hook", testBody))
	old := delivery(t, "/hook", testBody)
	old.Header.Set("X-Signature", sign(t, "the old one", "full", "go", siteURL, "/hook", testBody))
	s.do(t, old)
	s.do(t, signed(t, "/hook/down", `{"event":"message.inbound"}`))
	s.do(t, signed(t, "/hook", `{"event":"message.inbound","event":"x"}`))
	wrong := delivery(t, "/hook", testBody)
	wrong.Header.Set("X-Signature", strings.Repeat("0", 64))
	s.do(t, wrong)
	s.do(t, delivery(t, "/hook", testBody))
	s.sendAs(t, signed(t, "/hook", testBody), "192.0.2.1")
	s.do(t, delivery(t, "/observed", testBody))

	m, _ = s.scrape(t)
	m.expect(t, counted, map[string]float64{
		`requests_total{reason="",result="accepted"}`:                   4,
		`requests_total{reason="body_ambiguous",result="refused"}`:      1,
		`requests_total{reason="signature_mismatch",result="refused"}`:  1,
		`requests_total{reason="credential_missing",result="refused"}`:  1,
		`requests_total{reason="address_not_allowed",result="refused"}`: 1,
		`requests_total{reason="body_malformed",result="refused"}`:      0,
		`secret_matches_total{secret="1"}`:                              3,
		`secret_matches_total{secret="2"}`:                              1,
		`events_total{event="contact.create"}`:                          3,
		`events_total{event="message.inbound"}`:                         1,
		`backend_status_total{status="204"}`:                            3,
		`backend_status_total{status="503"}`:                            1,
		`error_budget_limit`:                                            20,
		`error_budget_remaining`:                                        16, // the stranger's is not K-LINK's error
		`verify_duration_seconds`:                                       8,
		`backend_duration_seconds`:                                      4,
		`body_bytes`:                                                    4,
	})
	m.expect(t, observed, map[string]float64{
		`requests_total{reason="",result="accepted"}`:                   0,
		`requests_total{reason="credential_missing",result="observed"}`: 1,
		`requests_total{reason="credential_missing",result="refused"}`:  0,
		`backend_status_total{status="204"}`:                            1,
		`last_verified_timestamp_seconds`:                               0,
		`error_budget_remaining`:                                        50,
	})
	if at := m.of(counted)["last_verified_timestamp_seconds"]; at < 1.7e9 || at > 5e9 {
		t.Errorf("last verified at %f, which is no Unix time of today", at)
	}
	size := find(t, m["caddy_klink_body_bytes"], counted).Histogram.GetSampleSum()
	if want := float64(3*len(testBody) + len(`{"event":"message.inbound"}`)); size != want {
		t.Errorf("bodies of %v bytes, want %v", size, want)
	}
	spent := find(t, m["caddy_klink_verify_duration_seconds"], counted).Histogram.GetSampleSum()
	if spent <= 0 || spent > patience.Seconds() {
		t.Errorf("verification took %v s", spent)
	}
}

// A backend's answer is to be told apart at the time that K-LINK waits, and at 8 s.
func TestBackendBucketsHaveTheSendersLimit(t *testing.T) {
	t.Parallel()
	s := startCaddy(t, "metrics /metrics\n klink_webhook /hook {\n name buckets\n hmac secret\n }")
	m, _ := s.scrape(t)
	var bounds []float64
	for _, b := range find(t, m["caddy_klink_backend_duration_seconds"], "buckets").Histogram.Bucket {
		bounds = append(bounds, b.GetUpperBound())
	}
	if !slices.Contains(bounds, 8) || !slices.Contains(bounds, 10) {
		t.Errorf("the bounds are %v", bounds)
	}
}

func TestMetricsAreWellFormed(t *testing.T) {
	t.Parallel()
	s := startCaddy(t, "metrics /metrics\n klink_webhook /hook {\n name formed\n hmac \""+testSecret+"\"\n }")
	s.do(t, signed(t, "/hook", testBody))
	_, text := s.scrape(t)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "caddy_klink_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// A row such as: | `caddy_klink_x_total` | counter | `endpoint`, `event` | …
var metricRow = regexp.MustCompile("(?m)^\\| `(caddy_klink_[a-z_]+)` \\| (counter|gauge|histogram) \\| ([a-z`, ]+) \\|")

// TestABodyThatTakesTimeIsNoTimeOfTheBackend: what is let through in observe mode
// has been waited for as well.
func TestABodyThatTakesTimeIsNoTimeOfTheBackend(t *testing.T) {
	t.Parallel()
	const name, pause = "slow-body", time.Second
	s := startCaddy(t, `
	metrics /metrics
	klink_webhook /hook {
		name `+name+`
		mode observe
		max_body 10
		hmac "`+testSecret+`"
	}
	respond /hook 204`)
	slow, body := io.Pipe()
	go func() {
		_, _ = io.WriteString(body, testBody[:5])
		time.Sleep(pause)
		_, _ = io.WriteString(body, testBody[5:])
		_ = body.Close()
	}()
	r := signed(t, "/hook", testBody)
	r.Body, r.ContentLength = slow, -1
	if a := s.do(t, r); a.status != http.StatusOK {
		t.Fatalf("answered %v", a)
	}
	m, _ := s.scrape(t)
	m.expect(t, name, map[string]float64{`requests_total{reason="body_too_large",result="observed"}`: 1})
	sum := find(t, m["caddy_klink_backend_duration_seconds"], name).Histogram.GetSampleSum()
	if sum >= pause.Seconds() {
		t.Errorf("%v s are said to be the backend's, which answers at once", sum)
	}
}

func TestMetricsAreThoseOfTheDocumentation(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, row := range metricRow.FindAllSubmatch(page, -1) {
		documented[string(row[1])] = string(row[2]) + " " + strings.ReplaceAll(string(row[3]), "`", "")
	}
	s := startCaddy(t, "metrics /metrics\n klink_webhook /hook {\n name documented\n hmac \""+testSecret+"\"\n }")
	s.do(t, signed(t, "/hook", testBody))
	m, _ := s.scrape(t)
	there := make(map[string]string)
	for name, family := range m {
		labels := slices.Sorted(maps.Keys(labelsOf(find(t, family, "documented"))))
		there[name] = strings.ToLower(family.GetType().String()) + " " + strings.Join(labels, ", ")
	}
	if !maps.Equal(documented, there) {
		t.Errorf("docs/monitoring.md has\n%v\nthe scrape has\n%v", documented, there)
	}
}

func TestEventNamesAreBoundedInMetrics(t *testing.T) {
	t.Parallel()
	const name = "many-events"
	s := startCaddy(t, "metrics /metrics\n klink_webhook /hook {\n name "+name+"\n hmac \""+testSecret+"\"\n }")
	for i := range 50 {
		if got := s.do(t, signed(t, "/hook", fmt.Sprintf(`{"event":"made.up%d"}`, i))); got.status != http.StatusOK {
			t.Fatalf("event %d: %d", i, got.status)
		}
	}
	m, _ := s.scrape(t)
	named, other, total := 0, 0.0, 0.0
	for series, n := range m.of(name) {
		switch {
		case series == `events_total{event="other"}`:
			other = n
			total += n
		case strings.HasPrefix(series, "events_total{"):
			named++
			total += n
		}
	}
	if named != 32 || other != 18 || total != 50 {
		t.Errorf("%d names, %v of other, %v in all", named, other, total)
	}
}

func TestAFloodAddsNoSeries(t *testing.T) {
	t.Parallel()
	const name = "flooded"
	s := startCaddy(t, "metrics /metrics\n klink_webhook /hook {\n name "+name+"\n hmac \""+testSecret+"\"\n }")
	m, _ := s.scrape(t)
	before := m.of(name)
	const flood = 500
	for i := range flood {
		r := delivery(t, fmt.Sprintf("/hook?n=%d", i), fmt.Sprintf(`{"event":"e%d"}`, i))
		r.Header.Set("X-Signature", fmt.Sprintf("%064x", i))
		r.Header.Set(fmt.Sprintf("X-Made-Up-%d", i), "x")
		if i%2 == 0 {
			s.sendAs(t, r, fmt.Sprintf("198.51.%d.%d", i/256, i%256))
			continue
		}
		s.do(t, r)
	}
	m, _ = s.scrape(t)
	after := m.of(name)
	if len(after) != len(before) {
		t.Errorf("%d series before, %d after", len(before), len(after))
	}
	m.expect(t, name, map[string]float64{
		`requests_total{reason="address_not_allowed",result="refused"}`: flood / 2,
		`requests_total{reason="signature_mismatch",result="refused"}`:  flood / 2,
		`error_budget_remaining`: 0,
	})
	if want := 1 + len(verifier.Reasons()); countSeries(after, "requests_total{") != want {
		t.Errorf("%d series of requests_total, want %d", countSeries(after, "requests_total{"), want)
	}
}

// TestMetricsSurviveReloads loads configurations as Caddy does: the new one runs
// before the old one is cleaned up.
func TestMetricsSurviveReloads(t *testing.T) {
	s, _ := reloadable(t)
	load := func(names ...string) {
		t.Helper()
		site := "metrics /metrics"
		for _, name := range names {
			site += fmt.Sprintf("\nklink_webhook /%s {\n name %[1]s\n hmac %q\n }", name, testSecret)
		}
		s.load(t, site)
		s.client.CloseIdleConnections()
	}
	const accepted = `requests_total{reason="",result="accepted"}`

	load("reloaded-a", "reloaded-b")
	s.do(t, signed(t, "/reloaded-a", testBody))
	s.do(t, signed(t, "/reloaded-b", testBody))
	for range 3 {
		load("reloaded-a", "reloaded-b", "reloaded-c")
	}
	s.do(t, signed(t, "/reloaded-a", testBody))
	m, _ := s.scrape(t)
	m.expect(t, "reloaded-a", map[string]float64{accepted: 2, "body_bytes": 2, `secret_matches_total{secret="1"}`: 2})
	m.expect(t, "reloaded-b", map[string]float64{accepted: 1, "body_bytes": 1, `secret_matches_total{secret="1"}`: 1})
	m.expect(t, "reloaded-c", map[string]float64{accepted: 0, "body_bytes": 0, `secret_matches_total{secret="1"}`: 0})

	load("reloaded-a")
	m, _ = s.scrape(t)
	m.expect(t, "reloaded-a", map[string]float64{accepted: 2})
	for _, gone := range []string{"reloaded-b", "reloaded-c"} {
		if series := m.of(gone); len(series) > 0 {
			t.Errorf("%s is in no configuration any more, but has %d series", gone, len(series))
		}
	}
}
