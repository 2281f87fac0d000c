package klink_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const hmacOnly = `
	klink_webhook {
		hmac "` + testSecret + `"
	}
`

// TestForwardsUnchanged compares all that the backend got with what was sent.
func TestForwardsUnchanged(t *testing.T) {
	t.Parallel()
	b := startBackend(t, nil)
	s := startCaddy(t, hmacOnly+`reverse_proxy `+b.address)
	for _, target := range []string{
		"/hook",
		"/",
		"/h%6Fok//a%2Fb/../c;v=1,2/%e4/~!$&'()*+,=:@",
		"/hook?b=2&a=1&b=%7e&c&d=&=x&y=a%2Bb&u=%C3%A4",
		"/hook?",
	} {
		for _, body := range []string{testBody, " { \"z\" : 1.0,\r\n\t\"a\":\"<\\/\\u00e9\" } ", "{}", padded(70_000)} {
			r := signed(t, target, body)
			r.URL.Opaque, r.URL.RawQuery, r.URL.ForceQuery = strings.Cut(target, "?") // no word of it is encoded anew
			r.Header["X-Several"] = []string{"one", "two", "one"}
			r.Header.Set("X-Empty", "")
			r.Header.Set("X-Real-Ip", "15.235.232.70")
			r.Header.Set("User-Agent", "K-LINK")
			r.Header.Set("Content-Type", "application/json; charset=utf-8")
			if a := s.do(t, r); a.status != 200 || a.body != "" {
				t.Errorf("%s: answer %v", target, a)
				continue
			}
			got := b.one(t)
			if got.body != body || got.err != nil || got.RequestURI != target || got.Method != "POST" || got.Host != "hooks.example.com" {
				t.Errorf("%s: the backend got %s %s%s: %.200q, %v", target, got.Method, got.Host, got.RequestURI, got.body, got.err)
			}
			if got.ContentLength != int64(len(body)) || len(got.TransferEncoding) > 0 {
				t.Errorf("%s: Content-Length %d, Transfer-Encoding %v", target, got.ContentLength, got.TransferEncoding)
			}
			want := r.Header.Clone()
			want.Set("Content-Length", strconv.Itoa(len(body)))
			for _, ofTheProxy := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Via", "Accept-Encoding"} {
				want.Del(ofTheProxy)
				got.Header.Del(ofTheProxy)
			}
			if !maps.EqualFunc(got.Header, want, slices.Equal[[]string]) {
				t.Errorf("%s: the backend got the header %v, want %v", target, got.Header, want)
			}
		}
	}
	if refusals := s.refusals(t); len(refusals) > 0 {
		t.Errorf("refused: %v", refusals)
	}
}

// TestChunkedInput: old backends need a Content-Length, and get one.
func TestChunkedInput(t *testing.T) {
	t.Parallel()
	b := startBackend(t, nil)
	s := startCaddy(t, hmacOnly+`reverse_proxy `+b.address)
	for _, body := range []string{"{}", testBody, padded(100_000)} {
		r := signed(t, "/hook", body)
		r.ContentLength = -1
		if a := s.do(t, r); a.status != 200 {
			t.Fatalf("answer %v", a)
		}
		got := b.one(t)
		if got.body != body || got.ContentLength != int64(len(body)) || len(got.TransferEncoding) > 0 || got.Header.Get("Content-Length") != strconv.Itoa(len(body)) {
			t.Errorf("the backend got %d bytes, Content-Length %d %q, Transfer-Encoding %v", len(got.body), got.ContentLength, got.Header.Get("Content-Length"), got.TransferEncoding)
		}
	}
	// Handlers that look at the header see it too.
	s = startCaddy(t, hmacOnly+`respond "{http.request.header.Content-Length}"`)
	r := signed(t, "/hook", testBody)
	r.ContentLength = -1
	if a := s.do(t, r); a.body != strconv.Itoa(len(testBody)) {
		t.Errorf("the header's Content-Length is %q", a.body)
	}
}

