package inbox_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// startUI runs a site with an inbox, and its page below /inbox behind basic_auth.
func startUI(t testing.TB, b *backend, options string) *gateway {
	t.Helper()
	return startSite(t, shortTempDir(t), b, webhookWith(options)+pageAt("/inbox", basicAuth))
}

// webhookWith returns an endpoint with an inbox, on SQLite unless the options say
// otherwise.
func webhookWith(options string) string {
	if !strings.Contains(options, "database ") {
		options += "\ndatabase sqlite://{dir}/inbox.db"
	}
	return `handle /hook* {
		klink_webhook {
			hmac ` + secret + `
		}
		klink_inbox {
			name {name}
			` + options + `
			deliver {
				reverse_proxy {backend}
			}
		}
	}
	`
}

func pageAt(path, before string) string {
	return `route ` + path + `* {
		` + before + `
		klink_inbox_ui ` + path + ` {
			inbox {name}
		}
	}
	`
}

// operate makes a request as an operator's browser makes it.
func (g *gateway) operate(method, path, body string) reply {
	g.t.Helper()
	return g.send(g.operator(method, path, body))
}

func (g *gateway) operator(method, path, body string) *http.Request {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, site+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.SetBasicAuth("operator", "open sesame")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return r
}

// job is what the page is told of an event.
type job struct {
	ID       int64  `json:"id"`
	Args     string `json:"args"`
	State    string `json:"state"`
	Attempt  int    `json:"attempt"`
	Finished string `json:"finalized_at"`
}

// jobs returns the events in one of River's states.
func (g *gateway) jobs(state string) []job {
	g.t.Helper()
	var list struct {
		Data []job `json:"data"`
	}
	got := g.operate(http.MethodGet, "/inbox/api/jobs?limit=100&state="+state, "")
	if err := json.Unmarshal([]byte(got.body), &list); err != nil {
		g.t.Fatalf("%v in the answer %+v", err, got)
	}
	return list.Data
}

// one waits for an event that is the only one in a state.
func (g *gateway) one(state string) job {
	g.t.Helper()
	wait(g.t, "one event is "+state, func() bool { return len(g.jobs(state)) == 1 })
	return g.jobs(state)[0]
}

// act does something to an event, and returns how that was answered.
func (g *gateway) act(action string, id int64) reply {
	g.t.Helper()
	return g.operate(http.MethodPost, "/inbox/api/jobs/"+action, fmt.Sprintf(`{"ids":["%d"]}`, id))
}

func (g *gateway) acts(action string, id int64) {
	g.t.Helper()
	if got := g.act(action, id); got.status != http.StatusOK || got.body != `{"status":"ok"}`+"\n" {
		g.t.Fatalf("%s is answered %d %s", action, got.status, got.body)
	}
}

// TestUIServesThePage holds that the page is there below its path, and only for
// whom may see it.
func TestUIServesThePage(t *testing.T) {
	t.Parallel()
	g := startUI(t, newBackend(t), "")
	index := g.operate(http.MethodGet, "/inbox/", "")
	if index.status != http.StatusOK || !strings.Contains(index.body, `"apiUrl":"/inbox/api"`) {
		t.Fatalf("answered %d %s", index.status, index.body)
	}
	_, asset, _ := strings.Cut(index.body, `<script type="module" src="`)
	asset, _, _ = strings.Cut(asset, `"`)
	for _, test := range []struct {
		name, path, want string
		status           int
	}{
		{"without a slash, and then redirected", "/inbox", `"base":"/inbox"`, http.StatusOK},
		{"deep", "/inbox/jobs/7", `"base":"/inbox"`, http.StatusOK},
		{"script", asset, "react", http.StatusOK},
		{"API", "/inbox/api/queues", `"data"`, http.StatusOK},
		{"no such thing of the API", "/inbox/api", "", http.StatusNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := g.operate(http.MethodGet, test.path, "")
			if got.status != test.status || !strings.Contains(got.body, test.want) {
				t.Errorf("%s is answered %d %.200s", test.path, got.status, got.body)
			}
			checkSecured(t, got.header)
		})
	}
	t.Run("without a password", func(t *testing.T) {
		t.Parallel()
		r := g.operator(http.MethodGet, "/inbox/api/queues", "")
		r.Header.Del("Authorization")
		if got := g.send(r); got.status != http.StatusUnauthorized || strings.Contains(got.body, "data") {
			t.Errorf("answered %+v", got)
		}
	})
}

func checkSecured(t *testing.T, header http.Header) {
	t.Helper()
	if csp := header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "script-src 'self';") {
		t.Errorf("Content-Security-Policy: %q", csp)
	}
	for name, want := range map[string]string{
		"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
	} {
		if header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, header.Get(name), want)
		}
	}
	if c := header.Get("Cache-Control"); c != "no-store" && !strings.HasPrefix(c, "private") {
		t.Errorf("Cache-Control: %q", c)
	}
}

