package inbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/klinkgate/caddy-klink/inbox"
)

// adminAnswer is what the admin endpoint says.
type adminAnswer struct {
	status int
	text   string
}

// ask asks the routes of the admin endpoint as Caddy does.
func ask(t testing.TB, method, target string) adminAnswer {
	t.Helper()
	info, err := caddy.GetModule("admin.api.klink_inbox")
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	for _, route := range info.New().(caddy.AdminRouter).Routes() {
		mux.HandleFunc(route.Pattern, func(w http.ResponseWriter, r *http.Request) {
			err := route.Handler.ServeHTTP(w, r)
			if err == nil {
				return
			}
			apiErr, ok := errors.AsType[caddy.APIError](err)
			if !ok {
				t.Errorf("%s %s: %v is no caddy.APIError", method, target, err)
			}
			if apiErr.Message == "" {
				apiErr.Message = apiErr.Err.Error()
			}
			w.WriteHeader(apiErr.HTTPStatus)
			io.WriteString(w, apiErr.Message)
		})
	}
	rec := httptest.NewRecorder()
	mux.ServeHTTP(rec, httptest.NewRequest(method, target, nil))
	return adminAnswer{rec.Code, rec.Body.String()}
}

// get asks for what must be there.
func get[T any](t testing.TB, target string) (value T) {
	t.Helper()
	return decoded[T](t, target, ask(t, http.MethodGet, target))
}

func post[T any](t testing.TB, target string) (value T) {
	t.Helper()
	return decoded[T](t, target, ask(t, http.MethodPost, target))
}

func decoded[T any](t testing.TB, target string, a adminAnswer) (value T) {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("%s: %d %s", target, a.status, a.text)
	}
	if err := json.Unmarshal([]byte(a.text), &value); err != nil {
		t.Fatalf("%s: %v in %s", target, err, a.text)
	}
	return value
}

type (
	inboxSeen struct {
		Name, Mode, Database string
		BackendUp            bool `json:"backend_up"`
		Waiting, Dead, Bytes int64
		MaxStored            int64   `json:"max_stored"`
		MaxStoredBytes       int64   `json:"max_stored_bytes"`
		OldestSeconds        float64 `json:"oldest_seconds"`
		Counters             map[string]int64
	}
	failureSeen struct {
		Time    time.Time
		Attempt int
		Detail  string
	}
	eventSeen struct {
		ID                          int64
		Key, State, Endpoint, Event string
		Size                        int64
		Received, Next, Ended       time.Time
		Attempts                    int
		LastFailure                 *failureSeen `json:"last_failure"`
		Failures                    []failureSeen
		Request                     *struct {
			Method, Host, Path string
			QueryNames         []string `json:"query_names"`
			HeaderNames        []string `json:"header_names"`
			Body               *string
			BodyEncoding       string `json:"body_encoding"`
		}
	}
	page struct {
		Events []eventSeen
		After  int64
	}
	changes struct {
		Done, Skipped int
		After         int64
	}
)

func (p page) names() (names []string) {
	for _, e := range p.Events {
		names = append(names, e.Event)
	}
	return names
}

// rejecting is a gateway of which the backend has rejected events, of these names
// in this order; their ids in the backend's terms are 0, 1, 2, …
func rejecting(t testing.TB, events ...string) (*gateway, *backend) {
	t.Helper()
	b := newBackend(t)
	b.status(http.StatusUnprocessableEntity)
	g := start(t, b, "")
	for i, name := range events {
		g.mustTake(t, event(name, strconv.Itoa(i)))
	}
	return g, b
}

func (g *gateway) mustTake(t testing.TB, body string) {
	t.Helper()
	if status := g.deliver(body); status != http.StatusOK {
		t.Fatalf("K-LINK is answered %d", status)
	}
}

// path is where the admin endpoint has the gateway's inbox.
func (g *gateway) path() string { return "/klink/inbox/" + g.name }

// events lists events of the gateway's inbox.
func (g *gateway) events(filter string) page {
	g.t.Helper()
	return get[page](g.t, g.path()+"/events?"+filter)
}

func (g *gateway) seen() inboxSeen {
	g.t.Helper()
	return get[inboxSeen](g.t, g.path())
}

