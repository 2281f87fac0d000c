package inbox_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
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

// eventsOf lists events of an inbox.
func eventsOf(t testing.TB, name, filter string) page {
	t.Helper()
	return get[page](t, "/klink/inbox/"+name+"/events?"+filter)
}

// fickle is a backend of which the answer can be changed.
type fickle struct {
	address string
	status  atomic.Int32
	got     atomic.Int32
}

func startFickle(t testing.TB, status int) *fickle {
	t.Helper()
	f := new(fickle)
	f.status.Store(int32(status))
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.address = server.Listener.Addr().String()
	return f
}

func (f *fickle) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	f.got.Add(1)
	w.WriteHeader(int(f.status.Load()))
}

func event(name string, n int) string {
	return fmt.Sprintf(`{"event":%q,"data":{"n":%d,"phone":"+62 812"}}`, name, n)
}

// rejecting is a site of which the backend has rejected events, of these names in
// this order.
func rejecting(t testing.TB, name string, events ...string) (*adminSite, *fickle) {
	t.Helper()
	backend := startFickle(t, http.StatusUnprocessableEntity)
	s := startSite(t, `klink_inbox {
		name `+name+`
		database sqlite://{dir}/inbox.db
		deliver {
			reverse_proxy `+backend.address+`
		}
	}`)
	for i, eventName := range events {
		if status := s.deliver(t, event(eventName, i)); status != http.StatusOK {
			t.Fatalf("a rejected event is answered %d", status)
		}
	}
	return s, backend
}

func TestInboxesAreListed(t *testing.T) {
	rejecting(t, "seen-b", "contact.create")
	rejecting(t, "seen-a")
	eventually(t, func() bool { return get[inboxSeen](t, "/klink/inbox/seen-b").Dead == 1 })
	list := get[struct{ Inboxes []inboxSeen }](t, "/klink/inbox").Inboxes
	if len(list) != 2 || list[0].Name != "seen-a" || list[1].Name != "seen-b" {
		t.Fatalf("the inboxes are %+v, want seen-a and seen-b", list)
	}
	b := list[1]
	if b.Mode != "rescue" || b.Database != "sqlite" || !b.BackendUp || b.Waiting != 0 || b.Bytes < int64(len(event("contact.create", 0))) ||
		b.MaxStored != 100_000 || b.MaxStoredBytes != 1<<30 || b.OldestSeconds != 0 {
		t.Errorf("the inbox is %+v", b)
	}
	if want := (map[string]int64{"stored": 1, "dead": 1, "rescued": 1, "delivered": 0, "deduplicated": 0}); fmt.Sprint(b.Counters) != fmt.Sprint(want) {
		t.Errorf("the counters are %v, want %v", b.Counters, want)
	}
}

func TestEventsAreFiltered(t *testing.T) {
	s, backend := rejecting(t, "filtered", "contact.create", "message.inbound", "contact.create", "contact.update")
	backend.status.Store(http.StatusOK)
	s.deliver(t, event("passed.through", 9))
	for filter, want := range map[string]string{
		"":                                  "contact.create message.inbound contact.create contact.update",
		"state=dead":                        "contact.create message.inbound contact.create contact.update",
		"state=waiting":                     "",
		"state=waiting&state=dead":          "contact.create message.inbound contact.create contact.update",
		"event=contact.create":              "contact.create contact.create",
		"event=contact":                     "",
		"state=dead&event=message.inbound":  "message.inbound",
		"older_than=1h":                     "",
		"older_than=1ms":                    "contact.create message.inbound contact.create contact.update",
		"order=desc&limit=2":                "contact.update contact.create",
		"order=asc&limit=2":                 "contact.create message.inbound",
		"limit=2&after=2":                   "contact.create contact.update",
		"limit=2&after=3&order=desc":        "message.inbound contact.create",
		"event=contact.create&after=1":      "contact.create",
		"event=%27%20OR%201%3D1&state=dead": "",
	} {
		if got := strings.Join(eventsOf(t, "filtered", filter).names(), " "); got != want {
			t.Errorf("%q: %q, want %q", filter, got, want)
		}
	}
	if first := eventsOf(t, "filtered", "limit=3"); first.After != 3 {
		t.Errorf("a full page ends with %d, want 3", first.After)
	}
	if rest := eventsOf(t, "filtered", "limit=3&after=3"); rest.After != 0 || len(rest.Events) != 1 {
		t.Errorf("the last page is %+v", rest)
	}
}