// TestVerifiesTheRequestAsItArrived: whatever rewrites ran before, and whatever
// the order of the directives.
func TestVerifiesTheRequestAsItArrived(t *testing.T) {
	t.Parallel()
	const gate = `klink_webhook {
		hmac "` + testSecret + `" {
			url path_query
		}
	}
	`
	for name, tt := range map[string]struct{ site, reaches string }{
		"without order":           {gate + "rewrite * /new?x=1\nreverse_proxy {backend}", "/new?x=1"},
		"uri":                     {"uri strip_prefix /in\n" + gate + "reverse_proxy {backend}", "/hook?a=1"},
		"uri query":               {"uri query +b 2\n" + gate + "reverse_proxy {backend}", "/in/hook?a=1&b=2"},
		"handle_path":             {"handle_path /in/* {\n" + gate + "reverse_proxy {backend}\n}", "/hook?a=1"},
		"handle":                  {"handle /in/* {\n" + gate + "reverse_proxy {backend}\n}", "/in/hook?a=1"},
		"in a route, after":       {"route {\nrewrite * /new?x=1\n" + gate + "reverse_proxy {backend}\n}", "/new?x=1"},
		"in a route, before":      {"route {\n" + gate + "rewrite * /new?x=1\nreverse_proxy {backend}\n}", "/new?x=1"},
		"method":                  {"route {\nmethod PUT\n" + gate + "reverse_proxy {backend}\n}", "/in/hook?a=1"},
		"with a matcher":          {strings.Replace(gate, "webhook", "webhook /in/*", 1) + "reverse_proxy {backend}", "/in/hook?a=1"},
		"twice, one in the other": {gate + "handle {\n" + gate + "reverse_proxy {backend}\n}", "/in/hook?a=1"},
	} {
		b := startBackend(t, nil)
		s := startCaddy(t, strings.ReplaceAll(tt.site, "{backend}", b.address))
		r := delivery(t, "/in/hook?a=1", testBody)
		r.Header.Set("X-Signature", sign(t, testSecret, "path_query", "go", siteURL, "/in/hook?a=1", testBody))
		if a := s.do(t, r); a.status != 200 {
			t.Errorf("%s: %d, %v", name, a.status, s.refusals(t))
			continue
		}
		if got := b.one(t); got.RequestURI != tt.reaches || got.body != testBody {
			t.Errorf("%s: the backend got %s with %q", name, got.RequestURI, got.body)
		}
		// A signature for what the rewrite makes of the request is no good.
		if tt.reaches != "/in/hook?a=1" {
			r := delivery(t, "/in/hook?a=1", testBody)
			r.Header.Set("X-Signature", sign(t, testSecret, "path_query", "go", siteURL, tt.reaches, testBody))
			if a := s.do(t, r); a.status != 401 {
				t.Errorf("%s: signed for what comes out: %d", name, a.status)
			}
			b.none(t)
		}
	}
	// A method that a rewrite made is not the one that arrived.
	s := startCaddy(t, "route {\nmethod POST\n"+gate+"}")
	r := delivery(t, "/in/hook?a=1", testBody)
	r.Method = "PUT"
	if a := s.do(t, r); a.status != 405 {
		t.Errorf("PUT rewritten to POST: %d", a.status)
	}
}

// TestBeforeBasicAuth: without an order the directive stands after rewrites and
// before basic_auth, which would refuse first.
func TestBeforeBasicAuth(t *testing.T) {
	t.Parallel()
	s := startCaddy(t, `
		respond "reached"
		basic_auth {
			alice $2a$04$bQnpBnHXMlGYp9BTvGgjHe7C3bvyh4xFWJHdZJ9Ba9Ez2SgWhmUEC
		}
		`+hmacOnly)
	r := delivery(t, "/hook", testBody)
	if a := s.do(t, r); a.status != 401 || len(s.refusals(t)) != 1 {
		t.Errorf("unsigned: %d, %v", a.status, s.refusals(t))
	}
	if a := s.do(t, signed(t, "/hook", testBody)); a.status != 401 || len(s.refusals(t)) != 1 || a.header.Get("WWW-Authenticate") == "" {
		t.Errorf("signed, for basic_auth to refuse: %v, %v", a, s.refusals(t))
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	b := startBackend(t, func(rw http.ResponseWriter, r *http.Request) {
		status, _ := strconv.Atoi(r.Header.Get("X-Want"))
		rw.Header().Set("X-From-Backend", "yes")
		if status == 302 {
			rw.Header().Set("Location", "/elsewhere")
		}
		if status != 0 {
			rw.WriteHeader(status)
		}
		if status != 204 && status != 304 {
			_, _ = io.WriteString(rw, "from the backend")
		}
	})
	normal := startCaddy(t, hmacOnly+`reverse_proxy `+b.address)
	kept := startCaddy(t, strings.Replace(hmacOnly, "hmac", "keep_status\nhmac", 1)+`reverse_proxy `+b.address)
	for _, status := range []int{0, 200, 201, 202, 204, 206, 226, 299, 300, 302, 304, 307, 400, 401, 404, 409, 413, 422, 429, 500, 502, 503, 599} {
		for name, s := range map[string]*server{"": normal, "keep_status": kept} {
			r := signed(t, "/hook", testBody)
			r.Header.Set("X-Want", strconv.Itoa(status))
			a := s.do(t, r)
			want := status
			if status == 0 || status < 300 && name == "" {
				want = 200
			}
			body := "from the backend"
			if status == 204 || status == 304 {
				body = ""
			}
			if a.status != want || a.body != body || a.header.Get("X-From-Backend") != "yes" {
				t.Errorf("%s: the backend's %d is answered as %v, want %d", name, status, a, want)
			}
			if want == 302 && a.header.Get("Location") != "/elsewhere" {
				t.Errorf("Location %q", a.header.Get("Location"))
			}
			b.one(t)
		}
	}
	if refusals := normal.refusals(t); len(refusals) > 0 {
		t.Errorf("a backend's answer was logged as a refusal: %v", refusals)
	}
}

// TestEarlyHints: an answer that is none yet goes on as it is.
func TestEarlyHints(t *testing.T) {
	t.Parallel()
	b := startBackend(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Link", "</a>")
		rw.WriteHeader(http.StatusEarlyHints)
		rw.WriteHeader(http.StatusCreated)
	})
	s := startCaddy(t, hmacOnly+`reverse_proxy `+b.address)
	var early []int
	r := signed(t, "/hook", testBody)
	r = r.WithContext(httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			early = append(early, code)
			return nil
		},
	}))
	if a := s.do(t, r); a.status != 200 || !slices.Equal(early, []int{103}) {
		t.Errorf("answer %v after %v", a, early)
	}
}

