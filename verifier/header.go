package verifier

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
)

// Header checks that a header has one of the accepted values.
type Header struct {
	name   string
	values [][sha256.Size]byte
}

// What CheckHeaderName says about a name.
const (
	usedUp    = "is used up by HTTP itself and never arrives"
	hopByHop  = "is for one connection only: whatever stands in front replaces it"
	noSecret  = "says what the request is or which way it came, and nobody keeps it secret"
	nameOther = ": name the header that is typed in K-LINK or holds the signature, such as X-Signature"
)

// notForCredentials are headers that can hold no credential.
var notForCredentials = map[string]string{
	"Host": usedUp, "Transfer-Encoding": usedUp, "Trailer": usedUp,

	"Connection": hopByHop, "Keep-Alive": hopByHop, "Proxy-Connection": hopByHop, "Te": hopByHop, "Upgrade": hopByHop,
	"Proxy-Authenticate": hopByHop, "Proxy-Authorization": hopByHop, "Expect": hopByHop,

	"Content-Length": noSecret, "Content-Type": noSecret, "Content-Encoding": noSecret, "User-Agent": noSecret,
	"Accept": noSecret, "Accept-Encoding": noSecret, "Forwarded": noSecret, "Via": noSecret,
	"X-Forwarded-For": noSecret, "X-Forwarded-Host": noSecret, "X-Forwarded-Proto": noSecret, "X-Real-Ip": noSecret,
}

// CheckHeaderName fails on the name of a header that could never hold a
// credential, or never a secret one.
func CheckHeaderName(name string) error {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	if why := notForCredentials[canonical]; why != "" {
		return errors.New(canonical + " " + why + nameOther)
	}
	return nil
}

// NewHeader fails without a name, on one that can hold no credential, without a
// value, and on an empty value.
func NewHeader(name string, values []string) (*Header, error) {
	if name == "" {
		return nil, errors.New("the header's name is empty")
	}
	if err := CheckHeaderName(name); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("header %s: no value: add the one that is typed in K-LINK", name)
	}
	h := &Header{name: textproto.CanonicalMIMEHeaderKey(name)}
	for i, value := range values {
		if value == "" {
			return nil, fmt.Errorf("header %s: value %d is empty", name, i+1)
		}
		if strings.TrimSpace(value) != value {
			return nil, fmt.Errorf("header %s: value %d begins or ends with space, which HTTP does not carry", name, i+1)
		}
		h.values = append(h.values, sha256.Sum256([]byte(value)))
	}
	return h, nil
}

// verify returns the accepted value, counted from 1. It looks at every one, so
// that its time tells nothing.
func (h *Header) verify(header map[string][]string) (int, *Refusal) {
	values := header[h.name]
	switch len(values) {
	case 0:
		return 0, refuse(CredentialMissing, "there is no "+h.name+" header")
	case 1:
	default:
		return 0, refuse(CredentialMalformed, h.name+" is there more than once")
	}
	got := sha256.Sum256([]byte(values[0]))
	match := 0
	for i := range h.values {
		if subtle.ConstantTimeCompare(h.values[i][:], got[:]) == 1 {
			match = i + 1
		}
	}
	if match == 0 {
		return 0, refuse(HeaderMismatch, h.name+" has another value")
	}
	return match, nil
}
