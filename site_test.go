package klink_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestSeveralEndpoints: each has its own block, and none accepts another's credentials.
func TestSeveralEndpoints(t *testing.T) {
	t.Parallel()
	b := startBackend(t, nil)
	s := startCaddy(t, `
		handle /a {
			klink_webhook {
				hmac "secret of a"
			}
			reverse_proxy `+b.address+`
		}
		handle /b {
			klink_webhook {
				hmac {
					secret "secret of b" "older secret of b"
					secret "oldest secret of b"
				}
				basic bob pw
			}
			reverse_proxy `+b.address+`
		}
		handle /open {
			reverse_proxy `+b.address+`
		}`)
	for _, tt := range []struct {
		target, secret, user string
		want                 int
	}{
		{"/a", "secret of a", "", 200},
		{"/a", "secret of b", "", 401},
		{"/b", "secret of b", "bob", 200},
		{"/b", "older secret of b", "bob", 200},
		{"/b", "oldest secret of b", "bob", 200},
		{"/b", "secret of b", "", 401},
		{"/b", "secret of a", "bob", 401},
		{"/open", "none", "", 200},
	} {
		r := delivery(t, tt.target, testBody)
		r.Header.Set("X-Signature", sign(t, tt.secret, "full", "go", siteURL, tt.target, testBody))
		if tt.user != "" {
			r.SetBasicAuth(tt.user, "pw")
		}
		if a := s.do(t, r); a.status != tt.want {
			t.Errorf("%s with %s and user %q: %d, want %d", tt.target, tt.secret, tt.user, a.status, tt.want)
		}
		if tt.want == 200 {
			b.one(t)
		} else {
			b.none(t)
		}
	}
}

func TestPlaceholders(t *testing.T) {
	t.Parallel()
	s := startCaddy(t, `
		@contacts expression {http.klink_webhook.event}.startsWith("contact.")
		map {http.klink_webhook.event} {queue} {
			message.inbound in
			message.outbound out
			default other
		}
		route {
			klink_webhook {
				hmac first "`+testSecret+`"
				basic alice pw
				header X-Token t0 t1
			}
			header X-Event "{http.klink_webhook.event}"
			header X-Time "{http.klink_webhook.timestamp}"
			header X-Form "{http.klink_webhook.form}"
			header X-Credential "{http.klink_webhook.credential}"
			header X-Reason "[{http.klink_webhook.reason}]"
			respond @contacts "contacts"
			respond "{queue}"
		}`)
	for _, tt := range []struct{ body, answer, event, timestamp string }{
		{testBody, "contacts", "contact.create", "2026-01-09T03:42:38.000000Z"},
		{`{"event":"contact.update"}`, "contacts", "contact.update", ""},
		{`{"event":"message.inbound","timestamp":"2026-01-09T03:42:38+07:00"}`, "in", "message.inbound", "2026-01-09T03:42:38+07:00"},
		{`{"data":{"event":"contact.create"},"event":"message\u002eoutbound"}`, "out", "message.outbound", ""},
		{`{"event":"new_kind-1:A"}`, "other", "new_kind-1:A", ""},
		{`{"event":"` + strings.Repeat("e", 64) + `"}`, "other", strings.Repeat("e", 64), ""},
		{`{"event":"` + strings.Repeat("e", 65) + `"}`, "other", "", ""},
		{`{"event":"a b"}`, "other", "", ""},
		{`{"event":"{env.HOME}"}`, "other", "", ""},
		{`{"event":"é"}`, "other", "", ""},
		{`{"event":["contact.create"],"timestamp":1767930158}`, "other", "", ""},
		{`{}`, "other", "", ""},
	} {
		r := delivery(t, "/hook?a=1", tt.body)
		r.Header.Set("X-Signature", sign(t, testSecret, "path_query", "go", siteURL, "/hook?a=1", tt.body))
		r.SetBasicAuth("alice", "pw")
		r.Header.Set("X-Token", "t1")
		a := s.do(t, r)
		if a.status != 200 || a.body != tt.answer || a.header.Get("X-Event") != tt.event || a.header.Get("X-Time") != tt.timestamp {
			t.Errorf("%s: %v, want %v", tt.body, a, tt)
		}
		if a.header.Get("X-Form") != "path_query go" || a.header.Get("X-Credential") != "hmac:2+basic:alice+header:X-Token:2" || a.header.Get("X-Reason") != "[]" {
			t.Errorf("%s: %v", tt.body, a.header)
		}
	}
}

