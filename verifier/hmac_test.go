package verifier

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

// variedBody has another normal form in each body form.
const variedBody = `{ "n" : 1.0, "s" : "<\b" }`

// TestSignatureByHand holds the whole chain against HMAC-SHA256 as the vendor describes it.
func TestSignatureByHand(t *testing.T) {
	mac := hmac.New(sha256.New, []byte("klink-secret"))
	mac.Write([]byte(`POST` + `https://hooks.example.com/in` + `a=[1 2]&b=[x]` + `{"data":{"id":"7b1c","name":"Zoë"},"event":"contact.create"}`))
	d := post("/in?b=x&a=2&a=1")
	d.Header["X-Signature"] = []string{hex.EncodeToString(mac.Sum(nil))}

	v := mustVerifier(t, Config{HMAC: mustHMAC(t, "full go", "klink-secret")})
	e, refusal := check(v, d, `{"event":"contact.create","data":{"name":"Zo\u00eb","id":"7b1c"}}`)
	if refusal != nil || e.HMAC.Secret != 1 || e.HMAC.Form.String() != "full go" {
		t.Errorf("%+v, %v", e.HMAC, refusal)
	}
}

// TestEveryForm signs a delivery in every form there is. The form itself and auto
// accept it; every other form refuses it.
func TestEveryForm(t *testing.T) {
	const target = "/in/klink?b=2&a=1"
	forms := append(Form{}.Readings(), form(t, "https://typed.example/in go"), form(t, "http://typed.example/ raw"))
	for _, signedForm := range forms {
		text, err := AppendStringToSign(nil, post(target), signedForm, []byte(variedBody))
		if err != nil {
			t.Fatal(err)
		}
		d := signedWith(t, "s", target, string(text))
		for _, configured := range append(forms, Form{}) {
			h, err := NewHMAC(HMACConfig{Secrets: []Secret{mustSecret(t, "s")}, Form: configured})
			if err != nil {
				t.Fatal(err)
			}
			wanted := configured == signedForm || configured == Form{} && signedForm.URL.text == ""
			e, refusal := check(mustVerifier(t, Config{HMAC: h}), d, variedBody)
			switch {
			case wanted && (refusal != nil || e.HMAC.Form != signedForm || e.HMAC.Secret != 1):
				t.Errorf("signed as %q: %q answers %v, form %q", signedForm, configured, refusal, e.HMAC.Form)
			case !wanted && (reasonOf(refusal) != SignatureMismatch || e.HMAC.Secret != 0):
				t.Errorf("signed as %q: %q answers %v", signedForm, configured, refusal)
			}
		}
	}
}

func TestOneSideAuto(t *testing.T) {
	for _, tt := range []struct {
		signed, configured string
		want               Reason
	}{
		{"path_query raw_numbers long_escapes", "path_query auto", ""},
		{"path_query raw_numbers long_escapes", "path auto", SignatureMismatch},
		{"path_query raw", "auto raw", ""},
		{"path_query go", "auto raw", SignatureMismatch},
		{"path_query raw", "auto go", SignatureMismatch},
		{"host_path no_html_escape", "auto no_html_escape", ""},
		{"host_path no_html_escape", "auto no_html_escape raw_numbers", SignatureMismatch},
		{"https://typed.example/ raw_numbers", "https://typed.example/ auto", ""},
		{"https://typed.example/ raw_numbers", "auto raw_numbers", SignatureMismatch},
	} {
		text, err := AppendStringToSign(nil, post("/in?a=1"), form(t, tt.signed), []byte(variedBody))
		if err != nil {
			t.Fatal(err)
		}
		v := mustVerifier(t, Config{HMAC: mustHMAC(t, tt.configured, "s")})
		e, refusal := check(v, signedWith(t, "s", "/in?a=1", string(text)), variedBody)
		if reasonOf(refusal) != tt.want || refusal == nil && e.HMAC.Form.String() != tt.signed {
			t.Errorf("signed as %s: %s answers %v, form %s", tt.signed, tt.configured, refusal, e.HMAC.Form)
		}
	}
}

