package verifier

import (
	"strings"
	"testing"
)

// checkTarget looks at a delivery whose signature is well-formed and wrong: what
// passes the rules about the target ends as a mismatch.
func checkTarget(t *testing.T, formText string, d *Delivery) Reason {
	t.Helper()
	d.Header["X-Signature"] = []string{strings.Repeat("0", 64)}
	_, refusal := check(mustVerifier(t, Config{HMAC: mustHMAC(t, formText, "s")}), d, "{}")
	return reasonOf(refusal)
}

func TestPathRules(t *testing.T) {
	const fine = SignatureMismatch
	for _, tt := range []struct {
		target string
		want   Reason
	}{
		{"/", fine},
		{"/in/klink", fine},
		{"//in//klink/", fine},
		{"/../in/.", fine}, // as sent: neither cleaned nor resolved
		{"/-._~!$&'()*+,;=:@09AZaz", fine},
		{"/%7e%2F%00%fF", fine},
		{"", PathAmbiguous},
		{"in", PathAmbiguous},
		{"?a=1", PathAmbiguous},
		{"*", PathAmbiguous},
		{"/a b", PathAmbiguous},
		{"/a\"b", PathAmbiguous},
		{"/a[b", PathAmbiguous},
		{"/a]b", PathAmbiguous},
		{"/a{b", PathAmbiguous},
		{"/a}b", PathAmbiguous},
		{"/a#b", PathAmbiguous},
		{"/a\\b", PathAmbiguous},
		{"/a|b", PathAmbiguous},
		{"/a^b", PathAmbiguous},
		{"/a`b", PathAmbiguous},
		{"/a<b", PathAmbiguous},
		{"/a\x7fb", PathAmbiguous},
		{"/a\x00b", PathAmbiguous},
		{"/ä", PathAmbiguous},
		{"/\xff", PathAmbiguous},
		{"/%", PathAmbiguous},
		{"/%7", PathAmbiguous},
		{"/%7g", PathAmbiguous},
		{"/%g7", PathAmbiguous},
		{"/%?7e", PathAmbiguous},
		{"/a%2?a=1", PathAmbiguous},
	} {
		for _, f := range []string{"path go", "auto auto", "https://typed.example/ raw"} {
			if got := checkTarget(t, f, post(tt.target)); got != tt.want {
				t.Errorf("%s: target %q: %q, want %q", f, tt.target, got, tt.want)
			}
		}
	}
}

func TestQueryRules(t *testing.T) {
	const fine = SignatureMismatch
	for _, tt := range []struct {
		query string
		want  Reason
	}{
		{"", fine},
		{"a", fine},
		{"a=1&b=2&a=3", fine},
		{"=1", fine},
		{"&&a=1&", fine},
		{"a=%C3%A4", fine},
		{"a=1=2", fine},
		{"a=[", fine},
		{"a+b=1", fine}, // a space in a key runs into nothing
		{"a]=1", fine},
		{"a=x+y", QueryAmbiguous},
		{"a=x%20y", QueryAmbiguous},
		{"a=+", QueryAmbiguous},
		{"a=x]", QueryAmbiguous},
		{"a=x%5dy", QueryAmbiguous},
		{"a%3D[=1", QueryAmbiguous},
		{"a%3d%5B=1", QueryAmbiguous},
		{"b=1&a=x+y", QueryAmbiguous},
		{"a=%", QueryAmbiguous},
		{"a=%zz", QueryAmbiguous},
		{"%=1", QueryAmbiguous},
		{"a=1;b=2", QueryAmbiguous},
		{"a=1#b", QueryAmbiguous},
		{"#", QueryAmbiguous},
		{"a=1%23b", fine},
		{strings.Repeat("a&", 10000) + "a", QueryAmbiguous},
		{strings.Repeat("a&", 9999) + "a", fine},
	} {
		for _, f := range []string{"path go", "auto auto", "full_query raw"} {
			if got := checkTarget(t, f, post("/?"+tt.query)); got != tt.want {
				t.Errorf("%s: query %.40q: %q, want %q", f, tt.query, got, tt.want)
			}
		}
	}
}

