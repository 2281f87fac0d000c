package klink_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	dashboardFile = "docs/grafana/caddy-klink.json"
	rulesFile     = "docs/prometheus/rules.yml"
)

func TestPrometheusRules(t *testing.T) {
	t.Parallel()
	promtool := findPrometheus(t, "promtool")
	for _, args := range [][]string{
		{"check", "rules", rulesFile},
		{"test", "rules", "docs/prometheus/rules_test.yml", "docs/prometheus/inbox_test.yml", "docs/prometheus/silence_test.yml"},
	} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// monitored is a gateway of which the metrics are on a TCP port. It has inboxes
// with the names of the endpoints: one that stores and delivers all, and one that
// is full of what its backend has rejected.
func monitored(t *testing.T, good, bad string) (s *server, metricsAddress string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	s = startCaddyfile(t, fmt.Sprintf(`{
		{common}
		servers {
			trusted_proxies_unix
			protocols h1
		}
	}
	http://127.0.0.1 {
		bind fd/%[1]d
		metrics /metrics
	}
	http://hooks.example.com {
		bind unix/{socket}
		klink_webhook /good {
			name %[3]s
			hmac %[2]q "the old one"
		}
		klink_webhook /bad {
			name %[4]s
			error_budget {
				limit 10
			}
			hmac %[2]q
		}
		klink_webhook /rejected {
			name monitored-rejected
			hmac %[2]q
		}
		klink_inbox /good {
			name %[3]s
			mode store
			database sqlite://%[5]s
			deliver {
				respond 204
			}
		}
		klink_inbox /rejected {
			name %[4]s
			max_stored 1
			database sqlite://%[5]s
			deliver {
				respond 422
			}
		}
	}`, file.Fd(), testSecret, good, bad, filepath.Join(t.TempDir(), "inbox.db")))
	return s, listener.Addr().String()
}

// trouble is what the rules and the dashboard are to show.
func trouble(t *testing.T, s *server) {
	t.Helper()
	for _, event := range []string{"contact.create", "message.inbound", "message.outbound"} {
		body := fmt.Sprintf(`{"event":%q,"data":{}}`, event)
		if got := s.do(t, signed(t, "/good", body)); got.status != http.StatusOK {
			t.Fatalf("answered %d", got.status)
		}
	}
	if got := s.do(t, signed(t, "/rejected", testBody)); got.status != http.StatusOK {
		t.Fatalf("answered %d", got.status)
	}
	for i := range 10 {
		r := delivery(t, "/bad", testBody)
		if i < 5 {
			r.Header.Set("X-Signature", strings.Repeat("0", 64))
		}
		if got := s.do(t, r); got.status != http.StatusUnauthorized {
			t.Fatalf("answered %d", got.status)
		}
	}
}

func TestPrometheusSeesTheGateway(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	const good, bad = "monitored-good", "monitored-bad"
	s, address := monitored(t, good, bad)
	p := startPrometheus(t, address, rulesFile)
	// The counters must have been seen at 0, or their increase is not.
	for _, endpoint := range []string{good, bad} {
		p.awaitData(t, fmt.Sprintf(`caddy_klink_requests_total{endpoint=%q} == 0`, endpoint), false)
		p.awaitData(t, fmt.Sprintf(`caddy_klink_inbox_stored_total{inbox=%q} == 0`, endpoint), false)
	}
	trouble(t, s)
	p.awaitData(t, fmt.Sprintf(`caddy_klink_requests_total{endpoint=%q,reason="credential_missing"} == 5`, bad), false)

	checkPanels(t, p, d)
	checkVariables(t, p, d, good, bad)
	checkRules(t, p, good, bad)
}

// checkPanels asks every query of every panel, over a range of time or at one
// moment, as the panel does.
func checkPanels(t *testing.T, p *prometheus, d dashboard) {
	t.Helper()
	for _, panel := range d.Panels {
		for _, target := range panel.Targets {
			p.awaitData(t, fillIn(target.Expr), target.Range)
		}
	}
}

func checkVariables(t *testing.T, p *prometheus, d dashboard, good, bad string) {
	t.Helper()
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		m := labelValues.FindStringSubmatch(v.Query.Query)
		if m == nil {
			t.Fatalf("variable %s: the query %q is no label_values", v.Name, v.Query.Query)
		}
		var values []string
		if err := p.get("/api/v1/label/"+m[2]+"/values", url.Values{"match[]": {m[1]}}, &values); err != nil {
			t.Fatalf("variable %s: %v", v.Name, err)
		}
		if !slices.Contains(values, good) || !slices.Contains(values, bad) {
			t.Errorf("variable %s: the values are %v", v.Name, values)
		}
	}
}