func TestErrorRoutes(t *testing.T) {
	t.Parallel()
	s := startCaddy(t, `
		klink_webhook {
			hmac "`+testSecret+`"
			header X-Token t
		}
		reverse_proxy `+deadAddress(t)+`
		handle_errors {
			header X-Reason "[{http.klink_webhook.reason}]"
			header X-Event "[{http.klink_webhook.event}]"
			header X-Form "[{http.klink_webhook.form}]"
			header X-Credential "[{http.klink_webhook.credential}]"
			respond "{err.status_code} {err.message}"
		}`)
	for _, tt := range []struct {
		request                         *http.Request
		answer                          string
		reason, event, form, credential string
	}{
		{delivery(t, "/hook", testBody), "401 ", "[credential_missing]", "[]", "[]", "[]"},
		{func() *http.Request {
			r := delivery(t, "/hook", testBody)
			r.Header.Set("X-Signature", strings.Repeat("0", 64))
			return r
		}(), "401 ", "[signature_mismatch]", "[contact.create]", "[]", "[]"},
		{signed(t, "/hook", testBody), "502 ", "[]", "[contact.create]", "[full go]", "[hmac:1+header:X-Token:1]"},
	} {
		tt.request.Header.Set("X-Token", "t") // good in itself
		a := s.do(t, tt.request)
		if !strings.HasPrefix(a.body, tt.answer) || a.header.Get("X-Reason") != tt.reason || a.header.Get("X-Event") != tt.event ||
			a.header.Get("X-Form") != tt.form || a.header.Get("X-Credential") != tt.credential {
			t.Errorf("%v, want %s, reason %s, event %s, form %s, credential %s", a, tt.answer, tt.reason, tt.event, tt.form, tt.credential)
		}
	}
}

// accessLog returns the access log's entries, once there are n: they are written
// after the answer.
func (s *server) accessLog(t testing.TB, n int) []entry {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if entries := s.logs(t, "http.log.access"); len(entries) >= n {
			return entries
		}
	}
	t.Fatalf("no %d entries in the access log", n)
	return nil
}

func TestAccessLog(t *testing.T) {
	t.Parallel()
	s := startCaddy(t, `
		log
		klink_webhook {
			hmac "`+testSecret+`"
		}
		respond "ok"`)
	s.do(t, signed(t, "/hook", testBody))
	s.do(t, signed(t, "/hook", `{"event":"contact.create","a":1,"a":2}`))
	entries := s.accessLog(t, 2)
	for i, want := range []string{
		"map[credential:hmac:1 event:contact.create form:full go timestamp:2026-01-09T03:42:38.000000Z]",
		"map[event:contact.create reason:body_ambiguous]",
	} {
		if got := fmt.Sprint(entries[i]["klink_webhook"]); got != want {
			t.Errorf("the access log has %s, want %s", got, want)
		}
	}
	if entries[0]["status"] != 200.0 || entries[1]["status"] != 400.0 {
		t.Errorf("status %v, %v", entries[0]["status"], entries[1]["status"])
	}
}

