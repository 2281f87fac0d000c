package verifier

import (
	"crypto/subtle"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Bounds on what one diagnosis looks at, so that a delivery cannot make it long.
const (
	maxDiagnosedTarget     = 8 << 10
	maxDiagnosedSignatures = 16
)

// Finding is a reading under which a signature is right that was refused. It is
// a hint for the operator; nothing is accepted because of it.
type Finding struct {
	Reading
	Header string // where the signature is
	Secret int    // counted from 1

	unread bool // whether the signature is taken from another header, or from none
}

// Diagnose looks for a reading of the vendor's documentation under which one of
// the delivery's headers signs the body: every one of Readings, in hex and in
// base64, in every header and with every secret. It takes thousands of times as
// long as a verification: bound the body and the rate.
func (h *HMAC) Diagnose(d *Delivery, otherHosts []string, body []byte) (Finding, bool) {
	signatures := SignaturesIn(d.Header)
	if len(signatures) == 0 || len(d.Target) > maxDiagnosedTarget {
		return Finding{}, false
	}
	list, err := readings(d, otherHosts, body, h.form)
	if err != nil {
		return Finding{}, false
	}
	for _, reading := range list {
		for i := range h.keys {
			if s := signedBy(h.keys[i].Load(), &reading, signatures); s != nil {
				return Finding{reading, s.Header, i + 1, !h.reads(d.Header, s.Header)}, true
			}
		}
	}
	return Finding{}, false
}

// Advice says in Caddyfile lines what would make the finding acceptable to h.
func (h *HMAC) Advice(f Finding, secretName string) string {
	var lines []string
	if f.OtherHost {
		lines = append(lines, "public_url "+f.PublicURL)
	}
	if f.unread {
		lines = append(lines, "header "+f.Header+" (in hmac)")
	}
	if f.literal() && h.form.URL != f.Form.URL || !h.form.URL.auto() && h.form.URL != f.Form.URL {
		lines = append(lines, "url "+f.Form.URL.String()+" (in hmac)")
	}
	if !h.form.Body.auto() && h.form.Body != f.Form.Body {
		lines = append(lines, "body "+f.Form.Body.String()+" (in hmac)")
	}
	advice := "matches secret " + secretName
	if len(lines) > 0 {
		advice += " with: " + strings.Join(lines, "; ")
	}
	if !f.Acceptable() {
		advice += "; K-LINK signs the path " + strconv.Quote(f.Path) + ": type the URL there as it arrives here"
	}
	return advice
}

// Check verifies the delivery with everything pinned that the finding says, and
// returns why it is refused all the same, or nil.
func (f *Finding) Check(d *Delivery, secret Secret, body []byte) *Refusal {
	h, err := NewHMAC(HMACConfig{Secrets: []Secret{secret}, Headers: []string{f.Header}, Form: f.Form})
	if err != nil {
		return refuse(SignatureMismatch, err.Error())
	}
	v := &Verifier{Config{Allow: &AddressList{any: true}, HMAC: h}}
	pinned := *d
	pinned.Client = netip.IPv6Loopback()
	if f.PublicURL != "" {
		pinned.Scheme, pinned.Host, _ = strings.Cut(f.PublicURL, "://")
	}
	var e Evidence
	if refusal := v.CheckRequest(&pinned, &e); refusal != nil {
		return refusal
	}
	return v.CheckBody(&pinned, body, &e)
}

// reads says whether h takes the signature of a delivery with these headers from
// the one of that name.
func (h *HMAC) reads(header map[string][]string, name string) bool {
	for _, candidate := range h.headers {
		values := header[candidate]
		switch {
		case candidate == name:
			return true
		case len(values) > 0 && !holdsBasic(candidate, values):
			return false
		}
	}
	return false
}

func signedBy(key *signingKey, r *Reading, signatures []FoundSignature) *FoundSignature {
	state := key.borrow()
	defer key.giveBack(state)
	got := state.sign(r.head, r.body)
	for i := range signatures {
		if subtle.ConstantTimeCompare(got[:], signatures[i].signature[:]) == 1 {
			return &signatures[i]
		}
	}
	return nil
}

// FoundSignature is something in a header that has the shape of a signature.
type FoundSignature struct {
	Header    string
	signature Signature
}

// SignaturesIn returns what could be a signature in any header, by the header's
// name: at most 16.
func SignaturesIn(header map[string][]string) []FoundSignature {
	var found []FoundSignature
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			if s, ok := ParseSignature(value); ok && len(found) < maxDiagnosedSignatures {
				found = append(found, FoundSignature{name, s})
			}
		}
	}
	return found
}
