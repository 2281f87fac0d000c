package verifier

import (
	"net/textproto"
	"strings"
	"testing"
)

func mustHeader(t testing.TB, name string, values ...string) *Header {
	t.Helper()
	h, err := NewHeader(name, values)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHeader(t *testing.T) {
	h := mustHeader(t, "x-webhook-TOKEN", "token one", "tökën two", "t")
	for _, tt := range []struct {
		header map[string][]string
		value  int
		want   Reason
	}{
		{map[string][]string{"X-Webhook-Token": {"token one"}}, 1, ""},
		{map[string][]string{"X-Webhook-Token": {"tökën two"}}, 2, ""},
		{map[string][]string{"X-Webhook-Token": {"t"}}, 3, ""},
		{map[string][]string{"X-Webhook-Token": {"Token one"}}, 0, HeaderMismatch},
		{map[string][]string{"X-Webhook-Token": {"token on"}}, 0, HeaderMismatch},
		{map[string][]string{"X-Webhook-Token": {"token one, t"}}, 0, HeaderMismatch},
		{map[string][]string{"X-Webhook-Token": {""}}, 0, HeaderMismatch},
		{map[string][]string{"X-Webhook-Token": {" t"}}, 0, HeaderMismatch},
		{map[string][]string{"X-Webhook-Token": {"t", "t"}}, 0, CredentialMalformed},
		{map[string][]string{"X-Webhook-Token": {"wrong", "t"}}, 0, CredentialMalformed},
		{map[string][]string{}, 0, CredentialMissing},
		{map[string][]string{"X-Webhook": {"t"}}, 0, CredentialMissing},
	} {
		value, refusal := h.verify(tt.header)
		if value != tt.value || reasonOf(refusal) != tt.want {
			t.Errorf("%v: value %d, %v, want %d, %q", tt.header, value, refusal, tt.value, tt.want)
		}
		if refusal != nil && (strings.Contains(refusal.Error(), "one") || strings.Contains(refusal.Error(), "wrong")) {
			t.Errorf("the refusal shows a value: %v", refusal)
		}
	}
}

func TestBadHeaders(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values []string
		want   string
	}{
		{"", []string{"v"}, "the header's name is empty"},
		{"host", []string{"v"}, "header: Host is used up by HTTP itself and never arrives: name the header that is typed in K-LINK or holds the signature, such as X-Signature"},
		{"TE", []string{"v"}, "header: Te is for one connection only: whatever stands in front replaces it: name the header that is typed in K-LINK or holds the signature, such as X-Signature"},
		{"content-type", []string{"application/json"}, "header: Content-Type says what the request is or which way it came, and nobody keeps it secret: name the header that is typed in K-LINK or holds the signature, such as X-Signature"},
		{"X-Key", nil, "header X-Key: no value: add the one that is typed in K-LINK"},
		{"X-Key", []string{"v", ""}, "header X-Key: value 2 is empty"},
		{"X-Key", []string{" v"}, "header X-Key: value 1 begins or ends with space, which HTTP does not carry"},
		{"X-Key", []string{"v\n"}, "header X-Key: value 1 begins or ends with space, which HTTP does not carry"},
	} {
		if _, err := NewHeader(tt.name, tt.values); err == nil || err.Error() != tt.want {
			t.Errorf("header %s %q: %v, want %q", tt.name, tt.values, err, tt.want)
		}
	}
}

// TestHeadersThatHoldNoCredential: none of them does for a signature either, and
// those that are made for credentials do.
func TestHeadersThatHoldNoCredential(t *testing.T) {
	for name := range notForCredentials {
		if textproto.CanonicalMIMEHeaderKey(name) != name {
			t.Errorf("%s is not found under that name", name)
		}
		if _, err := NewHeader(strings.ToLower(name), []string{"v"}); err == nil {
			t.Errorf("header %s is taken", name)
		}
		if _, err := NewHMAC(HMACConfig{Secrets: []Secret{mustSecret(t, "s")}, Headers: []string{"X-Signature", name}}); err == nil {
			t.Errorf("hmac, header %s is taken", name)
		}
	}
	for _, name := range append(DefaultSignatureHeaders, "X-Webhook-Token", "Cookie") {
		if err := CheckHeaderName(name); err != nil {
			t.Error(err)
		}
	}
}
