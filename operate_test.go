package klink_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	klink "github.com/klinkgate/caddy-klink"
	"github.com/klinkgate/caddy-klink/sender"
)

// statusOf asks the admin API for one endpoint.
func statusOf(t testing.TB, name string) klink.Status {
	t.Helper()
	info, err := caddy.GetModule("admin.api.klink")
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/klink/endpoints/"+name, nil)
	routes := info.New().(caddy.AdminRouter).Routes()
	if err := routes[1].Handler.ServeHTTP(rec, r); err != nil {
		t.Fatal(err)
	}
	var s klink.Status
	if err := json.Unmarshal(rec.Body.Bytes(), &s); err != nil {
		t.Fatal(err)
	}
	return s
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

// messages counts the lines of our log with a message.
func (s *server) messages(t testing.TB, msg string) (found []entry) {
	t.Helper()
	for _, e := range s.logs(t, ourLogger) {
		if e["msg"] == msg {
			found = append(found, e)
		}
	}
	return found
}

func TestObserveModeLetsThrough(t *testing.T) {
	t.Parallel()
	b := startBackend(t, nil)
	s := startCaddy(t, `
		klink_webhook {
			name observed
			mode observe
			max_body 1000
			hmac "`+testSecret+`"
		}
		reverse_proxy `+b.address)
	chunked := func(body string) *http.Request {
		r := signed(t, "/hook", testBody)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), -1
		return r
	}
	large := strings.Repeat("0123456789", 1000)
	tests := []struct {
		reason, body string
		request      *http.Request
	}{
		{"credential_missing", testBody, delivery(t, "/hook", testBody)},
		{"signature_mismatch", testBody + " ", func() *http.Request {
			r := signed(t, "/hook", testBody+" ")
			r.Header.Set("X-Signature", strings.Repeat("0", 64))
			return r
		}()},
		{"body_ambiguous", `{"a":1,"a":2}`, signed(t, "/hook", `{"a":1,"a":2}`)},
		{"body_malformed", `{"a":`, chunked(`{"a":`)},
		{"body_too_large", large, delivery2(t, large)},
		{"body_too_large", large, chunked(large)},
	}
	for _, test := range tests {
		if a := s.do(t, test.request); a.status != 200 {
			t.Errorf("%s: status %d", test.reason, a.status)
		}
		if got := b.one(t); got.body != test.body || got.err != nil {
			t.Errorf("%s: the backend got %d bytes (%v), want %d", test.reason, len(got.body), got.err, len(test.body))
		}
	}
	stranger := signed(t, "/hook", testBody)
	stranger.Header.Set("X-Forwarded-For", "192.0.2.1")
	if a := s.do(t, stranger); a.status != 403 {
		t.Errorf("a stranger got %d", a.status)
	}
	b.none(t)

	status := statusOf(t, "observed")
	if status.Mode != "observe" || status.Accepted != 0 || status.Refused["address_not_allowed"] != 1 ||
		status.Observed["body_too_large"] != 2 || status.Observed["signature_mismatch"] != 1 {
		t.Errorf("status %+v", status)
	}
	if status.ErrorBudget.Used != 0 {
		t.Errorf("%d errors are counted, though every answer to K-LINK was 200", status.ErrorBudget.Used)
	}
	if n := len(s.messages(t, "delivery would be refused")); n != len(tests) {
		t.Errorf("%d lines for %d deliveries", n, len(tests))
	}
	if n := len(s.messages(t, "observe mode: what does not pass is let through")); n != 1 {
		t.Errorf("%d warnings at the start", n)
	}
}

// delivery2 announces the body's length and holds a signature of another body.
func delivery2(t testing.TB, body string) *http.Request {
	r := delivery(t, "/hook", body)
	r.Header.Set("X-Signature", strings.Repeat("0", 64))
	return r
}

func TestErrorBudgetCountsWhatKLINKCounts(t *testing.T) {
	t.Parallel()
	status := 200
	b := startBackend(t, func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(status) })
	s := startCaddy(t, `
		klink_webhook {
			name budget
			error_budget {
				limit 10
			}
			hmac "`+testSecret+`"
		}
		reverse_proxy `+b.address)
	used := 0
	send := func(answer int, r *http.Request, counts bool) {
		t.Helper()
		status = answer
		s.do(t, r)
		if counts {
			used++
		}
		if got := statusOf(t, "budget").ErrorBudget; got.Used != used || got.Remaining != 10-used {
			t.Fatalf("used %d, remaining %d; want %d used", got.Used, got.Remaining, used)
		}
	}
	send(200, signed(t, "/", testBody), false)
	send(204, signed(t, "/", testBody), false) // answered as 200
	send(500, signed(t, "/", testBody), true)
	send(404, signed(t, "/", testBody), true)
	send(302, signed(t, "/", testBody), true)
	send(200, delivery(t, "/", testBody), true) // refused
	stranger := delivery(t, "/", testBody)
	stranger.Header.Set("X-Forwarded-For", "192.0.2.1")
	send(200, stranger, false)

	send(500, signed(t, "/", testBody), true) // half
	warnings := s.messages(t, "error budget: K-LINK switches the endpoint off beyond its limit")
	if len(warnings) != 1 || warnings[0]["level"] != "half" || warnings[0]["endpoint"] != "budget" {
		t.Errorf("warnings %v", warnings)
	}
	if events := s.logs(t, "events"); len(events) == 0 || events[len(events)-1]["name"] != "klink_error_budget" {
		t.Errorf("events %v", events)
	}
}

