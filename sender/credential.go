package sender

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strings"

	"github.com/klinkgate/caddy-klink/verifier"
)

// Credential is one header that vouches for a delivery. What it holds cannot be printed.
type Credential struct {
	header string
	value  func(to *verifier.Delivery, body []byte) (string, error)
}

// Encoding is how a signature is written.
type Encoding string

const (
	// Hex is 64 lower-case digits.
	Hex Encoding = "hex"
	// Base64 is standard base64 with padding.
	Base64 Encoding = "base64"
)

// Signing says how deliveries are signed.
type Signing struct {
	Secret   verifier.Secret
	Form     verifier.Form // neither part may be auto
	Header   string        // "" is the first of verifier.DefaultSignatureHeaders
	Encoding Encoding      // "" is Hex
	Prefix   string        // before the signature, "sha256=" for instance
}

// Credential fails on a setting that no signature could be made with.
func (s Signing) Credential() (Credential, error) {
	if len(s.Form.Readings()) != 1 {
		return Credential{}, fmt.Errorf("the form %q leaves open what is signed: name one URL form and one body form, full and go for instance", s.Form)
	}
	if _, err := verifier.NewHMAC(verifier.HMACConfig{Secrets: []verifier.Secret{s.Secret}}); err != nil {
		return Credential{}, err
	}
	if s.Header == "" {
		s.Header = verifier.DefaultSignatureHeaders[0]
	}
	encode := verifier.Signature.Hex
	switch s.Encoding {
	case "", Hex:
	case Base64:
		encode = verifier.Signature.Base64
	default:
		return Credential{}, fmt.Errorf("unknown encoding %q: write hex or base64", s.Encoding)
	}
	if !validValue(s.Prefix + "x") {
		return Credential{}, errors.New("the signature's prefix begins with space or holds control characters, which HTTP does not carry")
	}
	return newCredential(s.Header, func(to *verifier.Delivery, body []byte) (string, error) {
		text, err := verifier.AppendStringToSign(nil, to, s.Form, body)
		if err != nil {
			return "", fmt.Errorf("the body cannot be signed as %q: %w", s.Form, err)
		}
		return s.Prefix + encode(s.Secret.Sign(text)), nil
	})
}

// BasicAuth is HTTP Basic (RFC 7617).
func BasicAuth(user, password string) (Credential, error) {
	switch {
	case user == "" || strings.Contains(user, ":"):
		return Credential{}, errors.New("the user of Basic credentials is empty or holds a colon")
	case password == "":
		return Credential{}, errors.New("the password of Basic credentials is empty")
	}
	value := "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	return newCredential("Authorization", fixed(value))
}

// FixedHeader is a header that always has the same value.
func FixedHeader(name, value string) (Credential, error) {
	if value == "" || !validValue(value) {
		return Credential{}, fmt.Errorf("the value of header %s is empty, begins or ends with space, or holds control characters, which HTTP does not carry", name)
	}
	return newCredential(name, fixed(value))
}

func fixed(value string) func(*verifier.Delivery, []byte) (string, error) {
	return func(*verifier.Delivery, []byte) (string, error) { return value, nil }
}

func newCredential(header string, value func(*verifier.Delivery, []byte) (string, error)) (Credential, error) {
	if !validName(header) {
		return Credential{}, fmt.Errorf("%q is no name of a header: use letters, digits and hyphens", header)
	}
	if err := verifier.CheckHeaderName(header); err != nil {
		return Credential{}, err
	}
	return Credential{header: textproto.CanonicalMIMEHeaderKey(header), value: value}, nil
}

// validName says whether s is a token of RFC 9110.
func validName(s string) bool {
	for i := range len(s) {
		c := s[i]
		alphanumeric := 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9'
		if !alphanumeric && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// validValue says whether s arrives as it is sent.
func validValue(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return strings.Trim(s, " \t") == s
}

func checkHeaders(credentials []Credential) error {
	seen := map[string]bool{}
	for _, c := range credentials {
		if seen[c.header] {
			return fmt.Errorf("two credentials in the header %s: move the signature or the value to another one", c.header)
		}
		seen[c.header] = true
	}
	return nil
}

// header returns what goes with every attempt for body.
func (s *Sender) header(body []byte) (http.Header, error) {
	h := http.Header{
		"Content-Type": {"application/json"},
		"User-Agent":   {"caddy-klink-sender"},
	}
	for _, c := range s.credentials {
		value, err := c.value(&s.to, body)
		if err != nil {
			return nil, err
		}
		h[c.header] = []string{value}
	}
	return h, nil
}