// TestUIPaths holds that the page is where browsers see it, whatever was rewritten
// before, and leaves other paths alone.
func TestUIPaths(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		site, path, want string
		status           int
	}{
		"handle_path":          {"handle_path /inbox/* {\n" + basicAuth + "\nklink_inbox_ui /inbox {\ninbox {name}\n}\n}", "/inbox/jobs", `"base":"/inbox"`, 200},
		"uri strip_prefix":     {basicAuth + "\nuri strip_prefix /inbox\nklink_inbox_ui /inbox {\ninbox {name}\n}", "/inbox/jobs", `"base":"/inbox"`, 200},
		"an asterisk too many": {basicAuth + "\nklink_inbox_ui /inbox/* {\ninbox {name}\n}", "/inbox/jobs", `"base":"/inbox"`, 200},
		"the site's root":      {"route {\n" + basicAuth + "\nklink_inbox_ui {\ninbox {name}\n}\n}", "/jobs", `"base":""`, 200},
		"a named matcher":      {basicAuth + "\n@jobs path /jobs\nklink_inbox_ui @jobs {\ninbox {name}\n}\nrespond other", "/elsewhere", `other`, 200},
		"another path":         {basicAuth + "\nklink_inbox_ui /inbox {\ninbox {name}\n}\nreverse_proxy {backend}", "/inboxes", `backend`, 200},
		"a path forgotten":     {"handle /inbox/* {\n" + basicAuth + "\nklink_inbox_ui {\ninbox {name}\n}\n}", "/inbox/", `write klink_inbox_ui /inbox`, 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			b.does(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "backend") })
			g := startSite(t, shortTempDir(t), b, webhookWith("")+test.site)
			if got := g.operate(http.MethodGet, test.path, ""); got.status != test.status || !strings.Contains(got.body, test.want) {
				t.Errorf("answered %d %s, want %d %s", got.status, got.body, test.status, test.want)
			}
		})
	}
}

// TestUINeedsAuthenticatedRequest holds that a page with an authenticating
// directive before it shows nothing to whom that directive did not look at.
func TestUINeedsAuthenticatedRequest(t *testing.T) {
	t.Parallel()
	verify := newBackend(t) // which lets everybody in
	verify.does(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Pass", "yes") })
	for name, test := range map[string]struct {
		before string
		path   string
		host   string
		status int
	}{
		"basic_auth":                            {basicAuth, "/inbox/", "ops.example.com", 200},
		"basic_auth that covers another path":   {strings.Replace(basicAuth, "{", "/admin/* {", 1), "/inbox/", "ops.example.com", 403},
		"forward_auth":                          {"forward_auth " + verify.address + " {\nuri /verify\n}", "/inbox/", "ops.example.com", 200},
		"forward_auth that covers another path": {"forward_auth /admin/* " + verify.address + " {\nuri /verify\n}", "/inbox/", "ops.example.com", 403},
		"another server's answer that passes on": {strings.Replace(basicAuth, "{", "/admin/* {", 1) + `
			reverse_proxy ` + verify.address + ` {
				@pass header X-Pass *
				handle_response @pass {
					vars passed yes
				}
			}`, "/inbox/", "ops.example.com", 403},
		"a local site by the name of the machine": {"", "/inbox/", "localhost:8080", 200},
		"a local site by its address":             {"", "/inbox/", "127.0.0.1:8080", 200},
		"a local site by its IPv6 address":        {"", "/inbox/", "[::1]:8080", 200},
		"a local site by another name":            {"", "/inbox/", "rebound.example.com", 403},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := startSite(t, shortTempDir(t), newBackend(t), webhookWith("")+"route {\n"+pageAt("/inbox", test.before)+"}")
			r := g.operator(http.MethodGet, test.path, "")
			r.Host = test.host
			got := g.send(r)
			if got.status != test.status {
				t.Errorf("answered %d %s, want %d", got.status, got.body, test.status)
			}
			if test.status == http.StatusForbidden && !strings.Contains(g.log(), "page refused") {
				t.Error("the log does not say so")
			}
		})
	}
}

// TestUIRefusesOtherSites holds that no page of another site can do anything
// through an operator's browser.
func TestUIRefusesOtherSites(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	b.status(http.StatusBadRequest)
	g := startUI(t, b, "")
	g.deliver(event("contact.create", "1"))
	id := g.one("discarded").ID
	for name, header := range map[string]http.Header{
		"cross-site":       {"Sec-Fetch-Site": {"cross-site"}},
		"same site":        {"Sec-Fetch-Site": {"same-site"}},
		"an older browser": {"Origin": {"http://evil.example.com"}},
		"a sandboxed one":  {"Origin": {"null"}},
	} {
		for _, c := range []struct{ method, path string }{
			{http.MethodPost, "/inbox/api/jobs/retry"},
			{http.MethodPost, "/inbox/api/jobs/cancel"},
			{http.MethodPost, "/inbox/api/jobs/delete"},
			{http.MethodPut, "/inbox/api/queues/" + g.name + "/pause"},
		} {
			r := g.operator(c.method, c.path, fmt.Sprintf(`{"ids":["%d"]}`, id))
			r.Header.Del("Sec-Fetch-Site")
			for key := range header {
				r.Header.Set(key, header.Get(key))
			}
			if got := g.send(r); got.status != http.StatusForbidden {
				t.Errorf("%s, %s: answered %d %s", name, c.path, got.status, got.body)
			}
		}
	}
	if got := g.one("discarded"); got.ID != id {
		t.Errorf("the event is now %+v", got)
	}
}

