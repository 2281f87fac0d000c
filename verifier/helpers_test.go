package verifier

import (
	"encoding/base64"
	"net/netip"
	"strings"
	"testing"
)

func mustSecret(t testing.TB, s string) Secret {
	t.Helper()
	secret, err := NewSecret(s)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// form reads "path_query raw_numbers long_escapes".
func form(t testing.TB, text string) Form {
	t.Helper()
	url, body, _ := strings.Cut(text, " ")
	u, err := ParseURLForm(url)
	if err != nil {
		t.Fatal(err)
	}
	b, err := ParseBodyForm(strings.Fields(body))
	if err != nil {
		t.Fatal(err)
	}
	return Form{URL: u, Body: b}
}

func mustHMAC(t testing.TB, formText string, secrets ...string) *HMAC {
	t.Helper()
	c := HMACConfig{Form: form(t, formText)}
	for _, s := range secrets {
		c.Secrets = append(c.Secrets, mustSecret(t, s))
	}
	h, err := NewHMAC(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func mustVerifier(t testing.TB, c Config) *Verifier {
	t.Helper()
	if c.Allow == nil {
		c.Allow = mustList(t, "any")
	}
	v, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func mustList(t testing.TB, entries ...string) *AddressList {
	t.Helper()
	list, err := ParseAddressList(entries)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// post is a delivery to https://hooks.example.com without credentials.
func post(target string) *Delivery {
	return &Delivery{
		Method: "POST", Scheme: "https", Host: "hooks.example.com", Target: target,
		Header: map[string][]string{}, Client: netip.MustParseAddr("51.79.216.180"),
	}
}

// signedWith is post with a signature over text.
func signedWith(t testing.TB, secret, target, text string) *Delivery {
	t.Helper()
	d := post(target)
	d.Header["X-Signature"] = []string{mustSecret(t, secret).Sign([]byte(text)).Hex()}
	return d
}

// check runs both halves of the verification.
func check(v *Verifier, d *Delivery, body string) (Evidence, *Refusal) {
	var e Evidence
	if refusal := v.CheckRequest(d, &e); refusal != nil {
		return e, refusal
	}
	if !v.NeedsBody() {
		return e, nil
	}
	return e, v.CheckBody(d, []byte(body), &e)
}

func reasonOf(refusal *Refusal) Reason {
	if refusal == nil {
		return ""
	}
	return refusal.Reason
}

func basicAuth(credentials string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(credentials))
}
