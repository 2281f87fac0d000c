package verifier

import (
	"fmt"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// What is delivered in these tests: the body has another text in every form.
const (
	diagnosedTarget = "/klink?b=2&a=1"
	diagnosedBody   = `{"n": 1.0, "t": "<\b"}`
	diagnosedQuery  = `a=[1]&b=[2]`
	diagnosedGo     = `{"n":1,"t":"\u003c\b"}`
)

// diagnose signs text, delivers it in a header and returns what h makes of that.
func diagnose(t *testing.T, h *HMAC, secret, header, text string) (Finding, bool) {
	t.Helper()
	d := post(diagnosedTarget)
	d.Header[header] = []string{mustSecret(t, secret).Sign([]byte(text)).Hex()}
	return h.Diagnose(d, []string{"internal:8080", "hooks.example.net"}, []byte(diagnosedBody))
}

func TestDiagnoseFindsEachReading(t *testing.T) {
	const rest = diagnosedQuery + diagnosedGo
	for _, tt := range []struct {
		name, signed, form, publicURL, path string
	}{
		{"full", "POSThttps://hooks.example.com/klink" + rest, "full go", "", ""},
		{"full_query", "POSThttps://hooks.example.com/klink?b=2&a=1" + rest, "full_query go", "", ""},
		{"path", "POST/klink" + rest, "path go", "", ""},
		{"path_query", "POST/klink?b=2&a=1" + rest, "path_query go", "", ""},
		{"host_path", "POSThooks.example.com/klink" + rest, "host_path go", "", ""},

		{"no HTML escape", "POST/klink" + diagnosedQuery + `{"n":1,"t":"<\b"}`, "path no_html_escape", "", ""},
		{"raw numbers", "POST/klink" + diagnosedQuery + `{"n":1.0,"t":"\u003c\b"}`, "path raw_numbers", "", ""},
		{"long escapes", "POST/klink" + diagnosedQuery + `{"n":1,"t":"\u003c\u0008"}`, "path long_escapes", "", ""},
		{"all variants", "POST/klink" + diagnosedQuery + `{"n":1.0,"t":"<\u0008"}`, "path no_html_escape raw_numbers long_escapes", "", ""},
		{"raw", "POST/klink" + diagnosedQuery + diagnosedBody, "path raw", "", ""},

		{"another scheme", "POSThttp://hooks.example.com/klink" + rest, "full go", "http://hooks.example.com", ""},
		{"another host", "POSThttps://internal:8080/klink" + rest, "full go", "https://internal:8080", ""},
		{"the last of the other hosts", "POSThooks.example.net/klink" + rest, "host_path go", "https://hooks.example.net", ""},
		{"another scheme and host", "POSThttp://hooks.example.net/klink?b=2&a=1" + rest, "full_query go", "http://hooks.example.net", ""},

		{"a slash at the end", "POST/klink/" + rest, "path go", "", "/klink/"},
		{"a slash before the query", "POST/klink/?b=2&a=1" + rest, "path_query go", "", "/klink/"},
		{"a slash in host_path", "POSThooks.example.com/klink/" + rest, "host_path go", "", "/klink/"},
		{"a slash in full", "POSThttps://hooks.example.com/klink/" + rest, "https://hooks.example.com/klink/ go", "", "/klink/"},
		{
			"a slash in full_query", "POSThttps://hooks.example.com/klink/?b=2&a=1" + rest,
			"https://hooks.example.com/klink/?b=2&a=1 go", "", "/klink/",
		},
		{
			"scheme, host, slash and body", "POSThttp://internal:8080/klink/" + diagnosedQuery + diagnosedBody,
			"http://internal:8080/klink/ raw", "", "/klink/",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, found := diagnose(t, mustHMAC(t, "full go", "s"), "s", "X-Signature", tt.signed)
			if !found {
				t.Fatal("nothing was found")
			}
			if got := f.Form.String(); got != tt.form {
				t.Errorf("the form is %s, want %s", got, tt.form)
			}
			publicURL := ""
			if f.OtherHost {
				publicURL = f.PublicURL
			}
			if publicURL != tt.publicURL {
				t.Errorf("the public URL is %q, want %q", publicURL, tt.publicURL)
			}
			if f.OtherPath != (tt.path != "") || f.OtherPath && f.Path != tt.path {
				t.Errorf("the path is %q (another one: %v), want %q", f.Path, f.OtherPath, tt.path)
			}
			if got := string(f.StringToSign()); got != tt.signed {
				t.Errorf("the string to sign is\n%s, want\n%s", got, tt.signed)
			}
		})
	}
}