// TestLastMatchIsTriedFirst uses a delivery that several forms fit: which of them
// is reported shows where the search began.
func TestLastMatchIsTriedFirst(t *testing.T) {
	v := mustVerifier(t, Config{HMAC: mustHMAC(t, "auto auto", "s")})
	const plainBody = `{"a":1}` // has one normal form
	deliver := func(signedForm, target, body, want string) {
		t.Helper()
		text, err := AppendStringToSign(nil, post(target), form(t, signedForm), []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		e, refusal := check(v, signedWith(t, "s", target, string(text)), body)
		if refusal != nil || e.HMAC.Form.String() != want {
			t.Errorf("signed as %s: found as %s, %v, want %s", signedForm, e.HMAC.Form, refusal, want)
		}
	}
	deliver("path_query go", "/in", plainBody, "path go") // the first of those that give the same string
	deliver("path_query long_escapes", "/in?a=1", variedBody, "path_query long_escapes")
	deliver("path go", "/in", plainBody, "path_query long_escapes")
	deliver("full raw", "/in", variedBody, "full raw") // another one than the last is found too
	deliver("full go", "/in", plainBody, "full raw")
}

func TestRaw(t *testing.T) {
	for _, tt := range []struct {
		configured, body string
		want             Reason
	}{
		{"path raw", "no JSON at all", ""},
		{"path raw", "", ""},
		{"path raw", `{"a":1,"a":2}`, ""},
		{"path raw", `[1]`, ""},
		{"path auto", variedBody, ""},
		{"path auto", "no JSON at all", BodyMalformed},
		{"path auto", "", BodyMalformed},
		{"path auto", `{"a":1,"a":2}`, BodyAmbiguous},
		{"path auto", "{\"a\":\"\xff\"}", BodyAmbiguous},
		{"path auto", `[1]`, BodyAmbiguous},
		{"auto auto", `{"a":1,"a":2}`, BodyAmbiguous},
		{"auto raw", `{"a":1,"a":2}`, ""}, // the body's form is pinned
	} {
		h := mustHMAC(t, tt.configured, "s")
		v := mustVerifier(t, Config{HMAC: h})
		// A match of raw is remembered before, which changes nothing about the rules.
		if _, refusal := check(v, signedWith(t, "s", "/", "POST/"+variedBody), variedBody); refusal != nil {
			t.Fatal(refusal)
		}
		if _, refusal := check(v, signedWith(t, "s", "/", "POST/"+tt.body), tt.body); reasonOf(refusal) != tt.want {
			t.Errorf("%s: %q: %v, want %q", tt.configured, tt.body, refusal, tt.want)
		}
	}
}

func TestBodyRules(t *testing.T) {
	for _, tt := range []struct {
		body string
		want Reason
	}{
		{`{}`, ""},
		{`{"a":{"b":[{"c":null}]},"b":"a"}`, ""},
		{`{"a":[{"b":1,"\u0062":2}]}`, BodyAmbiguous},
		{`{"a":1,"a":1}`, BodyAmbiguous},
		{"{\"\xc3\":1}", BodyAmbiguous},
		{`"a"`, BodyAmbiguous},
		{`null`, BodyAmbiguous},
		{`[]`, BodyAmbiguous},
		{``, BodyMalformed},
		{" \n", BodyMalformed},
		{"\xef\xbb\xbf{}", BodyMalformed},
		{`{"a":01}`, BodyMalformed},
		{`{"a":1,}`, BodyMalformed},
		{`{}{}`, BodyMalformed},
		{`{'a':1}`, BodyMalformed},
		{`{"a":NaN}`, BodyMalformed},
		{`{"a":1e400}`, BodyMalformed},
		{`{"a":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`, BodyMalformed},
		{`{"a":` + strings.Repeat("[", 9999) + strings.Repeat("]", 9999) + `}`, ""},
	} {
		text, err := AppendStringToSign(nil, post("/"), form(t, "path go"), []byte(tt.body))
		if err != nil {
			text = []byte("POST/" + tt.body)
		}
		v := mustVerifier(t, Config{HMAC: mustHMAC(t, "path go", "s")})
		_, refusal := check(v, signedWith(t, "s", "/", string(text)), tt.body)
		if reasonOf(refusal) != tt.want {
			t.Errorf("%.40q: %v, want %q", tt.body, refusal, tt.want)
		}
	}
}

// TestHugeNumber: 1e400 has no float64, but numbers as written and raw bodies have it.
func TestHugeNumber(t *testing.T) {
	const body = `{"n":1e400,"s":"<"}`
	for _, tt := range []struct {
		signed, found string
		want          Reason
	}{
		{`POST/{"n":1e400,"s":"\u003c"}`, "path raw_numbers", ""},
		{`POST/{"n":1e400,"s":"<"}`, "path no_html_escape raw_numbers", ""},
		{`POST/{"n":1,"s":"<"}`, "", SignatureMismatch},
	} {
		v := mustVerifier(t, Config{HMAC: mustHMAC(t, "auto auto", "s")})
		for range 2 { // the second time with a remembered form
			e, refusal := check(v, signedWith(t, "s", "/", tt.signed), body)
			if reasonOf(refusal) != tt.want || refusal == nil && e.HMAC.Form.String() != tt.found {
				t.Errorf("%s: %s, %v", tt.signed, e.HMAC.Form, refusal)
			}
		}
	}
}

// TestMismatchSaysWhatWasTried: with a pinned form that is the form's name.
func TestMismatchSaysWhatWasTried(t *testing.T) {
	for configured, want := range map[string]string{
		"path go":   "no secret gives this signature with the form path go",
		"auto go":   "no secret and no documented reading of the string to sign give this signature",
		"path auto": "no secret and no documented reading of the string to sign give this signature",
	} {
		_, refusal := check(mustVerifier(t, Config{HMAC: mustHMAC(t, configured, "s")}), signedWith(t, "s", "/", "POST/"), "{}")
		if reasonOf(refusal) != SignatureMismatch || refusal.Detail != want {
			t.Errorf("%s: %v", configured, refusal)
		}
	}
}

func TestSeveralSecrets(t *testing.T) {
	v := mustVerifier(t, Config{HMAC: mustHMAC(t, "path go", "new", "old", "older")})
	for secret, want := range map[string]int{"new": 1, "old": 2, "older": 3, "New": 0, "ol": 0, "oldold": 0} {
		e, refusal := check(v, signedWith(t, secret, "/", "POST/{}"), "{}")
		if e.HMAC.Secret != want || (refusal == nil) != (want > 0) {
			t.Errorf("signed with %q: secret %d, %v, want %d", secret, e.HMAC.Secret, refusal, want)
		}
	}
}

// TestAnyByteCounts changes one byte at a time of what is signed, and of the signature.
func TestAnyByteCounts(t *testing.T) {
	const target, body = "/in?a=1", `{"a":1}`
	v := mustVerifier(t, Config{HMAC: mustHMAC(t, "auto auto", "s")})
	good := signedWith(t, "s", target, "POSThttps://hooks.example.com/in"+"a=[1]"+body)
	if _, refusal := check(v, good, body); refusal != nil {
		t.Fatal(refusal)
	}
	for i := range 64 {
		digits := []byte(good.Header["X-Signature"][0])
		digits[i] ^= 1 // 0 and 1, ..., a and ` , b and c
		d := post(target)
		d.Header["X-Signature"] = []string{string(digits)}
		if _, refusal := check(v, d, body); !slices.Contains([]Reason{SignatureMismatch, CredentialMalformed}, reasonOf(refusal)) {
			t.Errorf("%s: %v", digits, refusal)
		}
	}
	for what, change := range map[string]func(*Delivery){
		"scheme": func(d *Delivery) { d.Scheme = "http" },
		"host":   func(d *Delivery) { d.Host = "hooks.example.org" },
		"port":   func(d *Delivery) { d.Host += ":443" },
		"path":   func(d *Delivery) { d.Target = "/im?a=1" },
		"slash":  func(d *Delivery) { d.Target = "/in/?a=1" },
		"key":    func(d *Delivery) { d.Target = "/in?b=1" },
		"value":  func(d *Delivery) { d.Target = "/in?a=2" },
		"more":   func(d *Delivery) { d.Target = "/in?a=1&a=1" },
		"less":   func(d *Delivery) { d.Target = "/in" },
	} {
		d := *good
		change(&d)
		if _, refusal := check(v, &d, body); reasonOf(refusal) != SignatureMismatch {
			t.Errorf("with another %s: %v", what, refusal)
		}
	}
	for _, other := range []string{`{"a":2}`, `{"b":1}`, `{"a":1,"b":1}`, `{}`, `{"a":"1"}`} {
		if _, refusal := check(v, good, other); reasonOf(refusal) != SignatureMismatch {
			t.Errorf("with the body %s: %v", other, refusal)
		}
	}
}

func TestNewHMAC(t *testing.T) {
	if _, err := NewHMAC(HMACConfig{}); err == nil || err.Error() != `no secret: add "secret {env.KLINK_SECRET}" to hmac` {
		t.Errorf("no secret: %v", err)
	}
	if _, err := NewHMAC(HMACConfig{Secrets: []Secret{mustSecret(t, "s"), {}}}); err == nil || err.Error() != "the secret is empty" {
		t.Errorf("a zero Secret: %v", err)
	}
	h, err := NewHMAC(HMACConfig{Secrets: []Secret{mustSecret(t, "s")}, Headers: []string{"x-klink-SIGNATURE"}})
	if err != nil || !slices.Equal(h.headers, []string{"X-Klink-Signature"}) {
		t.Errorf("%v, %v", h, err)
	}
}
