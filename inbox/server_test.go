package inbox_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/klinkgate/caddy-klink"
	_ "github.com/klinkgate/caddy-klink/inbox"
)

const (
	secret       = "a-secret-of-the-tests"
	klinkAddress = "51.79.216.180"
	site         = "http://hooks.example.com"
	patience     = 30 * time.Second // for what must happen; nothing waits this long when all is well
)

// sockets counts those of all gateways: two can run in one folder.
var sockets atomic.Int64

// gateway is a running Caddy with an inbox.
type gateway struct {
	t       testing.TB
	name    string // of its inbox
	logFile string
	client  *http.Client
	stop    func()
}

// start runs a site with klink_webhook and an inbox that has these options. The
// words {dir}, {name} and {backend} stand for the gateway's own folder, a name that
// no other inbox of this process has, and the backend's address.
func start(t testing.TB, b *backend, options string) *gateway {
	t.Helper()
	return startIn(t, shortTempDir(t), b, options)
}

func startIn(t testing.TB, dir string, b *backend, options string) *gateway {
	t.Helper()
	return startSite(t, dir, b, siteWith(options))
}

func siteWith(options string) string {
	return `klink_webhook {
		hmac ` + secret + `
	}
	klink_inbox {
		name {name}
		` + options + `
		database sqlite://{dir}/inbox.db
		deliver {
			reverse_proxy {backend}
		}
	}`
}

func startSite(t testing.TB, dir string, b *backend, site string) *gateway {
	t.Helper()
	g, caddyfile := newGateway(t, dir, b, site)
	config, err := provision(adapt(t, caddyfile))
	if err != nil {
		t.Fatal(err)
	}
	if err := config.start(); err != nil {
		config.release()
		t.Fatal(err)
	}
	g.stop = sync.OnceFunc(func() {
		g.client.CloseIdleConnections()
		if err := config.http.Stop(); err != nil {
			t.Error(err)
		}
		config.release()
	})
	t.Cleanup(func() {
		g.stop()
		if t.Failed() {
			t.Logf("the log:\n%s", g.log())
		}
	})
	return g
}

// newGateway returns a gateway that does not run yet, and its configuration.
func newGateway(t testing.TB, dir string, b *backend, site string) (g *gateway, caddyfile string) {
	t.Helper()
	g = &gateway{t: t, name: strings.ToLower(filepath.Base(dir)), logFile: filepath.Join(dir, "log.json")}
	socket := filepath.Join(dir, strconv.FormatInt(sockets.Add(1), 10)+".sock")
	g.client = &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	return g, strings.NewReplacer("{dir}", dir, "{backend}", b.address, "{socket}", socket, "{log}", g.logFile,
		"{name}", g.name).Replace(`{
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
			protocols h1
		}
	}
	http:// {
		bind unix/{socket}
		` + site + `
	}`)
}

// A unix socket's path has room for 107 bytes, which t.TempDir can exceed.
func shortTempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "inbox")
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

// provision does what Caddy does before it starts a config's apps.
func provision(written []byte) (*config, error) {
	provisioning.Lock()
	defer provisioning.Unlock()
	var c caddy.Config
	if err := caddy.StrictUnmarshalJSON(written, &c); err != nil {
		return nil, err
	}
	apps := c.AppsRaw
	c.AppsRaw = nil
	base, err := caddy.ProvisionContext(&c)
	if err != nil {
		return nil, err
	}
	p := new(config)
	p.ctx, p.cancel = caddy.NewContext(base)
	c.AppsRaw = apps
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
	if err := c.startApps(); err != nil {
		return err
	}
	c.started()
	return nil
}

func (c *config) startApps() error {
	provisioning.Lock()
	defer provisioning.Unlock()
	if err := c.events.Start(); err != nil {
		return err
	}
	return c.http.Start()
}

// started tells what Caddy tells once all apps are.
func (c *config) started() { c.events.Emit(c.ctx, "started", nil) }

// release gives back what provision has taken.
func (c *config) release() {
	provisioning.Lock() // two that release Caddy's cache of certificates at once would panic
	defer provisioning.Unlock()
	c.cancel()
}