func TestInboxesAreListed(t *testing.T) {
	t.Parallel()
	first, _ := rejecting(t)
	second, _ := rejecting(t, "contact.create")
	wait(t, "the backlog is measured", func() bool { return second.seen().Dead == 1 })
	list := get[struct{ Inboxes []inboxSeen }](t, "/klink/inbox").Inboxes
	find := func(name string) inboxSeen {
		i := slices.IndexFunc(list, func(seen inboxSeen) bool { return seen.Name == name })
		if i < 0 {
			t.Fatalf("%s is not in %+v", name, list)
		}
		return list[i]
	}
	if !slices.IsSortedFunc(list, func(a, b inboxSeen) int { return strings.Compare(a.Name, b.Name) }) {
		t.Errorf("the order is %+v", list)
	}
	if seen := find(first.name); seen.Dead != 0 || seen.Bytes != 0 {
		t.Errorf("the empty inbox is %+v", seen)
	}
	seen := find(second.name)
	if seen.Mode != "rescue" || seen.Database != "sqlite" || !seen.BackendUp || seen.Waiting != 0 || seen.OldestSeconds != 0 ||
		seen.Bytes < int64(len(event("contact.create", "0"))) || seen.MaxStored != 100_000 || seen.MaxStoredBytes != 1<<30 {
		t.Errorf("the inbox is %+v", seen)
	}
	if want := (map[string]int64{"stored": 1, "dead": 1, "rescued": 1, "delivered": 0, "deduplicated": 0}); !maps.Equal(seen.Counters, want) {
		t.Errorf("the counters are %v, want %v", seen.Counters, want)
	}
}

func TestEventsAreFiltered(t *testing.T) {
	t.Parallel()
	g, b := rejecting(t, "contact.create", "message.inbound", "contact.create", "contact.update")
	b.status(http.StatusOK)
	g.mustTake(t, event("passed.through", "9"))
	const all = "contact.create message.inbound contact.create contact.update"
	for filter, want := range map[string]string{
		"":                                     all,
		"state=dead":                           all,
		"state=waiting":                        "",
		"state=waiting&state=dead":             all,
		"event=contact.create":                 strings.Repeat(" contact.create", 2)[1:],
		"event=contact":                        "",
		"event=%27%20OR%201%3D1&state=dead":    "",
		"state=dead&event=message.inbound":     "message.inbound",
		"older_than=1h":                        "",
		"older_than=1ms":                       all,
		"order=desc&limit=2":                   "contact.update contact.create",
		"order=asc&limit=2":                    "contact.create message.inbound",
		"limit=2&after=2":                      "contact.create contact.update",
		"limit=2&after=3&order=desc":           "message.inbound contact.create",
		"event=contact.create&after=1":         "contact.create",
		"event=%00":                            "",
		"key=" + g.events("").Events[1].Key:    "message.inbound",
		"key=" + strings.Repeat("0", 31) + "1": "",
		"key=" + strings.Repeat("0", 32):       "",
	} {
		if got := strings.Join(g.events(filter).names(), " "); got != want {
			t.Errorf("%q: %q, want %q", filter, got, want)
		}
	}
	if first := g.events("limit=3"); first.After != 3 {
		t.Errorf("a full page ends with %d, want 3", first.After)
	}
	if rest := g.events("limit=3&after=3"); rest.After != 0 || len(rest.Events) != 1 {
		t.Errorf("the last page is %+v", rest)
	}
}