func TestDiagnoseFindsEachSecretHeaderAndEncoding(t *testing.T) {
	text := []byte("POST/klink" + diagnosedQuery + diagnosedGo)
	h := mustHMAC(t, "auto auto", "first", "second", "third")
	for i, secret := range []string{"first", "second", "third"} {
		signature := mustSecret(t, secret).Sign(text)
		for _, name := range []string{"X-Signature", "Authorization", "X-Hub-Signature-256"} {
			for _, value := range []string{
				signature.Hex(), strings.ToUpper(signature.Hex()), signature.Base64(),
				"sha256=" + signature.Hex(), "HMAC-SHA256 " + signature.Base64(), "Bearer " + signature.Hex(),
			} {
				d := post(diagnosedTarget)
				d.Header[name] = []string{value}
				d.Header["X-Other"] = []string{mustSecret(t, "other").Sign(text).Hex()}
				f, found := h.Diagnose(d, nil, []byte(diagnosedBody))
				if !found || f.Header != name || f.Secret != i+1 || f.Form.String() != "path go" {
					t.Errorf("%s: %s with secret %d: got %s %d %v, found %v", name, value, i+1, f.Header, f.Secret, f.Form, found)
				}
			}
		}
	}
}

func TestDiagnoseFindsNothing(t *testing.T) {
	text := "POSThttps://hooks.example.com/klink" + diagnosedQuery + diagnosedGo
	h := mustHMAC(t, "auto auto", "right", "old")
	for name, tt := range map[string]struct{ secret, text, target string }{
		"wrong secret": {"wrong", text, diagnosedTarget},
		"other body":   {"right", strings.Replace(text, `"n":1`, `"n":2`, 1), diagnosedTarget},
		"other method": {"right", strings.Replace(text, "POST", "PUT", 1), diagnosedTarget},
		"other query":  {"right", text, "/klink?b=2&a=3"},
		"other host":   {"right", strings.Replace(text, "hooks.", "www.", 1), diagnosedTarget},
		"broken query": {"right", text, "/klink?a=%zz"},
		"no delivery":  {"right", "", diagnosedTarget},
	} {
		t.Run(name, func(t *testing.T) {
			d := post(tt.target)
			d.Header["X-Signature"] = []string{mustSecret(t, tt.secret).Sign([]byte(tt.text)).Hex()}
			if f, found := h.Diagnose(d, nil, []byte(diagnosedBody)); found {
				t.Errorf("found %v", f.Form)
			}
		})
	}
	d := post(diagnosedTarget)
	d.Header["X-Signature"] = []string{"not a signature"}
	if f, found := h.Diagnose(d, nil, []byte(diagnosedBody)); found {
		t.Errorf("without a signature: found %v", f.Form)
	}
}