// TestQuestionMark: "path" with the key "?a=1a" and "path_query" with "a=1" give
// one string to sign, so auto cannot take such a key. A pinned form can.
func TestQuestionMark(t *testing.T) {
	for _, tt := range []struct {
		query string
		auto  Reason
	}{
		{"a=1", SignatureMismatch},
		{"%3Fa%3D1a=1", QueryAmbiguous},
		{"?a=1", QueryAmbiguous},
		{"a?=1", QueryAmbiguous},
		{"b=1&a%3f=1", QueryAmbiguous}, // a? is the first in order
		{"a=1&b?=1", SignatureMismatch},
		{"a=?", SignatureMismatch},
		{"a=1&a=?", SignatureMismatch},
	} {
		for f, want := range map[string]Reason{
			"auto auto": tt.auto, "auto go": tt.auto, "auto raw": tt.auto,
			"path auto": SignatureMismatch, "path_query go": SignatureMismatch, "full go": SignatureMismatch,
		} {
			if got := checkTarget(t, f, post("/?"+tt.query)); got != want {
				t.Errorf("%s: query %q: %q, want %q", f, tt.query, got, want)
			}
		}
	}
	text, err := AppendStringToSign(nil, post("/in?a=1"), form(t, "path_query go"), []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := AppendStringToSign(nil, post("/in?%3Fa%3D1a=1"), form(t, "path go"), []byte("{}"))
	if err != nil || string(text) != string(other) {
		t.Errorf("the rule is about %q and %q, %v", text, other, err)
	}
}

// TestHostRule: "host/path" of the host "https:" looks like "https://host/path".
func TestHostRule(t *testing.T) {
	for _, host := range []string{
		"hooks.example.com", "HOOKS.example.com", "hooks.example.com:8443", "localhost", "a_b.example", "xn--9ca.example",
		"192.0.2.1", "192.0.2.1:80", "[2001:db8::1]", "[2001:db8::1]:8443", "a.example.", "-",
	} {
		for _, urlForm := range []string{"full", "full_query", "host_path"} {
			if got := checkHost(t, urlForm, host); got != "" {
				t.Errorf("%s: host %q: %q", urlForm, host, got)
			}
		}
		if got := checkHost(t, "auto", host); got != "" {
			t.Errorf("auto: host %q: %q", host, got)
		}
	}
	for _, host := range []string{
		"", ":80", "https:", "http:", "hooks.example.com:", "hooks.example.com:x", "hooks.example.com:80:80", "a/b", "a?b", "a b",
		"user@a.example", "ä.example", "[::1", "::1", "[]", "[::1]x", "[::1%eth0]", "[192.0.2.1]", "[::1]:", "a]", "a%20b", "a\"",
	} {
		for _, urlForm := range []string{"full", "full_query", "host_path"} {
			if got := checkHost(t, urlForm, host); got != PathAmbiguous {
				t.Errorf("%s: host %q: %q", urlForm, host, got)
			}
		}
		if got := checkHost(t, "auto", host); got != SignatureMismatch { // the forms with a host are left out
			t.Errorf("auto: host %q: %q", host, got)
		}
		for _, urlForm := range []string{"path", "path_query", "https://typed.example/in"} {
			if got := checkHost(t, urlForm, host); got != "" {
				t.Errorf("%s: host %q: %q", urlForm, host, got)
			}
		}
	}
}

// checkHost has a delivery to host that is signed in the form, or as full under auto.
func checkHost(t *testing.T, urlForm, host string) Reason {
	t.Helper()
	d := post("/in")
	d.Host = host
	signedForm := urlForm + " go"
	if urlForm == "auto" {
		signedForm = "full go"
	}
	text, err := AppendStringToSign(nil, d, form(t, signedForm), []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	d.Header["X-Signature"] = []string{mustSecret(t, "s").Sign(text).Hex()}
	_, refusal := check(mustVerifier(t, Config{HMAC: mustHMAC(t, urlForm+" go", "s")}), d, "{}")
	return reasonOf(refusal)
}

// TestNoTargetRuleWithoutSignature: Basic and headers say nothing about the target.
func TestNoTargetRuleWithoutSignature(t *testing.T) {
	d := post("/ä b?a=x+y&%")
	d.Host = "https:"
	d.Header["X-Key"] = []string{"v"}
	header, err := NewHeader("X-Key", []string{"v"})
	if err != nil {
		t.Fatal(err)
	}
	if _, refusal := check(mustVerifier(t, Config{Headers: []*Header{header}}), d, ""); refusal != nil {
		t.Error(refusal)
	}
}
