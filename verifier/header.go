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

// NewHeader fails without a name, without a value, and on an empty value.
func NewHeader(name string, values []string) (*Header, error) {
	if name == "" {
		return nil, errors.New("the header's name is empty")
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
