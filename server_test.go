package klink_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/klinkgate/caddy-klink"
	"github.com/klinkgate/caddy-klink/verifier"
)

const (
	klinkAddress = "51.79.216.180"
	siteURL      = "http://hooks.example.com"
	patience     = 30 * time.Second // for what must happen; nothing waits this long when all is well
)

// server is a running Caddy, with a client that speaks to it.
type server struct {
	client  *http.Client // follows no redirect
	socket  string       // where the site {socket} of the Caddyfile listens
	logFile string
}

// startCaddy runs a site that listens on a unix socket, with everything logged.
// Whoever speaks to the socket is a trusted proxy, so X-Forwarded-For says where
// a request comes from.
func startCaddy(t testing.TB, site string) *server {
	t.Helper()
	return startCaddyfile(t, `{
		admin off
		auto_https off
		persist_config off
		log {
			level DEBUG
			output file {log} {
				roll_disabled
			}
			format json
		}
		servers {
			trusted_proxies_unix
			protocols h1 h2c
		}
	}
	http:// {
		bind unix/{socket}
		`+site+`
	}`)
}

// commonOptions are what {common} stands for among a Caddyfile's global options.
const commonOptions = `admin off
	auto_https off
	persist_config off
	log {
		output file {log} {
			roll_disabled
		}
		format json
	}`

// startCaddyfile runs a whole Caddyfile until the test ends. The words {socket}
// and {log} in it stand for paths of this server's own. Several servers can run
// at once.
func startCaddyfile(t testing.TB, caddyfile string) *server {
	t.Helper()
	dir := shortTempDir(t)
	s := &server{socket: filepath.Join(dir, "caddy.sock"), logFile: filepath.Join(dir, "log.json")}
	s.client = s.newClient()
	config, err := provision(adapt(t, s.expand(caddyfile)))
	if err != nil {
		t.Fatal(err)
	}
	if err := config.start(); err != nil {
		config.release()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.client.CloseIdleConnections()
		if err := config.http.Stop(); err != nil {
			t.Error(err)
		}
		config.release()
		if t.Failed() {
			log, _ := os.ReadFile(s.logFile)
			t.Logf("the log:\n%s", log)
		}
	})
	return s
}

func (s *server) expand(caddyfile string) string {
	caddyfile = strings.ReplaceAll(caddyfile, "{common}", commonOptions)
	return strings.NewReplacer("{socket}", s.socket, "{log}", s.logFile).Replace(caddyfile)
}

func (s *server) newClient() *http.Client {
	return &http.Client{
		Transport: s.transport(),
		Timeout:   patience,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

func (s *server) transport() *http.Transport {
	return &http.Transport{
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.socket)
		},
	}
}

// A unix socket's path has room for 107 bytes, which t.TempDir can exceed.
func shortTempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "klink")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Caddy sets variables of its own packages while it provisions and starts a
// config, so this is done for one server after another.
var provisioning sync.Mutex

// config is a configuration that Caddy has provisioned.
type config struct {
	ctx    caddy.Context
	cancel context.CancelFunc
	http   caddy.App
	events *caddyevents.App
}

// provision does what Caddy does before it starts a config's apps. These have a
// context of their own, so that their modules can be cleaned up, which Caddy itself
// offers for its one running config alone.
func provision(written []byte) (*config, error) {
	var c caddy.Config
	if err := caddy.StrictUnmarshalJSON(written, &c); err != nil {
		return nil, err
	}
	provisioning.Lock()
	defer provisioning.Unlock()
	apps := c.AppsRaw
	c.AppsRaw = nil
	base, err := caddy.ProvisionContext(&c)
	if err != nil {
		return nil, err
	}
	c.AppsRaw = apps
	p := new(config)
	p.ctx, p.cancel = caddy.NewContext(base)
	for _, name := range append(slices.Sorted(maps.Keys(apps)), "events") {
		app, err := p.ctx.App(name)
		if err != nil {
			p.cancel()
			return nil, err
		}
		switch app := app.(type) {
		case *caddyhttp.App:
			p.http = app
		case *caddyevents.App:
			p.events = app
		}
	}
	return p, nil
}

// start does what Caddy does when it starts a config's apps.
func (c *config) start() error {
	provisioning.Lock()
	defer provisioning.Unlock()
	if err := c.events.Start(); err != nil {
		return err
	}
	if err := c.http.Start(); err != nil {
		return err
	}
	c.events.Emit(c.ctx, "started", nil)
	return nil
}

