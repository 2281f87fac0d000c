package verifier

import (
	"bytes"
	"net"
	"slices"
	"strings"

	"github.com/klinkgate/caddy-klink/normalize"
)

// Reading is one way to read what the sender of a delivery may have signed.
type Reading struct {
	Form Form

	PublicURL string // the scheme://host that is signed, in the forms that have it
	OtherHost bool   // whether PublicURL is not the delivery's own

	Path      string // the path that is signed
	OtherPath bool   // whether Path ends in a slash and the delivery's own does not, or the other way round

	head []byte // method, URL and query
	body []byte
}

// StringToSign returns the bytes that this reading takes to be signed.
func (r *Reading) StringToSign() []byte { return slices.Concat(r.head, r.body) }

// Own says whether scheme, host and path are as the delivery has them.
func (r *Reading) Own() bool { return !r.OtherHost && !r.OtherPath }

// Acceptable says whether there is a configuration that accepts it: not when
// another path was signed, unless the whole URL was, which can be a literal.
func (r *Reading) Acceptable() bool { return !r.OtherPath || r.literal() }

func (r *Reading) literal() bool { return r.Form.URL.text != "" }

// DiffersAt returns the offset of the first byte in which the strings to sign
// differ, or -1 when they are equal. Where one is the other's beginning, that is
// the length of the shorter one.
func (r *Reading) DiffersAt(other *Reading) int {
	a, b := r.StringToSign(), other.StringToSign()
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) == len(b) {
		return -1
	}
	return min(len(a), len(b))
}

// Readings returns every reading of the vendor's documentation whose string to
// sign differs from the others', the plainest first: each URL form and body form,
// with http and https, with each of the other hosts, and with and without a slash
// at the end of the path. A body form that this body does not have is left out.
// It fails on a query that net/url refuses.
func Readings(d *Delivery, otherHosts []string, body []byte) ([]Reading, error) {
	return readings(d, otherHosts, body, Form{})
}

// readings puts the parts of first that are not auto before the others, and adds
// a literal URL in it.
func readings(d *Delivery, otherHosts []string, body []byte, first Form) ([]Reading, error) {
	bodies := bodiesOf(body, first.Body)
	var list []Reading
	for _, url := range signedURLs(d, otherHosts, first.URL) {
		head, err := appendHead(nil, &url.delivery, url.form, normalize.Options{AllowAmbiguous: true})
		if err != nil {
			return nil, err
		}
		reading := url.reading(d)
		reading.head = head
		for _, candidate := range bodies {
			reading.Form.Body, reading.body = candidate.form, candidate.text
			list = append(list, reading)
		}
	}
	return list, nil
}

// maxOtherHosts bounds what a sender can make of a diagnosis.
const maxOtherHosts = 8

// OtherHosts returns under which hosts a sender may know the endpoint that a
// request reached: its Host header with and without the port, and what proxies
// say in X-Forwarded-Host. They are guesses to be tried, not to be believed.
func OtherHosts(host string, header map[string][]string) []string {
	hosts := []string{host}
	if name, _, err := net.SplitHostPort(host); err == nil {
		hosts = append(hosts, name)
	}
	for _, value := range header["X-Forwarded-Host"] {
		for forwarded := range strings.SplitSeq(value, ",") {
			hosts = append(hosts, strings.TrimSpace(forwarded))
		}
	}
	return hosts[:min(len(hosts), maxOtherHosts)]
}

// signedURL is a URL that the sender may have signed.
type signedURL struct {
	form     URLForm
	delivery Delivery // with the scheme, host and path that are signed
}

// signedURLs returns each different URL once, the plainest first.
func signedURLs(d *Delivery, otherHosts []string, first URLForm) []signedURL {
	forms := urlFormsFrom(first)
	var urls []signedURL
	seen := make(map[string]bool)
	add := func(variant *Delivery) {
		for _, form := range forms {
			text := string(form.append(nil, variant))
			if form.usesHost() && !PlainHost(variant.Host) || seen[text] {
				continue
			}
			seen[text] = true
			urls = append(urls, signedURL{form, *variant})
		}
	}
	for _, target := range []string{d.Target, toggleSlash(d.Target)} {
		for _, host := range append([]string{d.Host}, otherHosts[:min(len(otherHosts), maxOtherHosts)]...) {
			for _, scheme := range []string{d.Scheme, otherScheme(d.Scheme)} {
				variant := *d
				variant.Target, variant.Host, variant.Scheme = target, host, scheme
				add(&variant)
			}
		}
	}
	return urls
}

func urlFormsFrom(first URLForm) []URLForm {
	var forms []URLForm
	if !first.auto() {
		forms = append(forms, first)
	}
	for _, name := range urlForms {
		if name != first.name {
			forms = append(forms, URLForm{name: name})
		}
	}
	return forms
}

// reading describes the URL. One that begins with a scheme and has another path
// than the delivery can be accepted as a literal.
func (u *signedURL) reading(d *Delivery) Reading {
	r := Reading{Form: Form{URL: u.form}, Path: u.delivery.Path()}
	r.OtherPath = r.Path != d.Path()
	switch {
	case r.OtherPath && (u.form.name == "full" || u.form.name == "full_query"):
		r.Form.URL = URLForm{text: string(u.form.append(nil, &u.delivery))}
	case u.form.usesHost():
		r.PublicURL = u.delivery.Scheme + "://" + u.delivery.Host
		r.OtherHost = u.delivery.Host != d.Host || u.delivery.Scheme != d.Scheme && u.form.name != "host_path"
	}
	return r
}

func otherScheme(scheme string) string {
	if scheme == "https" {
		return "http"
	}
	return "https"
}

func toggleSlash(target string) string {
	path, query, found := strings.Cut(target, "?")
	path, slashed := strings.CutSuffix(path, "/")
	if !slashed {
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

// bodiesOf returns each different text once, first's before the others.
func bodiesOf(body []byte, first BodyForm) []candidateBody {
	forms := (BodyForm{}).readings()
	if !first.auto() {
		forms = append([]BodyForm{first}, forms...)
	}
	var candidates []candidateBody
	for _, form := range forms {
		text, err := body, error(nil)
		if form.kind != bodyRaw {
			text, err = normalize.AppendJSON(nil, body, form.options(true))
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
