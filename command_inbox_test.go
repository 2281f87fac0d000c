package klink

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeAdmin is an admin endpoint that gives these answers one after the other. It
// returns its address, and the requests that it got.
func fakeAdmin(t *testing.T, answers ...string) (address string, requests *[]string) {
	t.Helper()
	requests = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*requests = append(*requests, r.Method+" "+r.RequestURI)
		if len(answers) == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, `{"error":"the database is away"}`)
			return
		}
		io.WriteString(w, answers[0])
		answers = answers[1:]
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), requests
}

func TestManyEventsAreListedPageByPage(t *testing.T) {
	page := func(n int, after string) string {
		return `{"events":[` + strings.TrimSuffix(strings.Repeat(`{"id":1},`, n), ",") + `]` + after + `}`
	}
	for name, tt := range map[string]struct {
		limit    int
		answers  []string
		requests []string
		events   int
		more     bool
	}{
		"fewer than wanted": {20, []string{page(3, "")}, []string{"limit=20"}, 3, false},
		"as many as wanted": {20, []string{page(20, `,"after":31`)}, []string{"limit=20"}, 20, true},
		"several pages": {
			1500, []string{page(1000, `,"after":1007`), page(200, "")}, []string{"limit=1000", "after=1007&limit=500"}, 1200, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			address, requests := fakeAdmin(t, tt.answers...)
			l := &inboxListing{inboxFlags: inboxFlags{address: address}, filter: inboxFilter{limit: tt.limit}}
			in := listedInbox{inboxStatus: inboxStatus{Name: "orders"}}
			if err := l.fill(t.Context(), &in); err != nil {
				t.Fatal(err)
			}
			if len(in.Events) != tt.events || in.More != tt.more {
				t.Errorf("%d events, more: %t", len(in.Events), in.More)
			}
			for i, want := range tt.requests {
				if want = "GET /klink/inbox/orders/events?" + want; i >= len(*requests) || (*requests)[i] != want {
					t.Errorf("the requests are %v, want %s", *requests, want)
				}
			}
		})
	}
}

func TestManyEventsAreChangedPageByPage(t *testing.T) {
	for name, tt := range map[string]struct {
		limit         int
		answers       []string
		requests      []string
		done, skipped int
		fails         string
	}{
		"one page":      {0, []string{`{"done":7,"skipped":1}`}, []string{"limit=1000&state=dead"}, 7, 1, ""},
		"several pages": {0, []string{`{"done":990,"skipped":10,"after":1003}`, `{"done":5}`}, []string{"limit=1000&state=dead", "after=1003&limit=1000&state=dead"}, 995, 10, ""},
		"up to a limit": {
			1200,
			[]string{`{"done":600,"skipped":1,"after":9}`, `{"done":599,"after":20}`},
			[]string{"limit=1000&state=dead", "after=9&limit=599&state=dead"},
			1199, 1, "",
		},
		"as far as it goes": {0, []string{`{"done":600,"after":9}`}, []string{"limit=1000&state=dead", "after=9&limit=1000&state=dead"}, 600, 0, "the database is away"},
	} {
		t.Run(name, func(t *testing.T) {
			address, requests := fakeAdmin(t, tt.answers...)
			c := &inboxChange{
				inboxFlags: inboxFlags{address: address}, verb: "retry",
				filter: inboxFilter{states: []string{"dead"}, limit: tt.limit},
			}
			result := inboxChanged{Inbox: "orders"}
			if err := c.changeAll(t.Context(), &result); err == nil != (tt.fails == "") || err != nil && err.Error() != tt.fails {
				t.Errorf("the error is %v, want %q", err, tt.fails)
			}
			if result.Done != tt.done || result.Skipped != tt.skipped {
				t.Errorf("%+v", result)
			}
			var want []string
			for _, query := range tt.requests {
				want = append(want, "POST /klink/inbox/orders/retry?"+query)
			}
			if !slices.Equal(*requests, want) {
				t.Errorf("the requests are %v, want %v", *requests, want)
			}
		})
	}
}

