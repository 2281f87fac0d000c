package sender_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/klinkgate/caddy-klink/sender"
	"github.com/klinkgate/caddy-klink/verifier"
)

// verified serves whatever the verifier accepts, as it arrived on the wire, and answers 401 to all else.
func verified(t *testing.T, v *verifier.Verifier) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		d := &verifier.Delivery{
			Method: r.Method, Scheme: "http", Host: r.Host, Target: r.RequestURI, Header: r.Header,
			Client: netip.MustParseAddr("127.0.0.1"),
		}
		var e verifier.Evidence
		refusal := v.CheckRequest(d, &e)
		if refusal == nil && v.NeedsBody() {
			refusal = v.CheckBody(d, body, &e)
		}
		if refusal != nil {
			w.Header().Set("X-Refusal", refusal.Error())
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func newVerifier(t *testing.T, c verifier.Config) *verifier.Verifier {
	c.Allow = must(verifier.ParseAddressList([]string{"any"}))(t)
	return must(verifier.New(c))(t)
}

func newHMAC(t *testing.T, f verifier.Form, headers ...string) *verifier.HMAC {
	return must(verifier.NewHMAC(verifier.HMACConfig{
		Secrets: []verifier.Secret{must(verifier.NewSecret("test-secret"))(t)}, Headers: headers, Form: f,
	}))(t)
}

// status sends one event without retries.
func status(t *testing.T, url string, e sender.Event, credentials ...sender.Credential) int {
	t.Helper()
	s := must(sender.New(sender.Config{URL: url, Credentials: credentials, TimeScale: 1e-9}))(t)
	defer s.Close()
	return must(s.Send(t.Context(), e))(t).Attempts[0].Status
}

func TestEveryFormIsAccepted(t *testing.T) {
	t.Parallel()
	const query = "?b=2&a=%20x&a=1"
	g := must(sender.NewGenerator(7))(t)
	forms := append(verifier.Form{}.Readings(), form(t, "https://hooks.example.com/typed", "go"))
	for n, f := range forms {
		t.Run(f.String(), func(t *testing.T) {
			t.Parallel()
			pinned := verified(t, newVerifier(t, verifier.Config{HMAC: newHMAC(t, f)}))
			target := pinned.URL + "/hooks/kl%2Fink" + strings.ReplaceAll(query, "%20", "")
			for k := range 8 {
				if got := status(t, target, g.Event(8*n+k), signed(t, sender.Signing{Form: f})); got != 200 {
					t.Errorf("event %d: %d", 8*n+k, got)
				}
			}
			other := sender.ReadEvent([]byte(`{"event":"contact.create","data":{"a":"<\b>","n":1.50}}`))
			for _, wrong := range []verifier.Form{form(t, "host_path", "go"), form(t, "path", "raw"), form(t, "full_query", "raw_numbers")} {
				if got := status(t, target, other, signed(t, sender.Signing{Form: wrong})); wrong != f && got != 401 {
					t.Errorf("signed as %v: %d", wrong, got)
				}
			}
		})
	}
}

func TestASignatureIsWrittenAsAsked(t *testing.T) {
	f := form(t, "path", "go")
	for _, tt := range []struct {
		header string // where the endpoint looks
		s      sender.Signing
		want   int
	}{
		{"X-Signature", sender.Signing{}, 200},
		{"X-Signature", sender.Signing{Encoding: sender.Hex, Prefix: "sha256="}, 200},
		{"X-Signature", sender.Signing{Encoding: sender.Base64}, 200},
		{"Authorization", sender.Signing{Header: "authorization", Prefix: "HMAC-SHA256 "}, 200},
		{"Authorization", sender.Signing{Header: "Authorization", Prefix: "Bearer ", Encoding: sender.Base64}, 200},
		{"X-Other", sender.Signing{Header: "x-other"}, 200},
		{"X-Other", sender.Signing{}, 401},
		{"X-Signature", sender.Signing{Prefix: "md5="}, 401},
	} {
		t.Run(fmt.Sprintf("%+v", tt.s), func(t *testing.T) {
			server := verified(t, newVerifier(t, verifier.Config{HMAC: newHMAC(t, f, tt.header)}))
			tt.s.Form = f
			if got := status(t, server.URL, event(t, 0), signed(t, tt.s)); got != tt.want {
				t.Errorf("status %d, want %d", got, tt.want)
			}
		})
	}
}

func TestEncodings(t *testing.T) {
	for encoding, want := range map[sender.Encoding]string{
		"":            `^v1=[0-9a-f]{64}$`,
		sender.Hex:    `^v1=[0-9a-f]{64}$`,
		sender.Base64: `^v1=[0-9A-Za-z+/]{43}=$`,
	} {
		var got string
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Get("X-Signature") }))
		status(t, server.URL, event(t, 0), signed(t, sender.Signing{Form: form(t, "path", "go"), Encoding: encoding, Prefix: "v1="}))
		server.Close()
		if !regexp.MustCompile(want).MatchString(got) {
			t.Errorf("%q: %s, want %s", encoding, got, want)
		}
	}
}

