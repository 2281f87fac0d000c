package klink_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// prometheus is a running Prometheus that scrapes one gateway.
type prometheus struct {
	client *http.Client
	url    string
}

// findPrometheus returns a program of Debian's package prometheus. Without it the
// test is skipped, but not in CI.
func findPrometheus(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err == nil {
		return path
	}
	const remedy = " is not installed: on Debian, apt-get install prometheus"
	if os.Getenv("CI") == "true" {
		t.Fatal(program + remedy)
	}
	t.Skip(program + remedy)
	return ""
}

const prometheusConfig = `
global:
  scrape_interval: 250ms
  scrape_timeout: 250ms
  evaluation_interval: 250ms
rule_files:
  - %s
scrape_configs:
  - job_name: caddy
    static_configs:
      - targets: [%s]
`

var prometheusListens = regexp.MustCompile(`msg="Listening on" address=([0-9.:]+)`)

// startPrometheus scrapes target and evaluates a file of rules until the test
// ends.
func startPrometheus(t *testing.T, target, rules string) *prometheus {
	t.Helper()
	program := findPrometheus(t, "prometheus")
	rules, err := filepath.Abs(rules)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, prometheusConfig, rules, target), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address=127.0.0.1:0")
	logFile := startProcess(t, dir, cmd)
	p := &prometheus{client: &http.Client{Timeout: patience}}
	t.Cleanup(p.client.CloseIdleConnections)
	await(t, "Prometheus", func() error {
		said, err := os.ReadFile(logFile)
		if err != nil {
			return err
		}
		m := prometheusListens.FindSubmatch(said)
		if m == nil {
			return errors.New("it has not said where it listens")
		}
		p.url = "http://" + string(m[1])
		return p.get("/-/ready", nil, nil)
	})
	return p
}

// get asks the HTTP API for data, or for a bare 200 without it.
func (p *prometheus) get(path string, parameters url.Values, data any) error {
	res, err := p.client.Get(p.url + path + "?" + parameters.Encode())
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if data == nil {
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	}
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", res.Status, answer.Error)
	}
	return json.Unmarshal(answer.Data, data)
}

// sample is a series with its values, which are pairs of a time and a number.
type sample struct {
	Metric map[string]string
	Value  [2]any
	Values [][2]any
}

// last is the latest value.
func (s *sample) last() string {
	value := s.Value
	if len(s.Values) > 0 {
		value = s.Values[len(s.Values)-1]
	}
	text, _ := value[1].(string)
	return text
}

// query evaluates an expression now, or over the last minutes as a panel does.
func (p *prometheus) query(expr string, ranged bool) ([]sample, error) {
	path, parameters := "/api/v1/query", url.Values{"query": {expr}}
	if ranged {
		path = "/api/v1/query_range"
		now := time.Now()
		parameters.Set("start", fmt.Sprint(now.Add(-5*time.Minute).Unix()))
		parameters.Set("end", fmt.Sprint(now.Unix()+1))
		parameters.Set("step", "1")
	}
	var data struct{ Result json.RawMessage }
	if err := p.get(path, parameters, &data); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, expr)
	}
	var samples []sample
	if err := json.Unmarshal(data.Result, &samples); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, expr)
	}
	return samples, nil
}

// awaitData waits until an expression has a value that is a number.
func (p *prometheus) awaitData(t *testing.T, expr string, ranged bool) {
	t.Helper()
	await(t, "data", func() error {
		samples, err := p.query(expr, ranged)
		if err != nil {
			return err
		}
		for i := range samples {
			if samples[i].last() != "NaN" {
				return nil
			}
		}
		return fmt.Errorf("no data, but %v\n%s", samples, expr)
	})
}

// rule is one of the rules that Prometheus has loaded, with the alerts that it
// has raised.
type rule struct {
	Name, Query, Health, LastError string
	Alerts                         []struct {
		State               string
		Labels, Annotations map[string]string
	}
}

func (p *prometheus) rules() ([]rule, error) {
	var data struct{ Groups []struct{ Rules []rule } }
	if err := p.get("/api/v1/rules", nil, &data); err != nil {
		return nil, err
	}
	var rules []rule
	for _, g := range data.Groups {
		rules = append(rules, g.Rules...)
	}
	return rules, nil
}