// checkRules waits until the alerts fire that should, and looks at the rest.
func checkRules(t *testing.T, p *prometheus, good, bad string) {
	t.Helper()
	fire := []string{
		"KlinkErrorBudgetHalfUsed", "KlinkErrorBudgetNearlyUsed", "KlinkErrorBudgetGone",
		"KlinkRefusalsRising", "KlinkSignatureMismatch",
		"KlinkInboxDeadEvents", "KlinkInboxNearlyFull",
	}
	var rules []rule
	await(t, "every alert", func() (err error) {
		if rules, err = p.rules(); err != nil {
			return err
		}
		if len(rules) < 13 {
			return fmt.Errorf("there are only %d rules", len(rules))
		}
		for _, r := range rules {
			if r.Health != "ok" {
				return fmt.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError)
			}
			if slices.Contains(fire, r.Name) && len(r.firing(bad)) == 0 {
				return fmt.Errorf("%s does not fire", r.Name)
			}
		}
		return nil
	})
	for _, r := range rules {
		if _, err := p.query(r.Query, false); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
		if len(r.firing(good)) > 0 {
			t.Errorf("%s fires for the endpoint that is well", r.Name)
		}
		for _, text := range r.firing(bad) {
			if !slices.Contains(fire, r.Name) {
				t.Errorf("%s fires", r.Name)
			}
			if strings.Contains(text, "rror expanding") || strings.Contains(text, "{{") || strings.Contains(text, "no value") {
				t.Errorf("%s says %q", r.Name, text)
			}
		}
	}
	p.awaitData(t, fmt.Sprintf(`job_endpoint:caddy_klink_error_budget_used:ratio{endpoint=%q} == 1`, bad), false)
}

// firing returns the texts of the alerts that fire for an endpoint or an inbox.
func (r *rule) firing(name string) (texts []string) {
	for _, a := range r.Alerts {
		if a.State == "firing" && (a.Labels["endpoint"] == name || a.Labels["inbox"] == name) {
			texts = append(texts, a.Annotations["summary"]+"\n"+a.Annotations["description"]+"\n"+a.Annotations["runbook"])
		}
	}
	return texts
}

// dashboard is what Prometheus is asked by the dashboard, and where it is shown.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Panels        []dashboardPanel
	Templating    struct {
		List []struct {
			Name, Type string
			Query      variableQuery
		}
	}
}

type dashboardPanel struct {
	ID          int
	Type, Title string
	GridPos     struct{ X, Y, W, H int }
	Datasource  struct{ Type, UID string }
	FieldConfig struct {
		Defaults struct {
			Unit       string
			Thresholds struct {
				Mode  string
				Steps []struct {
					Color string
					Value *float64
				}
			}
		}
	}
	Targets []struct {
		Expr, RefID    string
		Range, Instant bool
		Datasource     struct{ Type, UID string }
	}
}

// variableQuery is a text for some kinds of variable and an object for others.
type variableQuery struct{ Query string }

func (q *variableQuery) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &q.Query) == nil {
		return nil
	}
	type object variableQuery
	return json.Unmarshal(data, (*object)(q))
}

var labelValues = regexp.MustCompile(`^label_values\((.+), *([a-z_]+)\)$`)

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err == nil && len(d.Panels) == 0 {
		err = errors.New("there is no panel in it")
	}
	if err != nil {
		t.Fatalf("%s: %v", dashboardFile, err)
	}
	return d
}

// fillIn puts in what Grafana does.
func fillIn(expr string) string {
	return strings.NewReplacer("$endpoint", "monitored-.*", "$inbox", "monitored-.*", "$__rate_interval", "10m", "$__range", "1h").Replace(expr)
}

