package klink_test

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// raw sends text as it is and returns the answer.
func (s *server) raw(t testing.TB, text string) answer {
	t.Helper()
	return readAnswer(t, s.send(t, text))
}

// send sends text as it is.
func (s *server) send(t testing.TB, text string) *net.UnixConn {
	t.Helper()
	conn, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.UnixConn)
}

func readAnswer(t testing.TB, conn io.Reader) answer {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, string(body)}
}

// rawRequest is the text of a delivery, to be changed.
func rawRequest(requestLine string, header ...string) string {
	return requestLine + "\r\nHost: hooks.example.com\r\nX-Forwarded-For: " + klinkAddress + "\r\n" +
		strings.Join(header, "\r\n") + "\r\n\r\n"
}

// TestRefusals makes one delivery wrong in every way. Each gives its status, an
// empty answer, and one line in the log; nothing reaches the backend.
func TestRefusals(t *testing.T) {
	t.Parallel()
	b := startBackend(t, nil)
	s := startCaddy(t, `
		klink_webhook {
			hmac "`+testSecret+`"
			basic alice "p:w"
			header X-Token t1 t2
			max_body 2KiB
		}
		reverse_proxy `+b.address)
	good := func() *http.Request {
		r := signed(t, "/hook", testBody)
		r.SetBasicAuth("alice", "p:w")
		r.Header.Set("X-Token", "t2")
		return r
	}
	header := func(name string, values ...string) func(*http.Request) *http.Request {
		return func(r *http.Request) *http.Request {
			r.Header[name] = values
			return r
		}
	}
	// other is a delivery that is properly signed, whatever the gateway makes of it.
	other := func(target, body string) func(*http.Request) *http.Request {
		return func(r *http.Request) *http.Request {
			o := signed(t, target, body)
			signature := o.Header
			o.Header = r.Header
			o.Header.Set("X-Signature", signature.Get("X-Signature"))
			return o
		}
	}
	for _, tt := range []struct {
		name   string
		change func(*http.Request) *http.Request
		status int
		reason string
		event  string
	}{
		{"GET", func(r *http.Request) *http.Request { r.Method = "GET"; return r }, 405, "method_not_allowed", ""},
		{"PUT", func(r *http.Request) *http.Request { r.Method = "PUT"; return r }, 405, "method_not_allowed", ""},
		{"HEAD", func(r *http.Request) *http.Request { r.Method = "HEAD"; r.Body = nil; r.ContentLength = 0; return r }, 405, "method_not_allowed", ""},
		{"another address", header("X-Forwarded-For", "51.79.216.181"), 403, "address_not_allowed", ""},
		{"a forged X-Real-Ip", func(r *http.Request) *http.Request {
			r.Header.Set("X-Real-Ip", klinkAddress)
			r.Header.Set("X-Forwarded-For", "15.235.232.70")
			return r
		}, 403, "address_not_allowed", ""},
		{"no address", header("X-Forwarded-For"), 403, "address_not_allowed", ""},
		{"no signature", header("X-Signature"), 401, "credential_missing", ""},
		{"no signature, only Basic", func(r *http.Request) *http.Request { r.Header.Del("X-Signature"); return r }, 401, "credential_missing", ""},
		{"broken signature", header("X-Signature", "sha256=abc"), 401, "credential_malformed", ""},
		{"two signatures", header("X-Signature", strings.Repeat("0", 64), strings.Repeat("1", 64)), 401, "credential_malformed", ""},
		{"another signature", header("X-Signature", strings.Repeat("0", 64)), 401, "signature_mismatch", "contact.create"},
		{"no Basic", header("Authorization"), 401, "credential_missing", ""},
		{"wrong password", header("Authorization", "Basic YWxpY2U6cA=="), 401, "basic_mismatch", ""},
		{"broken Basic", header("Authorization", "Basic ?"), 401, "credential_malformed", ""},
		{"no header", header("X-Token"), 401, "credential_missing", ""},
		{"wrong header", header("X-Token", "t3"), 401, "header_mismatch", ""},
		{"two headers", header("X-Token", "t1", "t2"), 401, "credential_malformed", ""},
		{"too large", other("/hook", `{"event":"contact.create","a":"`+strings.Repeat("a", 2048)+`"}`), 413, "body_too_large", ""},
		{"too large, not announced", func(r *http.Request) *http.Request {
			r = other("/hook", `{"event":"contact.create","a":"`+strings.Repeat("a", 2048)+`"}`)(r)
			r.ContentLength = -1
			return r
		}, 413, "body_too_large", "contact.create"},
		{"no JSON", func(r *http.Request) *http.Request {
			o := delivery(t, "/hook", `{"event":"contact.create"`)
			o.Header = r.Header
			return o
		}, 400, "body_malformed", "contact.create"},
		{"empty body", func(r *http.Request) *http.Request {
			o := delivery(t, "/hook", "")
			o.Header = r.Header
			return o
		}, 400, "body_malformed", ""},
		{"key twice", other("/hook", `{"event":"contact.create","a":1,"a":2}`), 400, "body_ambiguous", "contact.create"},
		{"no object", other("/hook", `["contact.create"]`), 400, "body_ambiguous", ""},
		{"query", other("/hook?a=x+y", testBody), 400, "query_ambiguous", ""},
		{"semicolon", func(r *http.Request) *http.Request { r.URL.RawQuery = "a;b"; return r }, 400, "query_ambiguous", ""},
		{"path", func(r *http.Request) *http.Request { r.URL.Opaque = "/ho[ok"; return r }, 400, "path_ambiguous", ""},
		{"an event that is no plain word", other("/hook", `{"event":"<script>","a":1,"a":2}`), 400, "body_ambiguous", ""},
		{"another body", func(r *http.Request) *http.Request {
			o := delivery(t, "/hook", strings.Replace(testBody, "contact.create", "contact.update", 1))
			o.Header = r.Header
			return o
		}, 401, "signature_mismatch", "contact.update"},
	} {
		before := len(s.refusals(t))
		a := s.do(t, tt.change(good()))
		if a.status != tt.status || a.body != "" {
			t.Errorf("%s: answer %d %q, want %d", tt.name, a.status, a.body, tt.status)
		}
		b.none(t)
		if allow := a.header.Get("Allow"); (allow == "POST") != (tt.status == 405) {
			t.Errorf("%s: Allow: %q", tt.name, allow)
		}
		if challenge := a.header.Get("WWW-Authenticate"); (challenge == `Basic realm="klink_webhook", charset="UTF-8"`) != (tt.status == 401) {
			t.Errorf("%s: WWW-Authenticate: %q", tt.name, challenge)
		}
		for name, values := range a.header {
			if strings.Contains(strings.Join(values, " "), tt.reason) {
				t.Errorf("%s: the answer tells the reason in %s", tt.name, name)
			}
		}
		lines := s.refusals(t)[before:]
		if len(lines) != 1 {
			t.Errorf("%s: %d lines in the log", tt.name, len(lines))
			continue
		}
		line := lines[0]
		keys := slices.Sorted(maps.Keys(line))
		if want := []string{"client_ip", "detail", "endpoint", "event", "level", "logger", "msg", "path", "reason", "ts"}; !slices.Equal(keys, want) {
			t.Errorf("%s: the log has %v, want %v", tt.name, keys, want)
		}
		if line["level"] != "info" || line["reason"] != tt.reason || line["event"] != tt.event || line["detail"] == "" {
			t.Errorf("%s: the log has %v, want %s and event %q", tt.name, line, tt.reason, tt.event)
		}
	}
	if a := s.do(t, good()); a.status != 200 {
		t.Errorf("the delivery that all this was made of: %d", a.status)
	}
	b.one(t)
	if log := s.refusals(t)[3]; log["client_ip"] != "51.79.216.181" || log["path"] != "/hook" {
		t.Errorf("the log's line %v", log)
	}
}