// TestUIRefusesWhatInboxesDoNotKnow holds that the page can do nothing to River
// but what has a meaning for an inbox.
func TestUIRefusesWhatInboxesDoNotKnow(t *testing.T) {
	t.Parallel()
	g := startUI(t, newBackend(t), "")
	queue := "/inbox/api/queues/" + g.name
	for _, c := range []struct{ method, path string }{
		{http.MethodPatch, queue},
		{http.MethodPut, queue},
		{http.MethodPut, queue + "/drop"},
		{http.MethodPut, "/inbox/api/queues/../pause"},
		{http.MethodDelete, "/inbox/api/jobs/1"},
		{http.MethodPost, "/inbox/api/jobs"},
		{http.MethodPost, "/inbox/api/jobs/retry/"},
		{http.MethodPost, "/inbox//api/jobs/retry"},
		{http.MethodPost, "/inbox/"},
	} {
		if got := g.operate(c.method, c.path, `{"ids":["1"]}`); got.status != http.StatusMethodNotAllowed && got.status != http.StatusNotFound {
			t.Errorf("%s %s is answered %d %s", c.method, c.path, got.status, got.body)
		}
	}
	for body, status := range map[string]int{
		`{"ids":["1"]}`:   404,
		`{"ids":[]}`:      400,
		`{"ids":["one"]}`: 400,
		`{`:               400,
		`{"ids":[1` + strings.Repeat(",1", 1000) + `]}`: 400,
		strings.Repeat(" ", 1<<17):                      400,
	} {
		if got := g.operate(http.MethodPost, "/inbox/api/jobs/retry", body); got.status != status || !strings.Contains(got.body, `"message"`) {
			t.Errorf("%.50s is answered %d %s", body, got.status, got.body)
		}
	}
}

// TestUIShowsNoContent holds that whatever the page can be told of an event holds
// neither its body nor a header of it nor a secret.
func TestUIShowsNoContent(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := startUI(t, b, "retry 1h")
	signatures := make([]string, 0, 3)
	for i, status := range []int{http.StatusBadRequest, http.StatusInternalServerError} {
		b.does(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Answer", "in-an-answer's-header")
			w.WriteHeader(status)
			fmt.Fprint(w, "in-an-answer")
		})
		r := signed(t, "/hook", event("contact.create", fmt.Sprintf("in-the-body-%d", i)))
		r.Header.Set("X-Private", "in-a-header")
		r.Header.Set("Cookie", "session=in-a-cookie")
		signatures = append(signatures, r.Header.Get("X-Signature"))
		if got := g.send(r); got.status != http.StatusOK {
			t.Fatalf("answered %+v", got)
		}
	}
	dead, waiting := g.one("discarded"), g.one("scheduled")
	everything := g.everything(dead.ID, waiting.ID)
	for _, there := range []string{"contact.create", "status 400", "status 500", `\"size\"`} {
		if !strings.Contains(everything, there) {
			t.Errorf("%s is nowhere: is this all that the page shows?", there)
		}
	}
	for _, secretive := range append(signatures, secret, "in-the-body", "in-a-header", "in-a-cookie", "in-an-answer", "X-Private", "X-Signature", "open sesame") {
		if strings.Contains(everything, secretive) {
			t.Errorf("%s is shown", secretive)
		}
	}
}

// everything returns all that River's API can be asked for.
func (g *gateway) everything(ids ...int64) string {
	g.t.Helper()
	paths := []string{
		"/", "/api/queues", "/api/queues/" + g.name, "/api/states", "/api/features", "/api/version",
		"/api/health-checks/complete", "/api/autocomplete?facet=job_kind", "/api/autocomplete?facet=queue_name",
	}
	for _, state := range []string{"available", "cancelled", "completed", "discarded", "pending", "retryable", "running", "scheduled"} {
		paths = append(paths, "/api/jobs?limit=100&state="+state)
	}
	for _, id := range ids {
		paths = append(paths, fmt.Sprintf("/api/jobs/%d", id))
	}
	var all strings.Builder
	for _, path := range paths {
		got := g.operate(http.MethodGet, "/inbox"+path, "")
		if got.status != http.StatusOK {
			g.t.Errorf("%s is answered %d %s", path, got.status, got.body)
		}
		all.WriteString(got.body)
		fmt.Fprintln(&all, got.header)
	}
	return all.String()
}