func TestAnEventIsShown(t *testing.T) {
	const name = "shown"
	began := time.Now().Add(-time.Second)
	s, backend := rejecting(t, name, "contact.create")
	listed := eventsOf(t, name, "").Events[0]
	shown := get[eventSeen](t, fmt.Sprintf("/klink/inbox/%s/events/%d", name, listed.ID))
	for _, e := range []eventSeen{listed, shown} {
		if e.State != "dead" || e.Endpoint != s.endpoint || e.Event != "contact.create" || len(e.Key) != 32 ||
			e.Size <= int64(len(event("contact.create", 0))) || e.Attempts != 1 || !e.Next.IsZero() || e.Ended.Before(began) || e.Received.Before(began) {
			t.Errorf("the event is %+v", e)
		}
		if e.LastFailure == nil || e.LastFailure.Detail != "status 422" || e.LastFailure.Attempt != 1 || e.LastFailure.Time.Before(began) {
			t.Errorf("the last failure is %+v", e.LastFailure)
		}
	}
	if len(listed.Failures) != 0 || listed.Request != nil || len(shown.Failures) != 1 || shown.Failures[0] != *shown.LastFailure {
		t.Errorf("listed %+v, shown %+v", listed, shown)
	}
	r := shown.Request
	if r == nil || r.Method != "POST" || r.Host != "hooks.example.com" || r.Path != "/hook%2F1" || !slices.Equal(r.QueryNames, []string{"key"}) ||
		!slices.Contains(r.HeaderNames, "X-Signature") || !slices.IsSorted(r.HeaderNames) || r.Body != nil || r.BodyEncoding != "" {
		t.Errorf("the request is %+v", r)
	}

	backend.status.Store(http.StatusNoContent)
	target := fmt.Sprintf("/klink/inbox/%s/events/%d", name, listed.ID)
	if c := post[changes](t, target+"/retry"); c != (changes{Done: 1}) {
		t.Errorf("retry: %+v", c)
	}
	eventually(t, func() bool { return get[eventSeen](t, target).State == "delivered" })
	eventually(t, func() bool { return get[eventSeen](t, target+"?body=true").Request == nil }) // what was sent is not kept
	if a := ask(t, http.MethodPost, target+"/retry"); a.status != http.StatusConflict {
		t.Errorf("retry of a delivered event: %d %s", a.status, a.text)
	}
}

func TestBodiesAreShownOnlyIfAskedFor(t *testing.T) {
	const name = "bodies"
	s, _ := rejecting(t, name)
	binary := "\xff\x00 not text"
	text := "{\"event\":\"contact.create\",\"text\":\"<Zo\u00eb> & \\u0000\"}"
	if s.deliver(t, text) != http.StatusOK || s.deliverAs(t, "/token", binary) != http.StatusOK {
		t.Fatal("not stored")
	}
	for i, want := range []struct{ encoding, body string }{{"text", text}, {"base64", "/wAgbm90IHRleHQ="}} {
		target := fmt.Sprintf("/klink/inbox/%s/events/%d", name, eventsOf(t, name, "").Events[i].ID)
		for _, query := range []string{"", "?body=false"} {
			if r := get[eventSeen](t, target+query).Request; r.Body != nil || r.BodyEncoding != "" {
				t.Errorf("%s: the body is there without having been asked for: %s", query, *r.Body)
			}
		}
		if r := get[eventSeen](t, target+"?body=true").Request; r.Body == nil || *r.Body != want.body || r.BodyEncoding != want.encoding {
			t.Errorf("the body is %+v, want %+v", r, want)
		}
	}
}

