package inbox_test

import (
	"context"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/klinkgate/caddy-klink"
	_ "github.com/klinkgate/caddy-klink/inbox"
	"github.com/klinkgate/caddy-klink/verifier"
)

const (
	testSecret = "a secret for tests"
	siteURL    = "http://hooks.example.com"
	siteTarget = "/hook%2F1?key=query-secret"
	patience   = 30 * time.Second // for what must happen; nothing waits this long when all is well
)

// adminSite is a running Caddy with klink_webhook and an inbox.
type adminSite struct {
	client        *http.Client
	dir           string
	endpoint      string
	lastSignature string
}

// startSite runs a site until the test ends. {dir} in the inbox stands for a
// folder of its own.
func startSite(t testing.TB, inbox string) *adminSite {
	t.Helper()
	dir, err := os.MkdirTemp("", "klink") // a unix socket's path has room for 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &adminSite{dir: dir, endpoint: filepath.Base(dir)}
	s.client = &http.Client{Timeout: patience, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(dir, "s"))
		},
	}}
	app, release := provision(t, strings.NewReplacer("{inbox}", inbox, "{name}", s.endpoint).Replace(siteCaddyfile), dir)
	provisioning.Lock()
	err = app.Start()
	provisioning.Unlock()
	if err != nil {
		release()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		if err := app.Stop(); err != nil {
			t.Error(err)
		}
		release()
		if t.Failed() {
			t.Logf("the log:\n%s", s.log(t))
		}
	})
	return s
}

const siteCaddyfile = `{
	admin off
	auto_https off
	persist_config off
	log {
		output file {dir}/log {
			roll_disabled
		}
		format json
	}
}
http:// {
	bind unix/{dir}/s
	metrics /metrics
	klink_webhook /hook* {
		name {name}
		allow any
		hmac "` + testSecret + `"
	}
	klink_webhook /token {
		name {name}-token
		allow any
		header X-Token token
	}
	{inbox}
}`

// Caddy sets variables of its own packages while it provisions and starts a
// config, so this is done for one site after another.
var provisioning sync.Mutex

// provision does what Caddy does before it starts a config's apps, in a context
// that can be cleaned up.
func provision(t testing.TB, caddyfile, dir string) (httpApp caddy.App, release func()) {
	t.Helper()
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(
		[]byte(strings.ReplaceAll(caddyfile, "{dir}", dir)), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatal(err)
	}
	var c caddy.Config
	if err := caddy.StrictUnmarshalJSON(config, &c); err != nil {
		t.Fatal(err)
	}
	provisioning.Lock()
	defer provisioning.Unlock()
	apps := c.AppsRaw
	c.AppsRaw = nil
	base, err := caddy.ProvisionContext(&c)
	if err != nil {
		t.Fatal(err)
	}
	c.AppsRaw = apps
	ctx, release := caddy.NewContext(base)
	for _, name := range slices.Sorted(maps.Keys(apps)) {
		app, err := ctx.App(name)
		if err != nil {
			release()
			t.Fatal(err)
		}
		if name == "http" {
			httpApp = app.(caddy.App)
		}
	}
	return httpApp, release
}

// deliver sends a delivery that is signed, and returns the answer's status.
func (s *adminSite) deliver(t testing.TB, body string) int {
	t.Helper()
	r := s.request(t, siteTarget, body)
	s.lastSignature = sign(t, body)
	r.Header.Set("X-Signature", s.lastSignature)
	return s.do(t, r)
}

// deliverAs sends one to an endpoint that wants no signature, but a token.
func (s *adminSite) deliverAs(t testing.TB, target, body string) int {
	t.Helper()
	r := s.request(t, target, body)
	r.Header.Set("X-Token", "token")
	return s.do(t, r)
}

func (*adminSite) request(t testing.TB, target, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, siteURL+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json; charset=utf-8")
	return r
}

func (s *adminSite) do(t testing.TB, r *http.Request) int {
	t.Helper()
	response, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func sign(t testing.TB, body string) string {
	t.Helper()
	key, err := verifier.NewSecret(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	d := &verifier.Delivery{Method: "POST", Scheme: "http", Host: "hooks.example.com", Target: siteTarget}
	form := verifier.Form{}
	if form.URL, err = verifier.ParseURLForm("full"); err == nil {
		form.Body, err = verifier.ParseBodyForm([]string{"go"})
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := verifier.AppendStringToSign(nil, d, form, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return key.Sign(text).Hex()
}

// log returns the lines of our own loggers: Caddy's prints the headers of a
// request that a backend failed.
func (s *adminSite) log(t testing.TB) string {
	t.Helper()
	all, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	var ours strings.Builder
	for line := range strings.Lines(string(all)) {
		if strings.Contains(line, `"logger":"http.handlers.klink_`) {
			ours.WriteString(line)
		}
	}
	return ours.String()
}

// eventually waits until what is true.
func eventually(t testing.TB, what func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !what(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen")
		}
	}
}