// TestHandleErrorsDoesNotHideAnError: what handle_errors makes of an answer comes
// after the gateway, which counts what it knows of. A budget that is used too
// soon is the smaller harm.
func TestHandleErrorsDoesNotHideAnError(t *testing.T) {
	t.Parallel()
	s := startCaddy(t, `
		klink_webhook {
			name error-hidden
			hmac "`+testSecret+`"
		}
		reverse_proxy unix//nowhere.sock
		handle_errors {
			respond "all is well" 200
		}`)
	for used, r := range []*http.Request{delivery(t, "/", testBody), signed(t, "/", testBody)} {
		if a := s.do(t, r); a.status != 200 || a.body != "all is well" {
			t.Errorf("answered %v", a)
		}
		if got := statusOf(t, "error-hidden").ErrorBudget.Used; got != used+1 {
			t.Errorf("used %d, want %d", got, used+1)
		}
	}
}

// TestACheckFromAnAllowedAddressCostsBudget: three errors, as docs/monitoring.md
// says; from elsewhere none.
func TestACheckFromAnAllowedAddressCostsBudget(t *testing.T) {
	t.Parallel()
	s := startCaddy(t, `
		klink_webhook /allowed {
			name checked
			allow 127.0.0.1
			hmac "`+testSecret+`"
		}
		klink_webhook /stranger {
			name checked-by-a-stranger
			hmac "`+testSecret+`"
		}`)
	proxy := &httputil.ReverseProxy{Transport: s.transport(), Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = "http", r.In.Host
		r.SetXForwarded()
	}}
	address := listen(t, proxy.ServeHTTP)
	for path, endpoint := range map[string]struct {
		name string
		used int
	}{"/allowed": {"checked", 3}, "/stranger": {"checked-by-a-stranger", 0}} {
		probe := sender.Probe{URL: "http://" + address + path}
		if err := probe.Run(t.Context(), func(sender.Step) {}); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if got := statusOf(t, endpoint.name); got.ErrorBudget.Used != endpoint.used || len(got.Refusals) != 3 {
			t.Errorf("%s: used %d, want %d; refusals %v", path, got.ErrorBudget.Used, endpoint.used, got.Refusals)
		}
	}
}

// TestABrokenOffAnswerCostsBudget: reverse_proxy panics then, to break off the
// sender's answer too.
func TestABrokenOffAnswerCostsBudget(t *testing.T) {
	t.Parallel()
	broken := rawBackend(t, func(conn net.Conn, _ *bufio.Reader, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nthe")
	})
	s := startCaddy(t, `
		klink_webhook /signed {
			name broken-off
			hmac "`+testSecret+`"
		}
		klink_webhook /streamed {
			name broken-off-stream
			header X-Token t
		}
		reverse_proxy `+broken)
	streamed := delivery(t, "/streamed", testBody)
	streamed.Header.Set("X-Token", "t")
	streamed.ContentLength = -1
	for name, r := range map[string]*http.Request{"broken-off": signed(t, "/signed", testBody), "broken-off-stream": streamed} {
		if a, err := s.try(r); err == nil {
			t.Errorf("%s: a whole answer, %v", name, a)
		}
		eventually(t, func() bool { return statusOf(t, name).ErrorBudget.Used == 1 })
		if accepted := statusOf(t, name).Accepted; accepted != 1 {
			t.Errorf("%s: %d accepted", name, accepted)
		}
	}
}

func TestAnUnreachableBackendCostsBudget(t *testing.T) {
	t.Parallel()
	s := startCaddy(t, `
		klink_webhook {
			name unreachable
			hmac "`+testSecret+`"
		}
		reverse_proxy unix//nowhere.sock`)
	if a := s.do(t, signed(t, "/", testBody)); a.status != 502 {
		t.Errorf("status %d", a.status)
	}
	if used := statusOf(t, "unreachable").ErrorBudget.Used; used != 1 {
		t.Errorf("used %d", used)
	}
}