// TestFormIsReportedOnce: auto says once for every form what matched, in words
// that pin it.
func TestFormIsReportedOnce(t *testing.T) {
	t.Parallel()
	deliver := func(s *server, urlForm, bodyForm string) {
		t.Helper()
		const body = `{ "n" : 1.0, "s" : "<\b" }`
		r := delivery(t, "/hook?a=1", body)
		r.Header.Set("X-Signature", sign(t, testSecret, urlForm, bodyForm, siteURL, "/hook?a=1", body))
		if a := s.do(t, r); a.status != 200 {
			t.Errorf("%s %s: %v", urlForm, bodyForm, a)
		}
	}
	matches := func(s *server) (lines []entry) {
		for _, e := range s.logs(t, ourLogger) {
			if e["msg"] == "signature matches; pin the form in hmac once it has held for deliveries of every kind" {
				lines = append(lines, e)
			}
		}
		return lines
	}
	const site = `
		klink_webhook {
			hmac "` + testSecret + `" {
				{pin}
			}
		}
		respond "ok"`
	s := startCaddy(t, strings.ReplaceAll(site, "{pin}", ""))
	for range 2 {
		deliver(s, "full", "go")
		deliver(s, "path_query", "no_html_escape raw_numbers")
		deliver(s, "full", "go")
	}
	lines := matches(s)
	if len(lines) != 2 {
		t.Fatalf("%d lines in the log, want 2", len(lines))
	}
	for i, want := range [][2]string{{"url full", "body go"}, {"url path_query", "body no_html_escape raw_numbers"}} {
		if lines[i]["level"] != "info" || lines[i]["pin_url"] != want[0] || lines[i]["pin_body"] != want[1] {
			t.Errorf("the log has %v, want %q", lines[i], want)
		}
		// The words are what the Caddyfile takes; then that form alone is good, and nothing is reported.
		pinned := startCaddy(t, strings.ReplaceAll(site, "{pin}", want[0]+"\n"+want[1]))
		deliver(pinned, strings.TrimPrefix(want[0], "url "), strings.TrimPrefix(want[1], "body "))
		if a := pinned.do(t, func() *http.Request {
			r := delivery(t, "/hook?a=1", testBody)
			r.Header.Set("X-Signature", sign(t, testSecret, "host_path", "raw", siteURL, "/hook?a=1", testBody))
			return r
		}()); a.status != 401 {
			t.Errorf("another form than the pinned: %v", a)
		}
		if lines := matches(pinned); len(lines) > 0 {
			t.Errorf("the pinned form is reported: %v", lines)
		}
	}
	half := startCaddy(t, strings.ReplaceAll(site, "{pin}", "url full"))
	deliver(half, "full", "raw")
	if lines := matches(half); len(lines) != 1 || lines[0]["pin_body"] != "body raw" {
		t.Errorf("half pinned: %v", lines)
	}
}

// TestPublicURL: with it the request's own scheme and host do not count.
func TestPublicURL(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ option, signedFor, forwardedProto, forwardedHost string }{
		{"", "http://hooks.example.com", "", ""},
		{"", "https://hooks.example.com", "https", ""},
		{"", "https://public.example:8443", "https", "public.example:8443"},
		{"", "http://public.example", "", "public.example"},
		{"", "http://hooks.example.com", "ws", ""},
		{"", "http://hooks.example.com", "https,http", "a.example,b.example"},
		{"public_url https://public.example", "https://public.example", "", ""},
		{"public_url https://public.example", "https://public.example", "http", "other.example"},
		{"public_url http://public.example:8080", "http://public.example:8080", "https", ""},
		{"public_url https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443", "", ""},
	} {
		s := startCaddy(t, `
			klink_webhook {
				hmac "`+testSecret+`" {
					url full
				}
				`+tt.option+`
			}
			respond "ok"`)
		for _, base := range []string{tt.signedFor, "https://another.example"} {
			r := delivery(t, "/hook", testBody)
			if tt.forwardedProto != "" {
				r.Header.Set("X-Forwarded-Proto", tt.forwardedProto)
			}
			if tt.forwardedHost != "" {
				r.Header.Set("X-Forwarded-Host", tt.forwardedHost)
			}
			r.Header.Set("X-Signature", sign(t, testSecret, "full", "go", base, "/hook", testBody))
			if a := s.do(t, r); (a.status == 200) != (base == tt.signedFor) {
				t.Errorf("%v, signed for %s: %d, %v", tt, base, a.status, s.refusals(t))
			}
		}
	}
}

