package verifier

import (
	"encoding/json"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/klinkgate/caddy-klink/normalize"
)

const knownPath = "/in"

// TestReadsBackInOneWay is FuzzStringToSign for what a person would try first.
func TestReadsBackInOneWay(t *testing.T) {
	for _, rawQuery := range []string{
		"", "a=1", "a=1&b=2", "?a=1", "%3Fa%3D1a=1", "b=1&%3Fa=2", "a", "=", "=1", "a%3D1a=1", "a=1a", "a]&b=1", "a%26b=[=1",
		"%7B%22a%22%3A1%7D=1", "a={}", "{}", "a=[", "a=%5B1&b=1", "a=%22", "&", "?",
	} {
		for _, body := range []string{`{}`, `{"a":1}`, `{"a=[1]":{}}`, `{"?a=1":"]"}`, variedBody} {
			for _, f := range (Form{}).Readings() {
				checkReadsBack(t, rawQuery, body, f)
			}
		}
	}
}

// FuzzStringToSign holds the gateway to this: whoever has seen one signed
// delivery to a URL cannot make a second one with another meaning that the same
// signature fits, neither with a pinned form nor with auto.
func FuzzStringToSign(f *testing.F) {
	f.Add("b=2&a=1", `{"a":1}`, byte(0))
	f.Add("a=1", `{}`, byte(3))
	f.Add("%3Fa%3D1a=1", `{"a":[{"b":"<"}]}`, byte(2))
	f.Add("a]=%5B&{}=1", `{"=[1]":"]&b=["}`, byte(44))
	f.Fuzz(func(t *testing.T, rawQuery, body string, reading byte) {
		if len(rawQuery)+len(body) > 500 || strings.ContainsFunc(rawQuery, neverInTarget) {
			return
		}
		readings := Form{}.Readings()
		checkReadsBack(t, rawQuery, body, readings[int(reading)%len(readings)])
	})
}

// neverInTarget is about bytes that no HTTP server lets through in a request line.
func neverInTarget(r rune) bool { return r <= ' ' || r == 0x7f }

func checkReadsBack(t *testing.T, rawQuery, body string, signedForm Form) {
	t.Helper()
	target := knownPath
	if rawQuery != "" {
		target += "?" + rawQuery
	}
	text, err := AppendStringToSign(nil, post(target), signedForm, []byte(body))
	if err != nil {
		return
	}
	h, err := NewHMAC(HMACConfig{Secrets: []Secret{mustSecret(t, "s")}, Form: signedForm})
	if err != nil {
		t.Fatal(err)
	}
	pinned := mustVerifier(t, Config{HMAC: h})
	auto := mustVerifier(t, Config{HMAC: mustHMAC(t, "auto auto", "s")})
	for _, v := range []*Verifier{pinned, auto} {
		if v == pinned && signedForm.Body.kind == bodyRaw {
			continue // then no rule about JSON applies, and the bytes are what is signed
		}
		if _, refusal := check(v, signedWith(t, "s", target, string(text)), body); refusal != nil {
			continue
		}
		meant := meaning(t, rawQuery, body)
		for _, c := range otherDeliveries(string(text)) {
			_, refusal := check(v, signedWith(t, "s", c.target, string(text)), c.body)
			_, otherQuery, _ := strings.Cut(c.target, "?")
			if refusal == nil && !reflect.DeepEqual(meaning(t, otherQuery, c.body), meant) {
				t.Errorf("%q is signed (%s) for %s %s, and (auto: %v) good for %s %s", text, signedForm, target, body, v == auto, c.target, c.body)
			}
		}
	}
}

// meaning is what a backend makes of a query and a body.
func meaning(t *testing.T, rawQuery, body string) [2]any {
	t.Helper()
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		t.Fatal(err)
	}
	for _, values := range query {
		slices.Sort(values) // the vendor's normal form has no order
	}
	var value any
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		value = body
	}
	return [2]any{query, value}
}

type otherDelivery struct{ target, body string }

// otherDeliveries takes a string to sign for the known URL apart in every way.
func otherDeliveries(text string) (found []otherDelivery) {
	d := post(knownPath)
	for _, name := range []string{"full", "path", "host_path"} {
		rest, ok := strings.CutPrefix(text, "POST"+string(URLForm{name: name}.append(nil, d)))
		if !ok {
			continue
		}
		found = append(found, otherDelivery{knownPath, rest})
		for i := range len(rest) + 1 {
			if query, ok := readQuery(rest[:i]); ok {
				found = append(found, otherDelivery{knownPath + "?" + query, rest[i:]})
			}
			if i == 0 || rest[0] != '?' {
				continue
			}
			normal, err := normalize.AppendQuery(nil, rest[1:i], normalize.Options{})
			if body, ok := strings.CutPrefix(rest[i:], string(normal)); ok && err == nil && !strings.ContainsFunc(rest[1:i], neverInTarget) {
				found = append(found, otherDelivery{knownPath + rest[:i], body})
			}
		}
	}
	return found
}

// readQuery makes a query of key=[v1 v2]&key2=[v].
func readQuery(text string) (rawQuery string, ok bool) {
	var parts []string
	for text != "" {
		key, rest, found := strings.Cut(text, "=[")
		inside, rest, closed := strings.Cut(rest, "]")
		if !found || !closed {
			return "", false
		}
		for value := range strings.SplitSeq(inside, " ") {
			parts = append(parts, url.QueryEscape(key)+"="+url.QueryEscape(value))
		}
		if rest == "" {
			break
		}
		if text, found = strings.CutPrefix(rest, "&"); !found {
			return "", false
		}
	}
	return strings.Join(parts, "&"), true
}