func TestAnEventIsShown(t *testing.T) {
	t.Parallel()
	began := time.Now().Add(-time.Second)
	g, b := rejecting(t)
	const body = `{"event":"contact.create"}`
	r := signed(t, "/hook%2F1?key=query-secret", body)
	sign(r, "key=[query-secret]", body)
	if got := g.send(r); got.status != http.StatusOK {
		t.Fatalf("answered %d", got.status)
	}
	listed := g.events("").Events[0]
	target := g.path() + "/events/1"
	shown := get[eventSeen](t, target)
	for _, e := range []eventSeen{listed, shown} {
		if e.ID != 1 || e.State != "dead" || e.Endpoint != "endpoint1" || e.Event != "contact.create" || e.Key != b.got()[0].header.Get("Klink-Delivery-Id") ||
			e.Size <= int64(len(body)) || e.Attempts != 1 || !e.Next.IsZero() || e.Ended.Before(began) || e.Received.Before(began) {
			t.Errorf("the event is %+v", e)
		}
		if e.LastFailure == nil || e.LastFailure.Detail != "status 422" || e.LastFailure.Attempt != 1 || e.LastFailure.Time.Before(began) {
			t.Errorf("the last failure is %+v", e.LastFailure)
		}
	}
	if len(listed.Failures) != 0 || listed.Request != nil || len(shown.Failures) != 1 || shown.Failures[0] != *shown.LastFailure {
		t.Errorf("listed %+v, shown %+v", listed, shown)
	}
	seen := shown.Request
	if seen == nil || seen.Method != "POST" || seen.Host != "hooks.example.com" || seen.Path != "/hook%2F1" || !slices.Equal(seen.QueryNames, []string{"key"}) ||
		!slices.Contains(seen.HeaderNames, "X-Signature") || !slices.IsSorted(seen.HeaderNames) || seen.Body != nil || seen.BodyEncoding != "" {
		t.Errorf("the request is %+v", seen)
	}

	b.status(http.StatusNoContent)
	if c := post[changes](t, target+"/retry"); c != (changes{Done: 1}) {
		t.Errorf("retry: %+v", c)
	}
	wait(t, "the event is delivered", func() bool { return get[eventSeen](t, target).State == "delivered" })
	if get[eventSeen](t, target+"?body=true").Request != nil {
		t.Error("what was sent is there still")
	}
	if a := ask(t, http.MethodPost, target+"/retry"); a.status != http.StatusConflict {
		t.Errorf("retry of a delivered event: %d %s", a.status, a.text)
	}
}

func TestBodiesAreShownOnlyIfAskedFor(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.status(http.StatusUnprocessableEntity)
	g := startSite(t, shortTempDir(t), b, `klink_webhook {
		header X-Token token
	}
	klink_inbox {
		name {name}
		database sqlite://{dir}/inbox.db
		deliver {
			reverse_proxy {backend}
		}
	}`)
	const text = "{\"event\":\"contact.create\",\"text\":\"<Zo\u00eb> & \\u0000\"}"
	for i, want := range []struct{ sent, encoding, body string }{
		{text, "text", text},
		{"\xff\x00 not text", "base64", "/wAgbm90IHRleHQ="},
	} {
		r := signed(t, "/hook", want.sent)
		r.Header.Set("X-Token", "token")
		if got := g.send(r); got.status != http.StatusOK {
			t.Fatalf("answered %d", got.status)
		}
		target := fmt.Sprintf("%s/events/%d", g.path(), i+1)
		for _, query := range []string{"", "?body=false"} {
			if seen := get[eventSeen](t, target+query).Request; seen.Body != nil || seen.BodyEncoding != "" {
				t.Errorf("%q: the body is there without having been asked for", query)
			}
		}
		if seen := get[eventSeen](t, target+"?body=true").Request; seen.Body == nil || *seen.Body != want.body || seen.BodyEncoding != want.encoding {
			t.Errorf("the body is %+v, want %+v", seen, want)
		}
	}
}

// TestNothingSecretIsShown asks for everything there is, and looks into the log.
func TestNothingSecretIsShown(t *testing.T) {
	t.Parallel()
	g, _ := rejecting(t, "contact.create")
	const body = `{"event":"contact.update","phone":"+62 812"}`
	r := signed(t, "/hook?key=query-secret", body)
	sign(r, "key=[query-secret]", body)
	r.Header.Set("X-Other", "header-secret")
	if got := g.send(r); got.status != http.StatusOK {
		t.Fatalf("answered %d", got.status)
	}
	var said strings.Builder
	for _, request := range []string{
		"GET /klink/inbox", "GET " + g.path(), "GET " + g.path() + "/events", "GET " + g.path() + "/events/1", "GET " + g.path() + "/events/2",
		"POST " + g.path() + "/events/2/retry", "POST " + g.path() + "/discard?state=dead&state=waiting",
	} {
		method, target, _ := strings.Cut(request, " ")
		said.WriteString(ask(t, method, target).text)
	}
	for line := range strings.Lines(g.log()) {
		if strings.Contains(line, `"logger":"http.handlers.klink_inbox"`) { // Caddy's own lines have headers
			said.WriteString(line)
		}
	}
	for _, part := range []string{"X-Signature", "X-Other", `"key"`, "an operator has retried an event", "an operator has discarded events"} {
		if !strings.Contains(said.String(), part) {
			t.Errorf("%s is not in what is said:\n%s", part, &said)
		}
	}
	for _, part := range []string{secret, r.Header.Get("X-Signature"), "query-secret", "header-secret", "application/json", "phone", "+62", ".db", klinkAddress} {
		if strings.Contains(said.String(), part) {
			t.Errorf("%q is shown:\n%s", part, &said)
		}
	}
}

