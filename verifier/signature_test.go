package verifier

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
)

var (
	sampleSignature = Signature(bytes.Repeat([]byte{0xa5, 0x1f, 0xfb, 0xef}, 8))
	sampleHex       = sampleSignature.Hex()
	sampleBase64    = sampleSignature.Base64()
)

func TestParseSignature(t *testing.T) {
	for _, value := range []string{
		sampleHex,
		strings.ToUpper(sampleHex),
		sampleHex[:31] + strings.ToUpper(sampleHex[31:]),
		sampleBase64,
		"sha256=" + sampleHex,
		"SHA256=" + strings.ToUpper(sampleHex),
		"sha256=" + sampleBase64,
		"HMAC-SHA256 " + sampleHex,
		"hmac-sha256   " + sampleHex,
		"HMAC-SHA256 " + sampleBase64,
		"Bearer " + sampleHex,
		"bearer " + sampleBase64,
		" " + sampleHex + "\t",
	} {
		if got, ok := ParseSignature(value); !ok || got != sampleSignature {
			t.Errorf("ParseSignature(%q) = %x, %v", value, got, ok)
		}
	}
	if sampleHex != "a51ffbefa51ffbefa51ffbefa51ffbefa51ffbefa51ffbefa51ffbefa51ffbef" || sampleBase64 != "pR/776Uf+++lH/vvpR/776Uf+++lH/vvpR/776Uf++8=" {
		t.Errorf("Hex %s, Base64 %s", sampleHex, sampleBase64)
	}
}

func TestMalformedSignature(t *testing.T) {
	other := sampleHex[:63]
	for name, value := range map[string]string{
		"empty":                       "",
		"prefix alone":                "sha256=",
		"63 digits":                   other,
		"65 digits":                   sampleHex + "0",
		"64 characters, no digit g":   other + "g",
		"0x before":                   "0x" + sampleHex,
		"0x inside 64":                "0x" + sampleHex[2:],
		"62 digits and space inside":  sampleHex[:32] + "  " + sampleHex[34:],
		"unknown prefix":              "sha512=" + sampleHex,
		"two prefixes":                "Bearer sha256=" + sampleHex,
		"prefix without its space":    "Bearer" + sampleHex,
		"two signatures":              sampleHex + "," + sampleHex,
		"URL-safe base64":             base64.URLEncoding.EncodeToString(sampleSignature[:]),
		"base64 without padding":      strings.TrimRight(sampleBase64, "="),
		"base64 with bits to spare":   sampleBase64[:42] + "9=",
		"base64 of 31 bytes":          base64.StdEncoding.EncodeToString(sampleSignature[:31]),
		"base64 of 33 bytes":          base64.StdEncoding.EncodeToString(append(sampleSignature[:], 1)),
		"base64 over two lines":       sampleBase64[:40] + "\r\n" + sampleBase64[42:],
		"Basic credentials":           basicAuth("user:password"),
		"a SHA-1":                     sampleHex[:40],
		"hex of 32 NULs, cut by one ": strings.Repeat("0", 63),
	} {
		if got, ok := ParseSignature(value); ok {
			t.Errorf("%s: %q was taken for %x", name, value, got)
		}
	}
}

func TestWhereTheSignatureIs(t *testing.T) {
	good, bad := sampleHex, strings.Repeat("0", 64)
	const missing, malformed = CredentialMissing, CredentialMalformed
	for _, tt := range []struct {
		header map[string][]string
		names  []string
		want   Reason // empty: sampleSignature
	}{
		{map[string][]string{"X-Signature": {good}}, nil, ""},
		{map[string][]string{"Authorization": {good}}, nil, ""},
		{map[string][]string{"Authorization": {"Bearer " + good}}, nil, ""},
		{map[string][]string{"X-Signature": {good}, "Authorization": {bad}}, nil, ""},
		{map[string][]string{"X-Signature": {bad}, "Authorization": {good}}, []string{"Authorization", "X-Signature"}, ""},
		{map[string][]string{"X-Klink": {good}}, []string{"X-Klink"}, ""},
		{map[string][]string{"X-Signature": {good}, "Authorization": {basicAuth("a:b")}}, nil, ""},
		{map[string][]string{"X-Signature": {good}, "Authorization": {basicAuth("a:b")}}, []string{"Authorization", "X-Signature"}, ""},
		{map[string][]string{"X-Signature": {good}, "Authorization": {"garbage"}}, nil, ""},
		{map[string][]string{}, nil, missing},
		{map[string][]string{"X-Signature": nil}, nil, missing},
		{map[string][]string{"X-Other": {good}}, nil, missing},
		{map[string][]string{"X-Signature": {good}}, []string{"X-Klink"}, missing},
		{map[string][]string{"Authorization": {basicAuth("a:b")}}, nil, missing},
		{map[string][]string{"Authorization": {"basic Zm9v"}}, nil, missing},
		{map[string][]string{"X-Signature": {""}, "Authorization": {good}}, nil, malformed},
		{map[string][]string{"X-Signature": {"garbage"}, "Authorization": {good}}, nil, malformed},
		{map[string][]string{"X-Signature": {good, good}}, nil, malformed},
		{map[string][]string{"X-Signature": {good, bad}, "Authorization": {good}}, nil, malformed},
		{map[string][]string{"Authorization": {good, basicAuth("a:b")}}, nil, malformed},
		{map[string][]string{"Authorization": {basicAuth("a:b"), good}}, nil, malformed},
	} {
		names := tt.names
		if names == nil {
			names = DefaultSignatureHeaders
		}
		got, refusal := findSignature(tt.header, names)
		if reasonOf(refusal) != tt.want || refusal == nil && got != sampleSignature {
			t.Errorf("%v, looked for in %v: %x, %v, want %q", tt.header, names, got, refusal, tt.want)
		}
		if refusal != nil && strings.Contains(refusal.Error(), good[:8]) {
			t.Errorf("the refusal shows the signature: %v", refusal)
		}
	}
}

func FuzzParseSignature(f *testing.F) {
	for _, seed := range []string{sampleHex, "sha256=" + sampleBase64, "Bearer " + sampleHex, "HMAC-SHA256 x", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		s, ok := ParseSignature(value)
		if !ok {
			return
		}
		rest := strings.TrimSpace(value)
		for _, encoded := range []string{s.Base64(), rest[max(0, len(rest)-64):]} {
			if strings.HasSuffix(rest, encoded) && (encoded == s.Base64() || strings.EqualFold(encoded, s.Hex())) {
				return
			}
		}
		t.Errorf("%q was taken for %s", value, hex.EncodeToString(s[:]))
	})
}
