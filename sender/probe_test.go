package sender_test

import (
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klinkgate/caddy-klink/sender"
)

// probed is an endpoint that answers HEAD, an unsigned POST and a signed one with these statuses, and what it was sent.
type probed struct {
	*httptest.Server
	mu   sync.Mutex
	sent []string
}

func startProbed(t *testing.T, useTLS bool, head, unsigned, signed int) *probed {
	t.Helper()
	p := &probed{}
	p.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		status := head
		if r.Method == http.MethodPost {
			status = unsigned
		}
		signature := r.Header.Get("X-Signature")
		if signature != "" {
			status = signed
		}
		p.mu.Lock()
		p.sent = append(p.sent, fmt.Sprintf("%s %s %d %q", r.Method, r.RequestURI, len(signature)+len(r.Header.Get("Authorization")), body))
		p.mu.Unlock()
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
	}))
	p.Config.ErrorLog = log.New(io.Discard, "", 0)
	if useTLS {
		p.StartTLS()
	} else {
		p.Start()
	}
	t.Cleanup(p.Close)
	return p
}

func (p *probed) requests() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.sent, "; ")
}

// probeAll probes and returns the steps.
func probeAll(t *testing.T, p *sender.Probe) (steps []sender.Step, err error) {
	t.Helper()
	err = p.Run(t.Context(), func(s sender.Step) { steps = append(steps, s) })
	return steps, err
}

const (
	sentHead     = `HEAD /hook?a=1 0 ""`
	sentUnsigned = sentHead + `; POST /hook?a=1 0 ""`
	sentAll      = sentUnsigned + `; POST /hook?a=1 128 "{}"`
)

func TestProbe(t *testing.T) {
	for _, tt := range []struct {
		head, unsigned, signed int
		failed, want, sent     string
	}{
		{405, 401, 401, "", "", sentAll},
		{405, 403, 403, "", "", sentAll},
		{401, 401, 403, "", "", sentAll},
		{200, 401, 401, "method", "HEAD is answered 200 and not 405: no gateway is in front", sentHead},
		{308, 401, 401, "method", "takes a redirect for an error", sentHead},
		{404, 401, 401, "method", "is the path in the URL right?", sentHead},
		{502, 401, 401, "method", "look into the log", sentHead},
		{405, 200, 401, "unsigned", "it is answered 200 and not 401 or 403: no gateway is in front", sentUnsigned},
		{405, 204, 401, "unsigned", "observe mode", sentUnsigned},
		{405, 400, 401, "unsigned", "something else than klink_webhook answers", sentUnsigned},
		{405, 401, 200, "badly signed", "it is answered 200", sentAll},
		{405, 401, 500, "badly signed", "it is answered 500", sentAll},
	} {
		t.Run(fmt.Sprint(tt.head, tt.unsigned, tt.signed), func(t *testing.T) {
			p := startProbed(t, false, tt.head, tt.unsigned, tt.signed)
			steps, err := probeAll(t, &sender.Probe{URL: p.URL + "/hook?a=1"})
			last := steps[len(steps)-1]
			if tt.failed == "" {
				if err != nil || len(steps) != 5 || last.Status != tt.signed {
					t.Errorf("%d steps, the last with %d: %v", len(steps), last.Status, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), tt.want) || last.Name != tt.failed || last.Err == nil {
				t.Errorf("stopped at %q: %v; want %q at %q", last.Name, err, tt.want, tt.failed)
			}
			if got := p.requests(); got != tt.sent {
				t.Errorf("sent %s, want %s", got, tt.sent)
			}
		})
	}
}

func TestProbeTLS(t *testing.T) {
	p := startProbed(t, true, 405, 401, 403)
	roots := x509.NewCertPool()
	roots.AddCert(p.Certificate())
	expires := p.Certificate().NotAfter
	at := func(before time.Duration) func() time.Time {
		return func() time.Time { return expires.Add(-before) }
	}
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name  string
		probe sender.Probe
		want  string // the error
	}{
		{"good", sender.Probe{RootCAs: roots, Expiry: 10 * day, Now: at(10*day + time.Minute)}, ""},
		{"expires soon", sender.Probe{RootCAs: roots, Expiry: 10 * day, Now: at(10 * day)}, "tls: the certificate expires in 10 days, on 2"},
		{"expires today", sender.Probe{RootCAs: roots, Expiry: day, Now: at(5 * time.Hour)}, "tls: the certificate expires in 5 hours, on 2"},
		{"expired", sender.Probe{RootCAs: roots, Now: at(-time.Hour)}, "failed to verify certificate: x509: certificate has expired"}, //nolint:dupword // the step, and the library's own prefix
		{"nobody's certificate", sender.Probe{Now: at(10 * day)}, "signed by unknown authority"},
		{"another name", sender.Probe{RootCAs: roots, Now: at(10 * day), URL: strings.Replace(p.URL, "127.0.0.1", "localhost", 1)}, "not localhost"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(p.requests())
			if tt.probe.URL == "" {
				tt.probe.URL = p.URL
			}
			steps, err := probeAll(t, &tt.probe)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if i := slices.IndexFunc(steps, func(s sender.Step) bool { return s.Name == "tls" }); !steps[i].Expires.Equal(expires) ||
					!strings.Contains(steps[i].Detail, "the certificate expires in 10 days") {
					t.Errorf("the certificate expires on %v: %s", steps[i].Expires, steps[i].Detail)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if len(p.requests()) != before {
				t.Error("something was sent after all")
			}
		})
	}
}

func TestProbeWithoutAnEndpoint(t *testing.T) {
	for url, want := range map[string]string{
		"hook":                         "the URL is not absolute",
		"https://user:s3cret@h/x":      "the URL holds a user",
		"http://no-such-host.invalid/": "name: ",
		"http://127.0.0.1:1/":          "method: no answer: dial: connect: connection refused",
		"https://127.0.0.1:1/":         "tls: dial: connect: connection refused",
	} {
		if _, err := probeAll(t, &sender.Probe{URL: url}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", url, err, want)
		}
	}
}