// TestNothingSecretIsShown asks for everything there is, and looks into the log.
func TestNothingSecretIsShown(t *testing.T) {
	const name = "discreet"
	s, _ := rejecting(t, name, "contact.create", "contact.update")
	target := "/klink/inbox/" + name + "/events"
	said := ask(t, http.MethodGet, "/klink/inbox").text + ask(t, http.MethodGet, target).text
	for _, e := range eventsOf(t, name, "").Events {
		said += ask(t, http.MethodGet, fmt.Sprintf("%s/%d", target, e.ID)).text
	}
	said += ask(t, http.MethodPost, fmt.Sprintf("%s/%d/retry", target, eventsOf(t, name, "").Events[0].ID)).text
	said += ask(t, http.MethodPost, "/klink/inbox/"+name+"/discard?state=dead").text
	said += s.log(t)
	if !strings.Contains(said, "X-Signature") || !strings.Contains(said, "an operator has discarded") {
		t.Fatalf("that is not all:\n%s", said)
	}
	for _, secret := range []string{testSecret, s.lastSignature, "query-secret", "application/json; charset", "phone", "+62", s.dir} {
		if strings.Contains(said, secret) {
			t.Errorf("%q is shown:\n%s", secret, said)
		}
	}
}

func TestManyAreChanged(t *testing.T) {
	const name = "many"
	s, backend := rejecting(t, name, "contact.create", "message.inbound", "contact.create", "contact.update")
	path := "/klink/inbox/" + name
	if c := post[changes](t, path+"/retry?state=waiting"); c != (changes{}) {
		t.Errorf("retry of those that wait: %+v", c)
	}
	if c := post[changes](t, path+"/discard?state=dead&older_than=1h"); c != (changes{}) {
		t.Errorf("discard of old ones: %+v", c)
	}
	backend.status.Store(http.StatusOK)
	if c := post[changes](t, path+"/retry?state=dead&event=contact.create&limit=1"); c != (changes{Done: 1, After: 1}) {
		t.Errorf("retry of the first: %+v", c)
	}
	if c := post[changes](t, path+"/retry?state=dead&event=contact.create&after=1"); c != (changes{Done: 1}) {
		t.Errorf("retry of the rest: %+v", c)
	}
	eventually(t, func() bool { return len(eventsOf(t, name, "state=delivered").Events) == 2 })
	if c := post[changes](t, path+"/discard?state=dead&state=waiting&event=message.inbound"); c != (changes{Done: 1}) {
		t.Errorf("discard: %+v", c)
	}
	if left := eventsOf(t, name, "state=dead").names(); !slices.Equal(left, []string{"contact.update"}) {
		t.Errorf("what is left is %v", left)
	}
	eventually(t, func() bool { b := get[inboxSeen](t, path); return b.Dead == 1 && b.Waiting == 0 })
	before := backend.got.Load()
	s.deliver(t, event("contact.update", 3)) // is stored, and known
	s.deliver(t, event("contact.create", 0)) // was delivered, and is known
	if now := backend.got.Load(); now != before {
		t.Errorf("events that are known went to the backend: %d", now-before)
	}
	s.deliver(t, event("message.inbound", 1)) // was discarded
	if now := backend.got.Load(); now != before+1 {
		t.Errorf("an event that was discarded came anew and went to the backend %d times", now-before)
	}
}

func TestADiscardedEventCanComeAnew(t *testing.T) {
	const name = "anew"
	s, backend := rejecting(t, name, "contact.create")
	target := fmt.Sprintf("/klink/inbox/%s/events/%d", name, eventsOf(t, name, "").Events[0].ID)
	if c := post[changes](t, target+"/discard"); c != (changes{Done: 1}) {
		t.Errorf("discard: %+v", c)
	}
	if a := ask(t, http.MethodGet, target); a.status != http.StatusNotFound {
		t.Errorf("it is there still: %s", a.text)
	}
	if s.deliver(t, event("contact.create", 0)); backend.got.Load() != 2 {
		t.Errorf("the backend got it %d times, want 2", backend.got.Load())
	}
}