// release gives back what provision has taken.
func (c *config) release() {
	provisioning.Lock() // two that release Caddy's cache of certificates at once would panic
	defer provisioning.Unlock()
	c.cancel()
}

// adapt turns a Caddyfile into a JSON config.
func adapt(t testing.TB, caddyfile string) []byte {
	t.Helper()
	config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatalf("%v\n%s", err, caddyfile)
	}
	for _, w := range warnings {
		if !strings.Contains(w.Message, "not formatted") {
			t.Errorf("warning: %v", w)
		}
	}
	return config
}

// answer is what came back, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

func (s *server) do(t testing.TB, r *http.Request) answer {
	t.Helper()
	a, err := s.try(r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (s *server) try(r *http.Request) (answer, error) {
	res, err := s.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(body)}, err
}

// entry is a line of the log.
type entry map[string]any

// logs returns the lines of the log of which logger is the name's beginning.
func (s *server) logs(t testing.TB, logger string) []entry {
	t.Helper()
	data, err := os.ReadFile(s.logFile)
	if err != nil {
		t.Fatal(err)
	}
	var entries []entry
	for line := range bytes.Lines(data) {
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%v in the log's line %s", err, line)
		}
		if name, _ := e["logger"].(string); strings.HasPrefix(name, logger) {
			entries = append(entries, e)
		}
	}
	return entries
}

const ourLogger = "http.handlers.klink_webhook"

// refusals returns what the handler has logged about refused deliveries.
func (s *server) refusals(t testing.TB) []entry {
	t.Helper()
	var refusals []entry
	for _, e := range s.logs(t, ourLogger) {
		if e["msg"] == "delivery refused" {
			refusals = append(refusals, e)
		}
	}
	return refusals
}

const (
	testSecret = "a secret for tests"
	testBody   = `{"event":"contact.create","timestamp":"2026-01-09T03:42:38.000000Z","data":{"id":"7b1c","name":"Zo\u00eb"}}`
)

// delivery returns a POST of K-LINK's to a target such as /hook?a=1.
func delivery(t testing.TB, target, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, siteURL+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Forwarded-For", klinkAddress)
	return r
}

// signed returns a delivery with a signature over "full go".
func signed(t testing.TB, target, body string) *http.Request {
	t.Helper()
	r := delivery(t, target, body)
	r.Header.Set("X-Signature", sign(t, testSecret, "full", "go", siteURL, target, body))
	return r
}

// sign makes the signature that K-LINK would send to base + target.
func sign(t testing.TB, secret, urlForm, bodyForm, base, target, body string) string {
	t.Helper()
	key, err := verifier.NewSecret(secret)
	if err != nil {
		t.Fatal(err)
	}
	url, err := verifier.ParseURLForm(urlForm)
	if err != nil {
		t.Fatal(err)
	}
	form, err := verifier.ParseBodyForm(strings.Fields(bodyForm))
	if err != nil {
		t.Fatal(err)
	}
	scheme, host, _ := strings.Cut(base, "://")
	d := &verifier.Delivery{Method: "POST", Scheme: scheme, Host: host, Target: target}
	text, err := verifier.AppendStringToSign(nil, d, verifier.Form{URL: url, Body: form}, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return key.Sign(text).Hex()
}

// received is a request as a backend saw it.
type received struct {
	*http.Request
	body    string
	err     error // of reading the body
	trailer http.Header
}

// backend is an HTTP server behind the gateway.
type backend struct {
	address string // host:port
	got     chan received
}

// startBackend answers with what answer writes, once it has read the request; a
// nil answer is a 200.
func startBackend(t testing.TB, answer http.HandlerFunc) *backend {
	t.Helper()
	b := &backend{got: make(chan received, 4096)}
	b.address = listen(t, func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		b.got <- received{r, string(body), err, r.Trailer}
		if answer != nil {
			answer(rw, r)
		}
	})
	return b
}

// listen serves HTTP on a free port.
func listen(t testing.TB, handler http.HandlerFunc) (address string) {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// one returns the one request that the backend got.
func (b *backend) one(t testing.TB) received {
	t.Helper()
	select {
	case r := <-b.got:
		b.none(t)
		return r
	case <-time.After(patience):
		t.Fatal("the backend got no request")
		return received{}
	}
}

// none says that the backend got no request (any more).
func (b *backend) none(t testing.TB) {
	t.Helper()
	select {
	case r := <-b.got:
		t.Fatalf("the backend got %s %s", r.Method, r.RequestURI)
	default:
	}
}

func writeFile(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