// TestNoChallengeWithoutBasic: a challenge makes sense only where Basic would help.
func TestNoChallengeWithoutBasic(t *testing.T) {
	t.Parallel()
	s := startCaddy(t, `klink_webhook {
		hmac "`+testSecret+`"
	}`)
	a := s.do(t, delivery(t, "/hook", testBody))
	if a.status != 401 || a.header.Get("WWW-Authenticate") != "" {
		t.Errorf("%v", a)
	}
}

// TestCheapChecksReadNoBody announces a body, or asks before sending one, and
// never sends it. The answer comes all the same, and nobody asked for the body.
func TestCheapChecksReadNoBody(t *testing.T) {
	t.Parallel()
	s := startCaddy(t, `klink_webhook {
		hmac "`+testSecret+`"
		max_body 600000
	}`)
	signature := "X-Signature: " + strings.Repeat("0", 64)
	for _, tt := range []struct {
		name, request, signature string
		address                  string
		length                   int
		status                   int
	}{
		{"method", "PUT /hook HTTP/1.1", signature, klinkAddress, 500_000, 405},
		{"address", "POST /hook HTTP/1.1", signature, "192.0.2.1", 500_000, 403},
		{"credential", "POST /hook HTTP/1.1", "X-Nothing: 1", klinkAddress, 500_000, 401},
		{"malformed credential", "POST /hook HTTP/1.1", "X-Signature: 1", klinkAddress, 500_000, 401},
		{"path", "POST /ho{ok HTTP/1.1", signature, klinkAddress, 500_000, 400},
		{"query", "POST /hook?a=] HTTP/1.1", signature, klinkAddress, 500_000, 400},
		{"length", "POST /hook HTTP/1.1", signature, klinkAddress, 600_001, 413},
	} {
		for _, expect := range []string{"", "Expect: 100-continue\r\n"} {
			// Where a connection is kept, net/http itself reads on for the next request.
			a := s.raw(t, fmt.Sprintf("%s\r\nHost: hooks.example.com\r\nConnection: close\r\nX-Forwarded-For: %s\r\n%s\r\nContent-Length: %d\r\n%s\r\n",
				tt.request, tt.address, tt.signature, tt.length, expect))
			if a.status != tt.status {
				t.Errorf("%s, %q: answer %d, want %d", tt.name, expect, a.status, tt.status)
			}
		}
	}
	if lines := s.refusals(t); len(lines) != 14 {
		t.Errorf("%d lines in the log", len(lines))
	}
}