func TestAnEventUnderWayIsLeftAlone(t *testing.T) {
	const name = "underway"
	goOn := make(chan struct{})
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-goOn }))
	t.Cleanup(backend.Close)
	s := startSite(t, `klink_inbox {
		name `+name+`
		database sqlite://{dir}/inbox.db
		deadline 50ms
		deliver {
			reverse_proxy `+backend.Listener.Addr().String()+`
		}
	}`)
	if status := s.deliver(t, event("contact.create", 0)); status != http.StatusOK {
		t.Errorf("answered %d", status)
	}
	target := fmt.Sprintf("/klink/inbox/%s/events/%d", name, eventsOf(t, name, "").Events[0].ID)
	for _, what := range []string{"retry", "discard"} {
		if a := ask(t, http.MethodPost, target+"/"+what); a.status != http.StatusConflict || !strings.Contains(a.text, "being delivered") {
			t.Errorf("%s: %d %s", what, a.status, a.text)
		}
		if c := post[changes](t, "/klink/inbox/"+name+"/"+what+"?state=waiting"); c != (changes{Skipped: 1}) {
			t.Errorf("%s of many: %+v", what, c)
		}
	}
	close(goOn)
	eventually(t, func() bool { return get[eventSeen](t, target).State == "delivered" })
}

func TestABackendComesBack(t *testing.T) {
	const name = "back"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	s := startSite(t, `klink_inbox {
		name `+name+`
		database sqlite://{dir}/inbox.db
		retry 200ms
		deliver {
			reverse_proxy `+address+`
		}
	}`)
	if status := s.deliver(t, event("contact.create", 0)); status != http.StatusOK {
		t.Errorf("answered %d", status)
	}
	e := eventsOf(t, name, "state=waiting&state=delivering").Events[0]
	if e.LastFailure == nil || !strings.Contains(e.LastFailure.Detail, "connection refused") {
		t.Errorf("the last failure is %+v", e.LastFailure)
	}
	eventually(t, func() bool {
		seen := get[inboxSeen](t, "/klink/inbox/"+name)
		return !seen.BackendUp && seen.Waiting == 1 && seen.OldestSeconds > 0
	})
	if listener, err = net.Listen("tcp", address); err != nil {
		t.Skipf("somebody else has the address now: %v", err)
	}
	backend := &http.Server{Handler: new(okay)}
	t.Cleanup(func() { backend.Close() })
	go backend.Serve(listener)
	eventually(t, func() bool {
		seen := get[inboxSeen](t, "/klink/inbox/"+name)
		return seen.BackendUp && seen.Waiting == 0 && seen.Counters["delivered"] == 1
	})
}

type okay struct{}

func (*okay) ServeHTTP(http.ResponseWriter, *http.Request) {}

