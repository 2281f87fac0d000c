// Package verifier decides whether a webhook delivery is acceptable: by its
// method, its source address and its credentials. It knows no HTTP server: what
// it needs of a request comes in as a [Delivery] and the body's bytes.
package verifier

import (
	"errors"
	"strconv"
	"strings"
)

// Config says what a delivery must have. Every check that is set must pass.
type Config struct {
	Allow   *AddressList
	HMAC    *HMAC
	Basic   *Basic
	Headers []*Header
}

// Verifier checks deliveries. It may be used by several goroutines at once.
type Verifier struct{ Config }

// New fails without an address list and without any credential to check.
func New(c Config) (*Verifier, error) {
	if c.Allow == nil {
		return nil, errors.New("no address list")
	}
	if c.HMAC == nil && c.Basic == nil && len(c.Headers) == 0 {
		return nil, errors.New("no credential: add hmac, basic or header")
	}
	return &Verifier{c}, nil
}

// Evidence is what a delivery was found to have. Secrets, users and values are
// counted from 1, in the order of the configuration; 0 is none asked for.
type Evidence struct {
	HMAC    HMACMatch
	User    int
	Headers []int // the value that matched, for each custom header

	signature Signature
}

// CheckRequest makes the checks that need no body, the cheapest first, and
// notes in e what it finds.
func (v *Verifier) CheckRequest(d *Delivery, e *Evidence) *Refusal {
	if d.Method != "POST" {
		return refuse(MethodNotAllowed, "deliveries come with POST")
	}
	if !v.Allow.Contains(d.Client) {
		return refuse(AddressNotAllowed, "the address is not on the allow list")
	}
	if refusal := v.checkCredentials(d, e); refusal != nil {
		return refusal
	}
	if v.HMAC != nil {
		return v.HMAC.checkTarget(d)
	}
	return nil
}

func (v *Verifier) checkCredentials(d *Delivery, e *Evidence) (refusal *Refusal) {
	if v.HMAC != nil {
		if e.signature, refusal = findSignature(d.Header, v.HMAC.headers); refusal != nil {
			return refusal
		}
	}
	if v.Basic != nil {
		if e.User, refusal = v.Basic.verify(d.Header); refusal != nil {
			return refusal
		}
	}
	for _, h := range v.Headers {
		value, refusal := h.verify(d.Header)
		if refusal != nil {
			return refusal
		}
		e.Headers = append(e.Headers, value)
	}
	return nil
}

// NeedsBody says whether CheckBody must be called. Without a signature to check
// the body may hold anything.
func (v *Verifier) NeedsBody() bool { return v.HMAC != nil }

// CheckBody checks the signature of a delivery that CheckRequest let pass. The
// whole body is needed; it is neither changed nor kept.
func (v *Verifier) CheckBody(d *Delivery, body []byte, e *Evidence) (refusal *Refusal) {
	e.HMAC, refusal = v.HMAC.verify(d, &e.signature, body)
	return refusal
}

// Credential names what e was accepted for: "hmac:new+basic:alice+header:X-Key:1".
// The secrets' names are the caller's.
func (v *Verifier) Credential(e *Evidence, secretNames []string) string {
	var parts []string
	if e.HMAC.Secret > 0 {
		parts = append(parts, "hmac:"+secretNames[e.HMAC.Secret-1])
	}
	if e.User > 0 {
		parts = append(parts, "basic:"+v.Basic.names[e.User-1])
	}
	for i, value := range e.Headers {
		parts = append(parts, "header:"+v.Headers[i].name+":"+strconv.Itoa(value))
	}
	return strings.Join(parts, "+")
}

// CredentialHeaders returns the canonical names of the headers that may hold a
// signature, credentials or a custom value.
func (v *Verifier) CredentialHeaders() []string {
	var names []string
	if v.HMAC != nil {
		names = append(names, v.HMAC.headers...)
	}
	if v.Basic != nil {
		names = append(names, "Authorization")
	}
	for _, h := range v.Headers {
		names = append(names, h.name)
	}
	return names
}