func TestBodyBreaksOff(t *testing.T) {
	t.Parallel()
	b := startBackend(t, nil)
	s := startCaddy(t, `
		klink_webhook {
			hmac "`+testSecret+`"
		}
		reverse_proxy `+b.address)
	signature := "X-Signature: " + sign(t, testSecret, "full", "go", siteURL, "/hook", testBody)
	for _, text := range []string{
		rawRequest("POST /hook HTTP/1.1", signature, "Content-Length: 500") + testBody,
		rawRequest("POST /hook HTTP/1.1", signature, "Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n%s\r\n", len(testBody), testBody),
		rawRequest("POST /hook HTTP/1.1", signature, "Transfer-Encoding: chunked") + "zz\r\n",
	} {
		conn := s.send(t, text)
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if a := readAnswer(t, conn); a.status != 400 || a.body != "" {
			t.Errorf("%q: %v", text, a)
		}
	}
	b.none(t)
	lines := s.refusals(t)
	if len(lines) != 3 {
		t.Fatalf("%d lines in the log", len(lines))
	}
	for i, detail := range []string{fmt.Sprintf("the body broke off after %d bytes", len(testBody)), fmt.Sprintf("the body broke off after %d bytes", len(testBody)), "the body broke off after 0 bytes"} {
		if lines[i]["reason"] != "body_incomplete" || lines[i]["detail"] != detail {
			t.Errorf("the log has %v, want %q", lines[i], detail)
		}
	}
}

// padded returns a JSON body of exactly size bytes.
func padded(size int) string {
	const begin, end = `{"event":"contact.create","a":"`, `"}`
	return begin + strings.Repeat("a", size-len(begin)-len(end)) + end
}

// TestMaxBody: the limit itself is let through, one byte more is not, however it comes.
func TestMaxBody(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		option string
		limit  int
	}{
		{"", 1 << 20},
		{"max_body 100000", 100_000},
		{"max_body 4KiB", 4 << 10},
		{"max_body 70KiB", 70 << 10},
	} {
		b := startBackend(t, nil)
		s := startCaddy(t, `
			klink_webhook {
				hmac "`+testSecret+`"
				`+tt.option+`
			}
			reverse_proxy `+b.address)
		for _, chunked := range []bool{false, true} {
			for size, want := range map[int]int{tt.limit - 1: 200, tt.limit: 200, tt.limit + 1: 413, 2 * tt.limit: 413} {
				body := padded(size)
				r := signed(t, "/hook", body)
				if chunked {
					r.ContentLength = -1
				}
				a, err := s.try(r)
				if err == nil && a.status != want || err != nil && want == 200 {
					t.Errorf("%s, %d bytes, chunked %v: %v, %v, want %d", tt.option, size, chunked, a.status, err, want)
					continue
				}
				if want != 200 {
					b.none(t)
				} else if got := b.one(t); got.body != body || got.ContentLength != int64(size) || got.err != nil {
					t.Errorf("%s, %d bytes, chunked %v: the backend got %d bytes, %v", tt.option, size, chunked, len(got.body), got.err)
				}
			}
		}
		if lines := s.refusals(t); len(lines) != 4 {
			t.Errorf("%s: %d lines in the log, want 4", tt.option, len(lines))
		}
	}
}

// TestAbsoluteForm: what is verified is what the backend gets, also where scheme
// and host stand before the path.
func TestAbsoluteForm(t *testing.T) {
	t.Parallel()
	b := startBackend(t, nil)
	s := startCaddy(t, `
		klink_webhook {
			hmac "`+testSecret+`" {
				url path
			}
		}
		reverse_proxy `+b.address)
	body := "Content-Length: " + fmt.Sprint(len(testBody))
	for _, tt := range []struct {
		target, signedFor string
		status            int
		reaches           string
	}{
		{"/hook?a=1", "/hook?a=1", 200, "/hook?a=1"},
		{"http://hooks.example.com/hook?a=1", "/hook?a=1", 200, "/hook?a=1"},
		{"http://hooks.example.com?a=/hook", "/hook", 400, ""},
		{"http://hooks.example.com?a=/hook", "/?a=/hook", 400, ""},
		{"http://hooks.example.com", "/", 400, ""},
		{"//hook", "//hook", 200, "//hook"},
		{"//hook", "/hook", 401, ""},
	} {
		signature := "X-Signature: " + sign(t, testSecret, "path", "go", siteURL, tt.signedFor, testBody)
		if a := s.raw(t, rawRequest("POST "+tt.target+" HTTP/1.1", signature, body)+testBody); a.status != tt.status {
			t.Errorf("%s: %d, want %d", tt.target, a.status, tt.status)
		}
		if tt.reaches == "" {
			b.none(t)
		} else if got := b.one(t); got.RequestURI != tt.reaches {
			t.Errorf("%s: the backend got %s", tt.target, got.RequestURI)
		}
	}
}