func TestAdminRefusals(t *testing.T) {
	const name = "strict"
	rejecting(t, name, "contact.create")
	for _, tt := range []struct {
		method, target string
		status         int
		says           string
	}{
		{"GET", "", 200, `"name":"strict"`},
		{"GET", "/events", 200, `"state":"dead"`},
		{"POST", "", 405, "only GET"},
		{"POST", "/events", 405, "only GET"},
		{"POST", "/events/1", 405, "only GET"},
		{"DELETE", "/events/1", 405, "only GET"},
		{"GET", "/events/1/retry", 405, "only POST"},
		{"GET", "/events/1/discard", 405, "only POST"},
		{"GET", "/retry?state=dead", 405, "only POST"},
		{"GET", "/discard?state=dead", 405, "only POST"},
		{"GET", "/other", 404, "there is no /klink/inbox/strict/other"},
		{"POST", "/events/1/forget", 404, "there is no "},
		{"GET", "/events/99", 404, "there is no event 99 in the inbox strict"},
		{"GET", "/events/first", 404, `there is no event "first"`},
		{"POST", "/events/99/retry", 404, "there is no event 99"},
		{"POST", "/events/99/discard", 404, "there is no event 99"},
		{"GET", "?name=strict", 400, "name: there are no parameters here"},
		{"GET", "/events?status=dead", 400, "status: there is no such parameter; there are state, event"},
		{"GET", "/events?state=deaf", 400, `state: there is no "deaf"; there are waiting, delivering, delivered, dead, discarded`},
		{"GET", "/events?state=", 400, `state: there is no ""`},
		{"GET", "/events?event=", 400, "event: write the name"},
		{"GET", "/events?event=a&event=b", 400, "event: write it once"},
		{"GET", "/events?older_than=10", 400, `older_than: "10" is no duration`},
		{"GET", "/events?older_than=-10m", 400, "older_than: "},
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
		a := ask(t, tt.method, "/klink/inbox/"+name+tt.target)
		if a.status != tt.status || !strings.Contains(a.text, tt.says) {
			t.Errorf("%s %s: %d %s, want %d %s", tt.method, tt.target, a.status, a.text, tt.status, tt.says)
		}
	}
	for _, tt := range []struct {
		method, target string
		status         int
	}{
		{"POST", "", 405}, {"POST", "/other", 405}, {"GET", "/other", 404}, {"GET", "/other/events", 404},
		{"GET", "/other/events/1", 404}, {"POST", "/other/retry?state=dead", 404}, {"POST", "/other/events/1/discard", 404},
		{"GET", "?state=dead", 400},
	} {
		if a := ask(t, tt.method, "/klink/inbox"+tt.target); a.status != tt.status {
			t.Errorf("%s %s: %d %s, want %d", tt.method, tt.target, a.status, a.text, tt.status)
		}
	}
	if dead := eventsOf(t, name, "state=dead").Events; len(dead) != 1 || dead[0].Attempts != 1 {
		t.Errorf("what was refused had an effect: %+v", dead)
	}
}

func TestADatabaseThatIsAway(t *testing.T) {
	const name = "away"
	startSite(t, `klink_inbox {
		name `+name+`
		database postgres://klink:pass-word@127.0.0.1:1/inbox?connect_timeout=1
		deliver {
			respond 200
		}
	}`)
	if seen := get[inboxSeen](t, "/klink/inbox/"+name); seen.Database != "postgres" {
		t.Errorf("the inbox is %+v", seen)
	}
	for target, method := range map[string]string{
		"/events": "GET", "/events/1": "GET", "/events/1/retry": "POST", "/events/1/discard": "POST",
		"/retry?state=dead": "POST", "/discard?state=dead": "POST",
	} {
		a := ask(t, method, "/klink/inbox/"+name+target)
		if a.status != http.StatusServiceUnavailable || a.text != "the inbox's database is not available: the log says why" {
			t.Errorf("%s %s: %d %s", method, target, a.status, a.text)
		}
	}
	if all := ask(t, http.MethodGet, "/klink/inbox").text; strings.Contains(all, "pass-word") || strings.Contains(all, "127.0.0.1") {
		t.Errorf("the database's URL is shown: %s", all)
	}
}

func TestAnInboxThatIsGoneIsNotThere(t *testing.T) {
	t.Run("there", func(t *testing.T) { rejecting(t, "gone", "contact.create") })
	for _, target := range []string{"gone", "gone/events", "gone/events/1"} {
		if a := ask(t, http.MethodGet, "/klink/inbox/"+url.PathEscape(target)); a.status != http.StatusNotFound {
			t.Errorf("%s: %d %s", target, a.status, a.text)
		}
	}
	if list := ask(t, http.MethodGet, "/klink/inbox").text; strings.TrimSpace(list) != `{"inboxes":[]}` {
		t.Errorf("the list is %s", list)
	}
}