func TestManyAreChanged(t *testing.T) {
	t.Parallel()
	g, b := rejecting(t, "contact.create", "message.inbound", "contact.create", "contact.update")
	if c := post[changes](t, g.path()+"/retry?state=waiting"); c != (changes{}) {
		t.Errorf("retry of those that wait: %+v", c)
	}
	if c := post[changes](t, g.path()+"/discard?state=dead&older_than=1h"); c != (changes{}) {
		t.Errorf("discard of old ones: %+v", c)
	}
	b.status(http.StatusOK)
	if c := post[changes](t, g.path()+"/retry?state=dead&event=contact.create&limit=1"); c != (changes{Done: 1, After: 1}) {
		t.Errorf("retry of the first: %+v", c)
	}
	if c := post[changes](t, g.path()+"/retry?state=dead&event=contact.create&after=1"); c != (changes{Done: 1}) {
		t.Errorf("retry of the rest: %+v", c)
	}
	wait(t, "both are delivered", func() bool { return len(g.events("state=delivered").Events) == 2 })
	if c := post[changes](t, g.path()+"/discard?state=dead&state=waiting&event=message.inbound"); c != (changes{Done: 1}) {
		t.Errorf("discard: %+v", c)
	}
	if left := g.events("state=dead").names(); !slices.Equal(left, []string{"contact.update"}) {
		t.Errorf("what is left is %v", left)
	}
	wait(t, "the backlog is measured", func() bool { seen := g.seen(); return seen.Dead == 1 && seen.Waiting == 0 })
	b.has(t, 6)
	g.mustTake(t, event("contact.update", "3")) // is stored, and known
	g.mustTake(t, event("contact.create", "0")) // was delivered, and is known
	b.has(t, 6)
	g.mustTake(t, event("message.inbound", "1")) // was discarded, and comes anew
	b.has(t, 7)
}

// TestAChangeOfManyEndsInTime and says where it has ended.
func TestAChangeOfManyEndsInTime(t *testing.T) {
	t.Parallel()
	g, _ := rejecting(t, "contact.create", "contact.create", "contact.create")
	now := time.Now()
	for _, tt := range []struct {
		until time.Time
		done  int
		after int64
	}{{now, 1, 1}, {now.Add(patience), 2, 0}, {now, 0, 0}} {
		done, after, err := inbox.DiscardDead(t.Context(), g.name, tt.until)
		if err != nil || done != tt.done || after != tt.after {
			t.Errorf("%d done, after %d, %v; want %d and %d", done, after, err, tt.done, tt.after)
		}
	}
}

func TestADiscardedEventCanComeAnew(t *testing.T) {
	t.Parallel()
	g, b := rejecting(t, "contact.create")
	target := g.path() + "/events/1"
	if c := post[changes](t, target+"/discard"); c != (changes{Done: 1}) {
		t.Errorf("discard: %+v", c)
	}
	if a := ask(t, http.MethodGet, target); a.status != http.StatusNotFound {
		t.Errorf("it is there still: %s", a.text)
	}
	g.mustTake(t, event("contact.create", "0"))
	b.has(t, 2)
}

func TestAnEventUnderWayIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	goOn := make(chan struct{})
	b.does(func(http.ResponseWriter, *http.Request) { <-goOn })
	g := start(t, b, "deadline 50ms")
	g.mustTake(t, event("contact.create", "slow"))
	target := g.path() + "/events/1"
	for _, what := range []string{"retry", "discard"} {
		if a := ask(t, http.MethodPost, target+"/"+what); a.status != http.StatusConflict || !strings.Contains(a.text, "being delivered") {
			t.Errorf("%s: %d %s", what, a.status, a.text)
		}
		if c := post[changes](t, g.path()+"/"+what+"?state=waiting"); c != (changes{Skipped: 1}) {
			t.Errorf("%s of many: %+v", what, c)
		}
	}
	close(goOn)
	wait(t, "it is delivered", func() bool { return get[eventSeen](t, target).State == "delivered" })
	b.has(t, 1)
}