func TestDiagnosisIsBounded(t *testing.T) {
	h := mustHMAC(t, "auto auto", "right")
	signed := func(text string) string { return mustSecret(t, "right").Sign([]byte(text)).Hex() }

	d := post("/" + strings.Repeat("a", maxDiagnosedTarget))
	d.Header["X-Signature"] = []string{signed("POST" + d.Target + "{}")}
	if _, found := h.Diagnose(d, nil, []byte(`{}`)); found {
		t.Error("a target beyond the bound was diagnosed")
	}
	d = post("/" + strings.Repeat("a", maxDiagnosedTarget-1))
	d.Header["X-Signature"] = []string{signed("POST" + d.Target + "{}")}
	if _, found := h.Diagnose(d, nil, []byte(`{}`)); !found {
		t.Error("a target within the bound was not diagnosed")
	}

	var hosts []string
	for i := range maxOtherHosts + 1 {
		hosts = append(hosts, fmt.Sprintf("host%d.example", i))
	}
	for i, want := range map[int]bool{maxOtherHosts - 1: true, maxOtherHosts: false} {
		d = post("/klink")
		d.Header["X-Signature"] = []string{signed("POST" + hosts[i] + "/klink{}")}
		if _, found := h.Diagnose(d, hosts, []byte(`{}`)); found != want {
			t.Errorf("host %d: found %v, want %v", i+1, found, want)
		}
	}

	d = post("/klink")
	for i := range 10000 {
		d.Header[textproto.CanonicalMIMEHeaderKey(fmt.Sprintf("X-%05d", i))] = []string{signed(fmt.Sprint(i))}
	}
	d.Header["X-99999"] = []string{signed("POST/klink{}")}
	if got := len(SignaturesIn(d.Header)); got != maxDiagnosedSignatures {
		t.Errorf("%d signatures are tried, want %d", got, maxDiagnosedSignatures)
	}
	begin := time.Now()
	if _, found := h.Diagnose(d, hosts, []byte(`{"a":"`+strings.Repeat("<", 64<<10)+`"}`)); found {
		t.Error("a signature beyond the bound was tried")
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("the longest diagnosis took %v", took)
	}
}

// What is pinned comes first, so that the advice changes no more than it must.
func TestDiagnosePrefersWhatIsPinned(t *testing.T) {
	for _, tt := range []struct{ pinned, signed, want string }{
		{"path_query raw", "POST/klink{}", "path_query raw"}, // path go gives the same
		{"full_query go", "POSThttp://hooks.example.com/klink{}", "full_query go"},
		{"https://typed.example/x raw", `POSThttps://typed.example/x{}`, "https://typed.example/x raw"},
	} {
		d := signedWith(t, "s", "/klink", tt.signed)
		f, found := mustHMAC(t, tt.pinned, "s").Diagnose(d, nil, []byte(`{}`))
		if !found || f.Form.String() != tt.want {
			t.Errorf("pinned to %s: got %v, found %v, want %s", tt.pinned, f.Form, found, tt.want)
		}
	}
}