func TestDashboardIsWhole(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	used := make(map[string]bool)
	at := make(map[[2]int]string)
	ids := make(map[int]bool)
	for _, p := range d.Panels {
		if ids[p.ID] || p.ID <= 0 {
			t.Errorf("%s: the id %d is there twice, or none", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.GridPos.W <= 0 || p.GridPos.H <= 0 || p.GridPos.X < 0 || p.GridPos.Y < 0 || p.Type == "row" && p.GridPos.W != 24 {
			t.Errorf("%s has no place: %+v", p.Title, p.GridPos)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if at[cell] != "" || cell[0] > 23 {
					t.Errorf("%s lies over %q or the edge", p.Title, at[cell])
				}
				at[cell] = p.Title
			}
		}
		if p.Type != "row" {
			p.check(t, used)
		}
	}
	for _, file := range []string{"docs/monitoring.md", "docs/inbox.md"} {
		page, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		rows := metricRow.FindAllSubmatch(page, -1)
		if len(rows) == 0 {
			t.Errorf("%s has no metrics", file)
		}
		for _, row := range rows {
			if name := string(row[1]); !used[name] {
				t.Errorf("no panel shows %s", name)
			}
		}
	}
}

// check looks at a panel that asks something, and notes which metrics.
func (p *dashboardPanel) check(t *testing.T, used map[string]bool) {
	t.Helper()
	const chosen = "${datasource}"
	if p.Datasource.UID != chosen || p.Datasource.Type != "prometheus" || len(p.Targets) == 0 {
		t.Errorf("%s asks nothing, or another datasource than the variable's", p.Title)
	}
	if p.Type != "stat" && p.Type != "timeseries" || p.Title == "" {
		t.Errorf("%q is of the type %q", p.Title, p.Type)
	}
	if !slices.Contains([]string{"short", "s", "reqps", "bytes", "percentunit"}, p.FieldConfig.Defaults.Unit) {
		t.Errorf("%s: the unit %q", p.Title, p.FieldConfig.Defaults.Unit)
	}
	if thresholds := p.FieldConfig.Defaults.Thresholds; thresholds.Mode != "" {
		for i, step := range thresholds.Steps { // the first is everything below
			if (i == 0) != (step.Value == nil) || step.Color == "" || i > 1 && *step.Value <= *thresholds.Steps[i-1].Value {
				t.Errorf("%s: the threshold %d: %+v", p.Title, i, step)
			}
		}
	}
	refs := make(map[string]bool)
	for _, target := range p.Targets {
		for _, name := range metricName.FindAllString(target.Expr, -1) {
			used[histogramPart.ReplaceAllString(name, "")] = true
		}
		label := "endpoint"
		if strings.Contains(target.Expr, "caddy_klink_inbox_") {
			label = "inbox"
		}
		if !strings.Contains(target.Expr, label+`=~"$`+label+`"`) || target.Datasource != p.Datasource {
			t.Errorf("%s: a query does not ask for the %s and datasource that are chosen", p.Title, label)
		}
		if strings.Contains(fillIn(target.Expr), "$") {
			t.Errorf("%s has a variable that nobody fills in: %s", p.Title, target.Expr)
		}
		if target.RefID == "" || refs[target.RefID] || target.Range == target.Instant || target.Range != (p.Type == "timeseries") {
			t.Errorf("%s: the query %q is there twice, or asks for the wrong time", p.Title, target.RefID)
		}
		refs[target.RefID] = true
	}
}

// TestDashboardIsOfTheClassicModel: 42 is its last schema, and 36 the first in
// which every datasource is named as here.
func TestDashboardIsOfTheClassicModel(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	if d.SchemaVersion < 36 || d.SchemaVersion > 42 {
		t.Errorf("schemaVersion %d", d.SchemaVersion)
	}
	if len(d.UID) < 8 || len(d.UID) > 40 || d.Title == "" {
		t.Errorf("uid %q, title %q", d.UID, d.Title)
	}
	types := make(map[string]string)
	for _, v := range d.Templating.List {
		types[v.Name] = v.Type
	}
	if want := map[string]string{"datasource": "datasource", "endpoint": "query", "inbox": "query"}; !maps.Equal(types, want) {
		t.Errorf("the variables are %v, want %v", types, want)
	}
}

var (
	metricName    = regexp.MustCompile(`caddy_klink_[a-z_]+`)
	histogramPart = regexp.MustCompile(`_bucket$`)
)