// TestInboxTable holds every column of the table, in 80 columns.
func TestInboxTable(t *testing.T) {
	now := time.Now()
	failed := &inboxFailure{Detail: "status 503: \x1b[2J" + strings.Repeat("and so on ", 10)}
	listed := []listedInbox{
		{
			inboxStatus: inboxStatus{
				Name: "orders", Mode: "rescue", Waiting: 70_000, Dead: 10_001, Bytes: 900 << 20,
				MaxStored: 100_000, MaxStoredBytes: 1 << 30, OldestSeconds: 26 * 3600,
			},
			Events: []inboxEvent{
				{ID: 7, State: "waiting", Event: "contact.create", Received: now.Add(-26 * time.Hour), Attempts: 41, Next: now.Add(59*time.Minute + 500*time.Millisecond), LastFailure: failed},
				{ID: 1234567890, State: "delivering", Event: "a.name.that.is.too.long.for.its.column", Received: now.Add(-time.Second), Attempts: 1},
				{ID: 9, State: "waiting", Received: now, Next: now.Add(-time.Second)},
				{ID: 10, State: "delivered", Event: "contact.create", Received: now, LastFailure: failed},
			},
			More: true,
		},
		{inboxStatus: inboxStatus{Name: "quiet", Mode: "store", BackendUp: true, MaxStored: 10, MaxStoredBytes: 1 << 30, Waiting: 8}},
	}
	var out strings.Builder
	if err := printInboxes(&out, listed, now); err != nil {
		t.Fatal(err)
	}
	want := `INBOX                 MODE    BACKEND    WAITING       DEAD       SIZE    OLDEST
orders                rescue  down         70000      10001    900 MiB      1d2h
  ! nearly full: 80001 of 100000 events, 900 MiB of 1.0 GiB; once it is,
    deliveries are refused
quiet                 store   up               8          0        0 B         -

orders:
        ID  STATE       EVENT                            AGE  ATTEMPTS      NEXT
         7  waiting     contact.create                  1d2h        41       59m
  status 503: \x1b[2Jand so on and so on and so on and so on and so on and so on
    and so on and so on and so on and so on
1234567890  delivering  a.name.that.is.too.long.f…        1s         1         -
         9  waiting     -                                 0s         0       now
        10  delivered   contact.create                    0s         0         -
There may be more: --limit 8 shows them.
`
	if out.String() != want {
		t.Errorf("the table is\n%s\nwant\n%s", &out, want)
	}
}

func TestNearlyFull(t *testing.T) {
	for _, tt := range []struct {
		waiting, dead, bytes int64
		warns                bool
	}{
		{80, 0, 0, false},
		{0, 80, 800, false},
		{41, 40, 0, true},
		{0, 0, 801, true},
	} {
		s := inboxStatus{Waiting: tt.waiting, Dead: tt.dead, Bytes: tt.bytes, MaxStored: 100, MaxStoredBytes: 1000}
		var out strings.Builder
		s.print(&out)
		if got := strings.Contains(out.String(), "! nearly full"); got != tt.warns {
			t.Errorf("%+v: it warns: %t", tt, got)
		}
	}
}

func TestAWholeEventIsPrinted(t *testing.T) {
	now := time.Now()
	body := func(text, encoding string) *inboxRequest {
		return &inboxRequest{
			Method: "POST", Host: "example.com", Path: "/hook", QueryNames: []string{"a", "b"}, HeaderNames: []string{"X-A", "X-B"},
			Body: &text, BodyEncoding: encoding,
		}
	}
	e := wholeInboxEvent{
		inboxEvent: inboxEvent{ID: 7, Key: "0a", State: "waiting", Endpoint: "hooks", Received: now, Next: now.Add(time.Minute + time.Second/2), Size: 2048, Attempts: 2},
		Failures:   []inboxFailure{{now.Add(-5 * time.Minute), 1, "status 500"}, {now.Add(-time.Minute), 2, "status 503"}},
	}
	for name, tt := range map[string]struct {
		request *inboxRequest
		says    []string
	}{
		"what was sent is gone": {nil, []string{"\n  request: not kept any more\n", "  attempt 1, 5m ago: status 500\n  attempt 2, 1m ago: status 503\n", "\n  next attempt: 1m\n"}},
		"a text":                {body("{\"a\":\n\t\"\x1b[2J\"}\n", "text"), []string{"  request: POST example.com/hook?a=…&b=…\n  headers: X-A, X-B\n", "\n\n{\"a\":\n\\x09\"\\x1b[2J\"}\n"}},
		"bytes":                 {body("/wAg", "base64"), []string{"\n\n\\xff\\x00 \n"}},
		"no body":               {&inboxRequest{Method: "POST"}, []string{"request: POST\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			e.Request = tt.request
			var out strings.Builder
			if err := (&inboxShowing{body: true}).print(&out, &e, "orders", now); err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(out.String(), "Event 7 of the inbox orders is waiting.\n  endpoint: hooks\n") {
				t.Errorf("it begins with\n%s", &out)
			}
			for _, want := range tt.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("it does not say %q but\n%s", want, &out)
				}
			}
		})
	}
}