func TestAdvice(t *testing.T) {
	const rest = diagnosedQuery + diagnosedGo
	for _, tt := range []struct{ pinned, header, signed, want string }{
		{"path_query go", "X-Signature", "POST/klink" + rest, "matches secret main with: url path (in hmac)"},
		{"path go", "X-Signature", "POST/klink" + diagnosedQuery + diagnosedBody, "matches secret main with: body raw (in hmac)"},
		{"auto auto", "X-Other", "POST/klink" + rest, "matches secret main with: header X-Other (in hmac)"},
		{"auto auto", "Authorization", "POST/klink" + rest, "matches secret main"},
		{
			"auto auto", "X-Signature", "POSThttp://hooks.example.net/klink" + rest,
			"matches secret main with: public_url http://hooks.example.net",
		},
		{
			"full go", "X-Other", "POSThttps://internal:8080/klink?b=2&a=1" + diagnosedQuery + diagnosedBody,
			"matches secret main with: public_url https://internal:8080; header X-Other (in hmac); url full_query (in hmac); body raw (in hmac)",
		},
		{
			"auto auto", "X-Signature", "POSThttps://hooks.example.com/klink/" + rest,
			"matches secret main with: url https://hooks.example.com/klink/ (in hmac)",
		},
		{
			"auto auto", "X-Signature", "POST/klink/" + rest,
			`matches secret main; K-LINK signs the path "/klink/": type the URL there as it arrives here`,
		},
	} {
		h := mustHMAC(t, tt.pinned, "s")
		f, found := diagnose(t, h, "s", tt.header, tt.signed)
		if !found {
			t.Errorf("%s: nothing was found", tt.want)
			continue
		}
		if got := h.Advice(f, "main"); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

// The first header that is there counts, so a right signature in the second one
// needs advice; Basic credentials are no signature.
func TestAdviceOnAHeaderThatIsNotRead(t *testing.T) {
	h := mustHMAC(t, "auto auto", "s")
	d := signedWith(t, "s", "/klink", "POST/klink{}")
	d.Header["Authorization"] = d.Header["X-Signature"]
	d.Header["X-Signature"] = []string{mustSecret(t, "other").Sign(nil).Hex()}
	f, found := h.Diagnose(d, nil, []byte(`{}`))
	if want := "matches secret 1 with: header Authorization (in hmac)"; !found || h.Advice(f, "1") != want {
		t.Errorf("got %q, want %q", h.Advice(f, "1"), want)
	}

	c := HMACConfig{Secrets: []Secret{mustSecret(t, "s")}, Headers: []string{"Authorization", "X-Signature"}}
	h, err := NewHMAC(c)
	if err != nil {
		t.Fatal(err)
	}
	d = signedWith(t, "s", "/klink", "POST/klink/{}")
	d.Header["Authorization"] = []string{basicAuth("klink:pass")}
	f, found = h.Diagnose(d, nil, []byte(`{}`))
	if advice := h.Advice(f, "1"); !found || strings.Contains(advice, "header") {
		t.Errorf("beside Basic credentials: %q", advice)
	}
}

// A path of nothing but a slash can be signed as nothing at all.
func TestDiagnoseAnEmptyPath(t *testing.T) {
	h := mustHMAC(t, "auto auto", "s")
	f, found := h.Diagnose(signedWith(t, "s", "/", "POSThttps://hooks.example.com{}"), nil, []byte(`{}`))
	if want := "matches secret 1 with: url https://hooks.example.com (in hmac)"; !found || h.Advice(f, "1") != want {
		t.Errorf("got %q, want %q", h.Advice(f, "1"), want)
	}
	f, found = h.Diagnose(signedWith(t, "s", "/", "POST{}"), nil, []byte(`{}`))
	if want := `matches secret 1; K-LINK signs the path "": type the URL there as it arrives here`; !found || h.Advice(f, "1") != want {
		t.Errorf("got %q, want %q", h.Advice(f, "1"), want)
	}
}

func TestCheckOfAFinding(t *testing.T) {
	for _, tt := range []struct {
		name, target, signed, body string
		want                       Reason
	}{
		{"accepted", "/klink", "POSThttp://hooks.example.com/klink{}", `{}`, ""},
		{"a literal", "/klink", "POSThttps://hooks.example.com/klink/{}", `{}`, ""},
		{"not as this path", "/klink", "POST/klink/{}", `{}`, SignatureMismatch},
		{"repeated key", "/klink", `POST/klink{"a":2}`, `{"a":1,"a":2}`, BodyAmbiguous},
		{"query", "/klink?a=1%202", `POST/klinka=[1 2]{}`, `{}`, QueryAmbiguous},
		{"path", "/kl|nk", `POST/kl|nk{}`, `{}`, PathAmbiguous},
	} {
		d := signedWith(t, "s", tt.target, tt.signed)
		f, found := mustHMAC(t, "auto auto", "s").Diagnose(d, nil, []byte(tt.body))
		if !found {
			t.Errorf("%s: nothing was found", tt.name)
			continue
		}
		if got := reasonOf(f.Check(d, mustSecret(t, "s"), []byte(tt.body))); got != tt.want {
			t.Errorf("%s: refused for %q, want %q", tt.name, got, tt.want)
		}
		if got := reasonOf(f.Check(d, mustSecret(t, "other"), []byte(tt.body))); got == "" {
			t.Errorf("%s: accepted with another secret", tt.name)
		}
		d.Header["X-Signature"] = append(d.Header["X-Signature"], "again")
		if got := reasonOf(f.Check(d, mustSecret(t, "s"), []byte(tt.body))); got != CredentialMalformed {
			t.Errorf("%s: with the header twice: refused for %q", tt.name, got)
		}
	}
}
