package verifier

import (
	"bytes"
	"encoding"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
)

const hidden = "7-hush-hush-7"

// holdsSecret says whether text shows the secret, in any of the usual spellings.
func holdsSecret(text string) bool {
	numbers := strings.Trim(fmt.Sprint([]byte(hidden)), "[]") //nolint:staticcheck // the numbers are what is looked for
	for _, spelling := range []string{
		hidden, hex.EncodeToString([]byte(hidden)), fmt.Sprintf("% x", hidden), numbers, strings.ReplaceAll(numbers, " ", ","),
		strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(hidden)), "="), "hush",
	} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(spelling)) {
			return true
		}
	}
	return false
}

// Things that hold a secret, exported and not, directly and by pointer.
type (
	exported   struct{ Secret Secret }
	unexported struct{ secret Secret }
)

func holders(t *testing.T) map[string]any {
	t.Helper()
	s := mustSecret(t, hidden)
	s.Sign(nil) // so that a keyed state is at hand
	h, err := NewHMAC(HMACConfig{Secrets: []Secret{s}})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"Secret":               s,
		"*Secret":              &s,
		"[]Secret":             []Secret{s},
		"map":                  map[string]Secret{"a": s},
		"struct":               exported{s},
		"*struct":              &exported{s},
		"struct, unexported":   unexported{s},
		"*struct, unexported":  &unexported{s},
		"interface in a slice": []any{s, &s},
		"HMACConfig":           HMACConfig{Secrets: []Secret{s}},
		"*HMACConfig":          &HMACConfig{Secrets: []Secret{s}},
		"*HMAC":                h,
		"*Verifier":            &Verifier{Config{HMAC: h}},
		"*Basic":               mustBasic(t, "a", hidden),
		"*Header":              mustHeader(t, "X-Key", hidden),
	}
}

func TestSecretIsNotPrinted(t *testing.T) {
	for _, seen := range []any{hidden, []byte(hidden), struct{ b []byte }{[]byte(hidden)}} {
		if !holdsSecret(fmt.Sprintf("%v", seen)) || !holdsSecret(fmt.Sprintf("%x", seen)) {
			t.Fatalf("the test would not see the secret in %v", seen)
		}
	}
	for name, value := range holders(t) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%20s", "%.3s"} {
			if got := fmt.Sprintf(verb, value); holdsSecret(got) {
				t.Errorf("%s of %s: %s", verb, name, got)
			}
		}
		if got := fmt.Sprint(value); holdsSecret(got) {
			t.Errorf("Print of %s: %s", name, got)
		}
		if got := fmt.Errorf("secret: %v", value).Error(); holdsSecret(got) {
			t.Errorf("Errorf of %s: %s", name, got)
		}
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "k", value)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "k", value)
		if holdsSecret(out.String()) {
			t.Errorf("slog of %s: %s", name, out.String())
		}
	}
	s := mustSecret(t, hidden)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if got := fmt.Sprintf(verb, s); got != "[secret]" {
			t.Errorf("%s of a Secret: %q", verb, got)
		}
	}
	if s.String() != "[secret]" {
		t.Errorf("String: %q", s.String())
	}
}

func TestSecretIsNotMarshalled(t *testing.T) {
	for name, value := range holders(t) {
		var gobbed bytes.Buffer
		err := gob.NewEncoder(&gobbed).Encode(value)
		if strings.HasSuffix(name, "Secret") && err == nil || holdsSecret(gobbed.String()) {
			t.Errorf("gob of %s: %q, %v", name, gobbed.String(), err)
		}
		for format, marshal := range map[string]func(any) ([]byte, error){"json": json.Marshal, "xml": xml.Marshal} {
			got, err := marshal(value)
			if strings.HasSuffix(name, "Secret") && err == nil || holdsSecret(string(got)) {
				t.Errorf("%s of %s: %s, %v", format, name, got, err)
			}
			if err != nil && holdsSecret(err.Error()) {
				t.Errorf("%s of %s: error %v", format, name, err)
			}
		}
	}
	s := mustSecret(t, hidden)
	if text, err := encoding.TextMarshaler(s).MarshalText(); text != nil || err == nil {
		t.Errorf("MarshalText: %q, %v", text, err)
	}
}

// TestSecretIsNotCompared: with this a == between secrets does not compile.
func TestSecretIsNotCompared(t *testing.T) {
	if reflect.TypeFor[Secret]().Comparable() {
		t.Error("a Secret can be compared with ==")
	}
}

func TestNewSecret(t *testing.T) {
	if _, err := NewSecret(""); err == nil || err.Error() != "the secret is empty" {
		t.Errorf("an empty secret: %v", err)
	}
	// RFC 4231's test case 2, and the key of more than a block of test case 6.
	for _, tt := range []struct{ key, data, want string }{
		{"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{strings.Repeat("\xaa", 131), "Test Using Larger Than Block-Size Key - Hash Key First", "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
	} {
		s := mustSecret(t, tt.key)
		for range 2 {
			if got := s.Sign([]byte(tt.data)).Hex(); got != tt.want {
				t.Errorf("HMAC-SHA256 of %q: %s, want %s", tt.data, got, tt.want)
			}
		}
	}
}