// adapt turns a Caddyfile into a JSON config.
func adapt(t testing.TB, caddyfile string) []byte {
	t.Helper()
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
	if err != nil {
		t.Fatalf("%v\n%s", err, caddyfile)
	}
	return config
}

func (g *gateway) log() string {
	log, _ := os.ReadFile(g.logFile)
	return string(log)
}

// event returns the body of an event that no other has.
func event(name, id string) string {
	return `{"event":"` + name + `","timestamp":"2026-01-09T03:42:38.000000Z","data":{"id":"` + id + `"}}`
}

// signed returns a delivery as K-LINK makes it.
func signed(t testing.TB, path, body string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, site+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	sign(r, "", normal(body))
	r.Header.Set("X-Forwarded-For", klinkAddress)
	r.Header.Set("Content-Type", "application/json")
	return r
}

// sign signs a request whose query and body have these normal forms.
func sign(r *http.Request, query, body string) {
	mac := hmac.New(sha256.New, []byte(secret))
	io.WriteString(mac, r.Method+site+r.URL.EscapedPath()+query+body)
	r.Header.Set("X-Signature", hex.EncodeToString(mac.Sum(nil)))
}

// normal returns the normal form of what event has made.
func normal(body string) string {
	head, data, _ := strings.Cut(body, `,"data":`)
	data = strings.TrimSuffix(data, "}")
	name, timestamp, _ := strings.Cut(strings.TrimPrefix(head, "{"), ",")
	return `{"data":` + data + "," + name + "," + timestamp + "}"
}

// reply is what K-LINK is answered.
type reply struct {
	status int
	header http.Header
	body   string
}

func (g *gateway) send(r *http.Request) reply {
	g.t.Helper()
	res, err := g.client.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(body)}
}

// deliver sends an event and returns the status of the answer.
func (g *gateway) deliver(body string) int {
	g.t.Helper()
	return g.send(signed(g.t, "/hook", body)).status
}

// request is what a backend got.
type request struct {
	method, uri, host string
	header            http.Header
	body              string
}

// backend records what it gets, and answers as it is told to.
type backend struct {
	address string

	mu       sync.Mutex
	requests []request
	answer   http.HandlerFunc
	server   *http.Server
}

// newBackend returns a backend that listens and answers 200.
func newBackend(t testing.TB) *backend {
	t.Helper()
	b := &backend{answer: func(http.ResponseWriter, *http.Request) {}}
	b.listen(t, "127.0.0.1:0")
	t.Cleanup(b.refuse)
	return b
}

func (b *backend) listen(t testing.TB, address string) {
	t.Helper()
	var listener net.Listener
	wait(t, "the backend's port is free", func() (ok bool) {
		var err error
		listener, err = net.Listen("tcp", address)
		return err == nil
	})
	b.address = listener.Addr().String()
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: patience}
	go b.server.Serve(listener)
}

// refuse lets nobody connect any more, and breaks off what is under way.
func (b *backend) refuse() { b.server.Close() }

// back listens again.
func (b *backend) back(t testing.TB) { b.listen(t, b.address) }

// status lets the backend answer with a status from now on.
func (b *backend) status(status int) {
	b.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
}

func (b *backend) does(answer http.HandlerFunc) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = answer
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	b.mu.Lock()
	b.requests = append(b.requests, request{r.Method, r.RequestURI, r.Host, r.Header, string(body)})
	answer := b.answer
	b.mu.Unlock()
	answer(w, r)
}

func (b *backend) got() []request {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.requests)
}

// bodies returns what the backend got, in order.
func (b *backend) bodies() []string {
	var bodies []string
	for _, r := range b.got() {
		bodies = append(bodies, r.body)
	}
	return bodies
}

// wait waits for what must happen.
func wait(t testing.TB, what string, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it did not come to pass that %s", what)
		}
	}
}

// has waits until the backend has had n requests, and holds that there are no
// more.
func (b *backend) has(t testing.TB, n int) []request {
	t.Helper()
	wait(t, "the backend has what it shall have", func() bool { return len(b.got()) >= n })
	time.Sleep(50 * time.Millisecond)
	got := b.got()
	if len(got) != n {
		t.Fatalf("the backend has had %d requests, want %d", len(got), n)
	}
	return got
}