func TestRefusalHasAHint(t *testing.T) {
	t.Parallel()
	s := startCaddy(t, `
		klink_webhook {
			name hinted
			hmac {
				secret other={env.PATH}
				secret "`+testSecret+`"
				url path
				body go
			}
		}
		respond 200`)
	r := delivery(t, "/hook?a=1", testBody)
	r.Header.Set("X-Klink-Signature", sign(t, testSecret, "full_query", "no_html_escape", "https://hooks.example.com", "/hook?a=1", testBody))
	r.Header.Set("X-Signature", strings.Repeat("0", 64))
	var hint string
	eventually(t, func() bool { // another endpoint's diagnosis may be in the way
		again := r.Clone(t.Context())
		again.Body = io.NopCloser(strings.NewReader(testBody))
		if a := s.do(t, again); a.status != 401 {
			t.Fatalf("status %d", a.status)
		}
		for _, line := range s.messages(t, "diagnosis of a signature that does not match") {
			hint, _ = line["hint"].(string)
		}
		return hint != ""
	})
	if !slices.ContainsFunc(statusOf(t, "hinted").Refusals, func(r klink.Refusal) bool { return r.Hint == hint }) {
		t.Errorf("the hint %q is with no refusal", hint)
	}
	for _, part := range []string{"secret 2", "public_url https://hooks.example.com", "header X-Klink-Signature", "url full_query"} {
		if !strings.Contains(hint, part) {
			t.Errorf("the hint %q does not say %q", hint, part)
		}
	}
}

// TestAClientWithoutAnAddress, on a unix socket, has an empty one everywhere.
func TestAClientWithoutAnAddress(t *testing.T) {
	t.Parallel()
	s := startCaddy(t, `
		klink_webhook {
			name no-address
			allow any
			hmac "`+testSecret+`"
		}`)
	eventually(t, func() bool { // another endpoint's diagnosis may be in the way
		r := delivery(t, "/hook", testBody)
		r.Header.Del("X-Forwarded-For")
		r.Header.Set("X-Signature", strings.Repeat("0", 64))
		if a := s.do(t, r); a.status != 401 {
			t.Fatalf("status %d", a.status)
		}
		return len(s.messages(t, "diagnosis of a signature that does not match")) > 0
	})
	for _, line := range s.logs(t, ourLogger) {
		if line["client_ip"] != "" {
			t.Errorf("%s: client_ip %q", line["msg"], line["client_ip"])
		}
	}
	refusal := statusOf(t, "no-address").Refusals[0]
	if text, err := json.Marshal(refusal); err != nil || !strings.Contains(string(text), `"client_ip":"",`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestSecretFileIsReadAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	write := func(secret string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(testSecret + "\n")
	s := startCaddy(t, `
		klink_webhook {
			name rotated
			hmac {
				secret_file file=`+path+`
			}
		}
		respond 200`)
	answers := func(secret string) int {
		r := delivery(t, "/", testBody)
		r.Header.Set("X-Signature", sign(t, secret, "full", "go", siteURL, "/", testBody))
		return s.do(t, r).status
	}
	if got := answers(testSecret); got != 200 {
		t.Fatalf("the first secret: %d", got)
	}
	write("another secret")
	eventually(t, func() bool { return answers("another secret") == 200 })
	if got := answers(testSecret); got != 401 {
		t.Errorf("the old secret: %d", got)
	}
	for _, broken := range []func(){func() { write("\n") }, func() { _ = os.Remove(path) }} {
		before := len(s.messages(t, "secret file cannot be used; the last good secret stays in force"))
		broken()
		if before == 0 {
			eventually(t, func() bool {
				return len(s.messages(t, "secret file cannot be used; the last good secret stays in force")) == 1
			})
		}
		if got := answers("another secret"); got != 200 {
			t.Errorf("the last good secret: %d", got)
		}
	}
	if use := statusOf(t, "rotated").Secrets["file"]; use.Matches < 4 || use.LastUsed.IsZero() {
		t.Errorf("use of the secret: %+v", use)
	}
}

func TestStateOutlivesAReload(t *testing.T) {
	t.Parallel()
	load := func() (release func()) {
		t.Helper()
		c, err := provision(adapt(t, fmt.Sprintf(`{
			admin off
			auto_https off
		}
		http:// {
			bind unix/%s
			klink_webhook {
				name kept
				hmac secret
			}
		}`, filepath.Join(shortTempDir(t), "s"))))
		if err != nil {
			t.Fatal(err)
		}
		return c.release
	}
	releaseOld := load()
	since := statusOf(t, "kept").Since
	releaseNew := load()
	releaseOld()
	if got := statusOf(t, "kept").Since; !got.Equal(since) {
		t.Errorf("since %v, before the reload %v", got, since)
	}
	releaseNew()
	if endpointKnown(t, "kept") {
		t.Error("the endpoint is held although it is in no configuration")
	}
}