// TestUntrustedProxy: what a stranger says about client, scheme and host is not
// believed, over TCP with and without trusted_proxies.
func TestUntrustedProxy(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		trusted, allow, forwardedFor, proto, signedFor string
		want                                           int
	}{
		{"192.0.2.0/24", "klink", klinkAddress, "", "http://{address}", 403},
		{"192.0.2.0/24", "127.0.0.1", klinkAddress, "", "http://{address}", 200},
		{"192.0.2.0/24", "127.0.0.1", "", "https", "https://public.example", 401},
		{"192.0.2.0/24", "127.0.0.1", "", "https", "http://{address}", 200},
		{"127.0.0.0/8", "klink", klinkAddress, "", "http://public.example", 200},
		{"127.0.0.0/8", "127.0.0.1", klinkAddress, "", "http://public.example", 403},
		{"127.0.0.0/8", "klink", klinkAddress, "https", "https://public.example", 200},
		{"127.0.0.0/8", "klink", klinkAddress, "https", "http://{address}", 401},
		{"127.0.0.0/8", "klink", "10.0.0.1, " + klinkAddress, "", "http://public.example", 403}, // the first is what the client wrote
	} {
		address := deadAddress(t)
		s := startCaddyfile(t, `{
			{common}
			servers {
				trusted_proxies static `+tt.trusted+`
			}
		}
		http://`+address+` {
			bind 127.0.0.1
			klink_webhook {
				hmac "`+testSecret+`" {
					url full
				}
				allow `+tt.allow+`
			}
			respond "ok"
		}`)
		s.client.Transport = new(http.Transport)
		base := strings.Replace(tt.signedFor, "{address}", address, 1)
		r, err := http.NewRequest(http.MethodPost, "http://"+address+"/hook", strings.NewReader(testBody))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Forwarded-For", tt.forwardedFor)
		r.Header.Set("X-Forwarded-Host", "public.example")
		if tt.proto != "" {
			r.Header.Set("X-Forwarded-Proto", tt.proto)
		}
		r.Header.Set("X-Signature", sign(t, testSecret, "full", "go", base, "/hook", testBody))
		if a := s.do(t, r); a.status != tt.want {
			t.Errorf("%+v: %d, %v", tt, a.status, s.refusals(t))
		}
	}
}

// TestSecretsFromOutside: placeholders are replaced when the config loads.
func TestSecretsFromOutside(t *testing.T) {
	file := shortTempDir(t) + "/secret"
	writeFile(t, file, "from a file\n")
	t.Setenv("KLINK_TEST_SECRET", "from the environment")
	t.Setenv("KLINK_TEST_PASSWORD", "pä:ss {word}")
	t.Setenv("KLINK_TEST_TOKEN", "to ken")
	s := startCaddy(t, `
		klink_webhook {
			hmac {env.KLINK_TEST_SECRET} {file.`+file+`} "\{literal}"
			basic alice {env.KLINK_TEST_PASSWORD}
			header X-Token {env.KLINK_TEST_TOKEN}
		}
		respond "{http.klink_webhook.credential}"`)
	for i, secret := range []string{"from the environment", "from a file", "{literal}"} {
		r := delivery(t, "/hook", testBody)
		r.Header.Set("X-Signature", sign(t, secret, "full", "go", siteURL, "/hook", testBody))
		r.SetBasicAuth("alice", "pä:ss {word}")
		r.Header.Set("X-Token", "to ken")
		if a := s.do(t, r); a.body != fmt.Sprintf("hmac:%d+basic:alice+header:X-Token:1", i+1) {
			t.Errorf("%s: %v, %v", secret, a, s.refusals(t))
		}
	}
}