func TestStripCredentials(t *testing.T) {
	t.Parallel()
	b := startBackend(t, nil)
	for _, strip := range []string{"", "strip_credentials"} {
		s := startCaddy(t, `
			klink_webhook {
				hmac "`+testSecret+`" {
					header X-Signature X-Other-Signature
				}
				basic alice pw
				header X-Token t
				`+strip+`
			}
			reverse_proxy `+b.address)
		r := signed(t, "/hook", testBody)
		r.SetBasicAuth("alice", "pw")
		r.Header.Set("X-Token", "t")
		r.Header.Set("X-Other-Signature", "unused")
		r.Header.Set("X-Kept", "kept")
		if a := s.do(t, r); a.status != 200 {
			t.Fatalf("answer %v, %v", a, s.refusals(t))
		}
		got := b.one(t)
		for _, name := range []string{"X-Signature", "X-Other-Signature", "Authorization", "X-Token"} {
			if _, there := got.Header[name]; there == (strip != "") {
				t.Errorf("%q: %s is there: %v", strip, name, there)
			}
		}
		if got.Header.Get("X-Kept") != "kept" || got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%q: the header %v", strip, got.Header)
		}
	}
}

// TestHTTP2 goes over HTTP/2 in clear text, where no body has to announce its length.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	b := startBackend(t, nil)
	s := startCaddy(t, hmacOnly+`reverse_proxy `+b.address)
	transport := s.transport()
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetUnencryptedHTTP2(true)
	s.client.Transport = transport
	for _, length := range []int64{int64(len(testBody)), -1} {
		r := signed(t, "/hook?a=1", testBody)
		r.ContentLength = length
		res, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		got := b.one(t)
		if res.ProtoMajor != 2 || res.StatusCode != 200 || got.body != testBody || got.ContentLength != int64(len(testBody)) {
			t.Errorf("%s %d, the backend got %q", res.Proto, res.StatusCode, got.body)
		}
	}
	if a := s.do(t, delivery(t, "/hook", testBody)); a.status != 401 || len(s.refusals(t)) != 1 {
		t.Errorf("unsigned: %v", a)
	}
}

// TestTLS: the scheme in the string to sign is the one that was spoken.
func TestTLS(t *testing.T) {
	t.Parallel()
	b := startBackend(t, nil)
	certificate, key := selfSigned(t)
	s := startCaddyfile(t, fmt.Sprintf(`{
		{common}
		servers {
			trusted_proxies_unix
		}
	}
	https://hooks.example.com {
		bind unix/{socket}
		tls %s %s
		klink_webhook {
			hmac "%s"
		}
		reverse_proxy %s
	}`, certificate, key, testSecret, b.address))
	transport := s.transport()
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	transport.ForceAttemptHTTP2 = true
	transport.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", s.socket)
		if err != nil {
			return nil, err
		}
		tlsConn := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: "hooks.example.com", NextProtos: []string{"h2", "http/1.1"}})
		return tlsConn, tlsConn.HandshakeContext(ctx)
	}
	s.client.Transport = transport
	const base = "https://hooks.example.com"
	for scheme, want := range map[string]int{"https": 200, "http": 401} {
		r := delivery(t, "/hook", testBody)
		r.URL.Scheme = "https"
		r.Header.Set("X-Signature", sign(t, testSecret, "full", "go", scheme+strings.TrimPrefix(base, "https"), "/hook", testBody))
		if a := s.do(t, r); a.status != want {
			t.Errorf("signed for %s: %d, want %d, %v", scheme, a.status, want, s.refusals(t))
		}
	}
	if got := b.one(t); got.body != testBody {
		t.Errorf("the backend got %q", got.body)
	}
}
