package verifier

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/klinkgate/caddy-klink/normalize"
)

// Finding is a reading under which a signature is right that was refused. It is
// a hint for the operator; nothing is accepted because of it.
type Finding struct {
	Header    string // where the signature is
	Secret    int    // counted from 1
	Form      Form
	PublicURL string // the scheme://host that was signed, where it is not the delivery's own
	Path      string // the path that was signed, where it is not the delivery's own
}

// Diagnose looks for a reading of the vendor's documentation under which one of
// the delivery's headers signs the body: every URL form, body form, header and
// secret, with http and https, with each of the other hosts, and with and without
// a slash at the end of the path. It takes thousands of times as long as a
// verification: bound the body and the rate.
func (h *HMAC) Diagnose(d *Delivery, otherHosts []string, body []byte) (Finding, bool) {
	signatures := signaturesIn(d.Header)
	if len(signatures) == 0 {
		return Finding{}, false
	}
	for _, url := range signedURLs(d, otherHosts) {
		for _, candidate := range bodiesOf(body) {
			form := Form{url.form, candidate.form}
			head, err := appendHead(nil, &url.delivery, form.URL, normalize.Options{})
			if err != nil {
				continue
			}
			for _, s := range signatures {
				if secret := h.secretOf(&s.signature, head, candidate.text); secret > 0 {
					return url.finding(s.header, secret, form, d), true
				}
			}
		}
	}
	return Finding{}, false
}

// Advice says in Caddyfile lines what would make the finding acceptable to h.
func (h *HMAC) Advice(f Finding, secretName string) string {
	var lines []string
	if f.PublicURL != "" {
		lines = append(lines, "public_url "+f.PublicURL)
	}
	if !slices.Contains(h.headers, f.Header) {
		lines = append(lines, "header "+f.Header+" (in hmac)")
	}
	if !h.form.URL.auto() && h.form.URL != f.Form.URL {
		lines = append(lines, "url "+f.Form.URL.String()+" (in hmac)")
	}
	if !h.form.Body.auto() && h.form.Body != f.Form.Body {
		lines = append(lines, "body "+f.Form.Body.String()+" (in hmac)")
	}
	advice := "matches secret " + secretName
	if len(lines) > 0 {
		advice += " with: " + strings.Join(lines, "; ")
	}
	if f.Path != "" {
		advice += "; K-LINK signs the path " + strconv.Quote(f.Path) + ": type the URL there as it arrives here"
	}
	return advice
}

func (h *HMAC) secretOf(s *Signature, head, body []byte) int {
	for i := range h.keys {
		if h.keys[i].Load().verify(s, head, body) {
			return i + 1
		}
	}
	return 0
}

type foundSignature struct {
	header    string
	signature Signature
}

// signaturesIn returns what could be a signature in any header, by the header's
// name.
func signaturesIn(header map[string][]string) []foundSignature {
	var found []foundSignature
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			if s, ok := ParseSignature(value); ok {
				found = append(found, foundSignature{name, s})
			}
		}
	}
	return found
}

// signedURL is a URL that the sender may have signed.
type signedURL struct {
	form     URLForm
	delivery Delivery
}

// signedURLs returns each different URL once, the plainest first.
func signedURLs(d *Delivery, otherHosts []string) []signedURL {
	var urls []signedURL
	seen := make(map[string]bool)
	add := func(variant Delivery) {
		for _, name := range urlForms {
			form := URLForm{name: name}
			text := string(form.append(nil, &variant))
			if form.usesHost() && !plainHost(variant.Host) || seen[text] {
				continue
			}
			seen[text] = true
			urls = append(urls, signedURL{form, variant})
		}
	}
	for _, target := range []string{d.Target, toggleSlash(d.Target)} {
		for _, host := range append([]string{d.Host}, otherHosts...) {
			for _, scheme := range []string{d.Scheme, otherScheme(d.Scheme)} {
				variant := *d
				variant.Target, variant.Host, variant.Scheme = target, host, scheme
				add(variant)
			}
		}
	}
	return urls
}

func (u *signedURL) finding(header string, secret int, form Form, d *Delivery) Finding {
	f := Finding{Header: header, Secret: secret, Form: form}
	if form.URL.usesHost() && (u.delivery.Scheme != d.Scheme || u.delivery.Host != d.Host) {
		f.PublicURL = u.delivery.Scheme + "://" + u.delivery.Host
	}
	if path := u.delivery.Path(); path != d.Path() {
		f.Path = path
	}
	return f
}

func otherScheme(scheme string) string {
	if scheme == "https" {
		return "http"
	}
	return "https"
}

func toggleSlash(target string) string {
	path, query, found := strings.Cut(target, "?")
	if strings.HasSuffix(path, "/") {
		path = strings.TrimSuffix(path, "/")
	} else {
		path += "/"
	}
	if found {
		path += "?" + query
	}
	return path
}

type candidateBody struct {
	form BodyForm
	text []byte
}

// bodiesOf returns each different text once.
func bodiesOf(body []byte) []candidateBody {
	var candidates []candidateBody
	for _, form := range (BodyForm{}).readings() {
		text, err := body, error(nil)
		if form.kind != bodyRaw {
			text, err = normalize.AppendJSON(nil, body, form.options(false))
		}
		if err != nil || slices.ContainsFunc(candidates, func(c candidateBody) bool {
			return bytes.Equal(c.text, text)
		}) {
			continue
		}
		candidates = append(candidates, candidateBody{form, text})
	}
	return candidates
}
