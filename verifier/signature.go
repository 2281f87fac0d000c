package verifier

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
)

var signaturePrefixes = [...]string{"sha256=", "HMAC-SHA256 ", "Bearer "}

const (
	hexLength    = 2 * len(Signature{})
	base64Length = (len(Signature{}) + 2) / 3 * 4
)

// ParseSignature reads a header's value: 64 hex digits in either case or
// standard base64 of 32 bytes with padding, after an optional "sha256=",
// "HMAC-SHA256 " or "Bearer " in any case. Space around the value does not
// count.
func ParseSignature(value string) (Signature, bool) {
	value = strings.TrimSpace(value)
	for _, prefix := range signaturePrefixes {
		if hasPrefixFold(value, prefix) {
			value = strings.TrimLeft(value[len(prefix):], " ")
			break
		}
	}
	var encoded [hexLength]byte
	var s Signature
	switch n := copy(encoded[:], value); {
	case len(value) == hexLength:
		_, err := hex.Decode(s[:], encoded[:n])
		return s, err == nil
	case len(value) == base64Length:
		return decodeBase64(encoded[:n])
	default:
		return s, false
	}
}

// decodeBase64 is strict: a signature has one spelling per encoding.
func decodeBase64(encoded []byte) (Signature, bool) {
	var s Signature
	var room [base64Length]byte // DecodedLen counts the padding
	n, err := base64.StdEncoding.Strict().Decode(room[:], encoded)
	if err != nil || n != len(s) {
		return s, false
	}
	copy(s[:], room[:])
	return s, true
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// findSignature takes the first of the headers that is there. An Authorization
// header with Basic credentials holds no signature.
func findSignature(header map[string][]string, names []string) (Signature, *Refusal) {
	for _, name := range names {
		values := header[name]
		if holdsBasic(name, values) {
			continue
		}
		switch len(values) {
		case 0:
			continue
		case 1:
			s, ok := ParseSignature(values[0])
			if !ok {
				return s, refuse(CredentialMalformed,
					name+" holds no signature: 64 hex digits or base64 of 32 bytes are expected")
			}
			return s, nil
		default:
			return Signature{}, refuse(CredentialMalformed, name+" is there more than once")
		}
	}
	return Signature{}, refuse(CredentialMissing, "none of these headers holds a signature: "+strings.Join(names, ", "))
}

func holdsBasic(name string, values []string) bool {
	return len(values) == 1 && name == "Authorization" && hasPrefixFold(values[0], "Basic ")
}