// TestRetryTriesABackendThatIsDown holds that an operator who has mended it does not
// wait for the next try.
func TestRetryTriesABackendThatIsDown(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"/events/1/retry", "/retry?state=waiting"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			b.refuse()
			g := start(t, b, "retry 1h")
			g.mustTake(t, event("contact.create", "waits"))
			b.back(t)
			g.triesAtOnce(func() bool {
				ask(t, http.MethodPost, g.path()+what) // until it waits in memory
				return g.metric("delivered_total") == 1
			})
		})
	}
}

// triesAtOnce wants something to happen before a backend that is down would have been
// tried anyhow, which is half a minute after it was found so.
func (g *gateway) triesAtOnce(happened func() bool) {
	g.t.Helper()
	asked := time.Now()
	wait(g.t, "the event is delivered", happened)
	if time.Since(asked) > 15*time.Second {
		g.t.Error("it has waited for the next try")
	}
}

func TestABackendThatIsDownIsSeen(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.refuse()
	g := start(t, b, "retry 200ms")
	g.mustTake(t, event("contact.create", "waits"))
	e := g.events("state=waiting&state=delivering").Events[0]
	if e.LastFailure == nil || !strings.Contains(e.LastFailure.Detail, "connection refused") || e.Ended != (time.Time{}) {
		t.Errorf("the event is %+v", e)
	}
	wait(t, "the backlog is measured", func() bool {
		seen := g.seen()
		return !seen.BackendUp && seen.Waiting == 1 && seen.OldestSeconds > 0
	})
	b.back(t)
	wait(t, "the event is delivered", func() bool {
		seen := g.seen()
		return seen.BackendUp && seen.Waiting == 0 && seen.Counters["delivered"] == 1
	})
}

func TestAdminRefusals(t *testing.T) {
	t.Parallel()
	g, _ := rejecting(t, "contact.create")
	for _, tt := range []struct {
		method, target string
		status         int
		says           string
	}{
		{"GET", "", 200, `"mode":"rescue"`},
		{"GET", "/events", 200, `"state":"dead"`},
		{"POST", "", 405, "only GET"},
		{"POST", "/events", 405, "only GET"},
		{"POST", "/events/1", 405, "only GET"},
		{"DELETE", "/events/1", 405, "only GET"},
		{"GET", "/events/1/retry", 405, "only POST"},
		{"GET", "/events/1/discard", 405, "only POST"},
		{"GET", "/retry?state=dead", 405, "only POST"},
		{"GET", "/discard?state=dead", 405, "only POST"},
		{"GET", "/other", 404, "there is no " + g.path() + "/other"},
		{"POST", "/events/1/forget", 404, "there is no "},
		{"GET", "/events/99", 404, "there is no event 99 in the inbox " + g.name},
		{"GET", "/events/first", 404, `there is no event "first"`},
		{"POST", "/events/99/retry", 404, "there is no event 99"},
		{"POST", "/events/99/discard", 404, "there is no event 99"},
		{"GET", "?name=a", 400, "name: there are no parameters here"},
		{"GET", "/events?status=dead", 400, "status: there is no such parameter; there are state, event"},
		{"GET", "/events?state=deaf", 400, `state: there is no "deaf"; there are waiting, delivering, delivered, dead, discarded`},
		{"GET", "/events?state=", 400, `state: there is no ""`},
		{"GET", "/events?event=", 400, "event: write the name"},
		{"GET", "/events?event=a&event=b", 400, "event: write it once"},
		{"GET", "/events?older_than=10", 400, `older_than: "10" is no duration`},
		{"GET", "/events?older_than=-10m", 400, "older_than: "},
		{"GET", "/events?key=12", 400, `key: "12" is no id of a delivery`},
		{"POST", "/discard?state=dead&key=12", 400, "key: there is no such parameter"},
		{"GET", "/events?after=x", 400, `after: "x" is no id`},
		{"GET", "/events?after=0", 400, "after: "},
		{"GET", "/events?limit=0", 400, `limit: "0" is no number from 1 to 1000`},
		{"GET", "/events?limit=1001", 400, "limit: "},
		{"GET", "/events?limit=ten", 400, "limit: "},
		{"GET", "/events?order=newest", 400, `order: there is no "newest"`},
		{"GET", "/events?state=%zz", 400, "the query cannot be read"},
		{"GET", "/events/1?body=yes", 400, `body: there is no "yes"`},
		{"GET", "/events/1?headers=true", 400, "headers: there is no such parameter"},
		{"POST", "/events/1/retry?state=dead", 400, "state: there are no parameters here"},
		{"POST", "/retry", 400, "state: say which events are meant"},
		{"POST", "/discard", 400, "state: say which events are meant"},
		{"POST", "/discard?event=contact.create", 400, "state: say which events are meant"},
		{"POST", "/discard?state=delivered", 400, "delivered"},
		{"POST", "/discard?state=dead&state=delivering", 400, "delivering"},
		{"POST", "/retry?state=dead&order=desc", 400, "order: there is no such parameter"},
		{"POST", "/retry?state=dead&limit=-1", 400, "limit: "},
	} {
		a := ask(t, tt.method, g.path()+tt.target)
		if a.status != tt.status || !strings.Contains(a.text, tt.says) {
			t.Errorf("%s %s: %d %s, want %d %s", tt.method, tt.target, a.status, a.text, tt.status, tt.says)
		}
	}
	for _, tt := range []struct {
		method, target string
		status         int
	}{
		{"POST", "", 405},
		{"POST", "/other", 405},
		{"GET", "/other", 404},
		{"GET", "/other/events", 404},
		{"GET", "/other/events/1", 404},
		{"POST", "/other/retry?state=dead", 404},
		{"POST", "/other/events/1/discard", 404},
		{"GET", "?state=dead", 400},
	} {
		if a := ask(t, tt.method, "/klink/inbox"+tt.target); a.status != tt.status {
			t.Errorf("%s %s: %d %s, want %d", tt.method, tt.target, a.status, a.text, tt.status)
		}
	}
	if dead := g.events("state=dead").Events; len(dead) != 1 || dead[0].Attempts != 1 {
		t.Errorf("what was refused had an effect: %+v", dead)
	}
}

func TestADatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	g := startSite(t, shortTempDir(t), newBackend(t), `klink_inbox {
		name {name}
		database postgres://klink:pass-word@127.0.0.1:1/inbox?connect_timeout=1
		deliver {
			reverse_proxy {backend}
		}
	}`)
	if seen := g.seen(); seen.Database != "postgres" {
		t.Errorf("the inbox is %+v", seen)
	}
	for target, method := range map[string]string{
		"/events": "GET", "/events/1": "GET", "/events/1/retry": "POST", "/events/1/discard": "POST",
		"/retry?state=dead": "POST", "/discard?state=dead": "POST",
	} {
		a := ask(t, method, g.path()+target)
		if a.status != http.StatusServiceUnavailable || a.text != "the inbox's database is not available: the log says why" {
			t.Errorf("%s %s: %d %s", method, target, a.status, a.text)
		}
	}
	if said := ask(t, http.MethodGet, g.path()).text + g.log(); strings.Contains(said, "pass-word") || strings.Contains(said, "postgres://") {
		t.Errorf("the database's URL is shown: %s", said)
	}
}

func TestAnInboxThatIsGoneIsNotThere(t *testing.T) {
	t.Parallel()
	g, _ := rejecting(t, "contact.create")
	g.stop()
	for _, target := range []string{"", "/events", "/events/1"} {
		if a := ask(t, http.MethodGet, g.path()+target); a.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", target, a.status, a.text)
		}
	}
	if list := ask(t, http.MethodGet, "/klink/inbox").text; strings.Contains(list, g.name) {
		t.Errorf("the list is %s", list)
	}
}

// A row such as: | `caddy_klink_inbox_x_total` | counter | `inbox` | …
var metricRow = regexp.MustCompile("(?m)^\\| `(caddy_klink_inbox_[a-z_]+)` \\| (counter|gauge|histogram) \\| `inbox` \\|")

func TestEveryMetricIsDocumented(t *testing.T) {
	t.Parallel()
	g, _ := rejecting(t, "contact.create")
	page, err := os.ReadFile("../docs/inbox.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, row := range metricRow.FindAllSubmatch(page, -1) {
		documented[string(row[1])] = string(row[2])
	}
	there := make(map[string]string)
	for _, family := range g.metrics() {
		there[family.GetName()] = strings.ToLower(family.GetType().String())
		if labels := family.GetMetric()[0].GetLabel(); len(labels) != 1 || labels[0].GetName() != "inbox" {
			t.Errorf("%s has the labels %v", family.GetName(), labels)
		}
	}
	if !maps.Equal(documented, there) {
		t.Errorf("docs/inbox.md has\n%v\nthere are\n%v", documented, there)
	}
	if problems, err := promlint.NewWithMetricFamilies(g.metrics()).Lint(); err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}