func TestCredentialsTogether(t *testing.T) {
	f := form(t, "full", "go")
	basic := must(verifier.NewBasic())(t)
	if err := basic.Add("klink", "pässword:1"); err != nil {
		t.Fatal(err)
	}
	server := verified(t, newVerifier(t, verifier.Config{
		HMAC:    newHMAC(t, f, "X-Signature"),
		Basic:   basic,
		Headers: []*verifier.Header{must(verifier.NewHeader("X-Token", []string{"t0ken"}))(t)},
	}))
	signature := signed(t, sender.Signing{Form: f})
	password := must(sender.BasicAuth("klink", "pässword:1"))(t)
	token := must(sender.FixedHeader("x-token", "t0ken"))(t)
	for _, tt := range []struct {
		name        string
		credentials []sender.Credential
		want        int
	}{
		{"all", []sender.Credential{signature, password, token}, 200},
		{"no signature", []sender.Credential{password, token}, 401},
		{"no password", []sender.Credential{signature, token}, 401},
		{"no token", []sender.Credential{signature, password}, 401},
		{"none", nil, 401},
	} {
		if got := status(t, server.URL+"/x", event(t, 2), tt.credentials...); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestBadCredentials(t *testing.T) {
	sign := func(s sender.Signing) func() (sender.Credential, error) {
		if s.Form == (verifier.Form{}) {
			s.Form = form(t, "path", "go")
		}
		s.Secret = must(verifier.NewSecret("test-secret"))(t)
		return s.Credential
	}
	header := func(name, value string) func() (sender.Credential, error) {
		return func() (sender.Credential, error) { return sender.FixedHeader(name, value) }
	}
	basic := func(user, password string) func() (sender.Credential, error) {
		return func() (sender.Credential, error) { return sender.BasicAuth(user, password) }
	}
	for _, tt := range []struct {
		name string
		make func() (sender.Credential, error)
		want string
	}{
		{"no secret", sender.Signing{Form: form(t, "path", "go")}.Credential, "the secret is empty"},
		{"URL form open", sign(sender.Signing{Form: form(t, "auto", "go")}), `the form "auto go" leaves open`},
		{"body form open", sign(sender.Signing{Form: form(t, "path", "auto")}), `the form "path auto" leaves open`},
		{"encoding", sign(sender.Signing{Encoding: "base32"}), `unknown encoding "base32": write hex or base64`},
		{"prefix", sign(sender.Signing{Prefix: "a\nb"}), "the signature's prefix begins with space"},
		{"signature header", sign(sender.Signing{Header: "X Signature"}), `"X Signature" is no name of a header`},
		{"signature header taken", sign(sender.Signing{Header: "content-type"}), "Content-Type says what the request is"},
		{"header without name", header("", "x"), `"" is no name of a header`},
		{"header without value", header("X-A", ""), "the value of header X-A is empty"},
		{"header with a line break", header("X-A", "s3cret\n"), "the value of header X-A is empty, begins or ends with space"},
		{"header with space", header("X-A", " s3cret"), "the value of header X-A is empty, begins or ends with space"},
		{"header with a control character", header("X-A", "s3\x7fcret"), "the value of header X-A is empty"},
		{"user with a colon", basic("a:b", "s3cret"), "the user of Basic credentials is empty or holds a colon"},
		{"no user", basic("", "s3cret"), "the user of Basic credentials is empty"},
		{"no password", basic("a", ""), "the password of Basic credentials is empty"},
	} {
		_, err := tt.make()
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "s3") {
			t.Errorf("%s: %v\nwant %s…", tt.name, err, tt.want)
		}
	}
}

func TestCredentialsCannotBePrinted(t *testing.T) {
	c := must(sender.FixedHeader("X-Token", "s3cret"))(t)
	s := must(sender.New(sender.Config{URL: "http://backend.example", Credentials: []sender.Credential{c}}))(t)
	if text := fmt.Sprintf("%v %+v %#v %+v", c, c, c, s); strings.Contains(text, "s3cret") {
		t.Errorf("printed: %s", text)
	}
}
