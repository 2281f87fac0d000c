package verifier

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/klinkgate/caddy-klink/normalize"
)

// URLForm is a reading of the word "URL" in the vendor's string to sign. The
// zero URLForm is auto: every reading is tried.
type URLForm struct {
	name string // one of urlForms, or "" for a literal or auto
	text string // the literal
}

// The names of the URL forms, in the order in which auto tries them.
var urlForms = [...]string{"full", "full_query", "path", "path_query", "host_path"}

// ParseURLForm reads "auto", "full" (scheme://host/path), "full_query" (the same
// with ?query), "path", "path_query", "host_path" (host/path), or the literal URL
// that is typed in K-LINK, which begins with http:// or https:// and a host.
func ParseURLForm(s string) (URLForm, error) {
	if s == "auto" {
		return URLForm{}, nil
	}
	for _, name := range urlForms {
		if s == name {
			return URLForm{name: name}, nil
		}
	}
	if strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") {
		if u, err := url.Parse(s); err != nil || u.Hostname() == "" {
			return URLForm{}, fmt.Errorf("%q is no URL with a host: write the URL that is typed in K-LINK, such as https://hooks.example.com/klink", s)
		}
		return URLForm{text: s}, nil
	}
	return URLForm{}, fmt.Errorf(
		"unknown URL form %q: write auto, %s, or the URL that is typed in K-LINK, beginning with https:// or http://",
		s, strings.Join(urlForms[:], ", "))
}

// String returns what ParseURLForm reads.
func (f URLForm) String() string {
	switch {
	case f.text != "":
		return f.text
	case f.name != "":
		return f.name
	default:
		return "auto"
	}
}

func (f URLForm) auto() bool { return f == URLForm{} }

func (f URLForm) usesHost() bool {
	return f.name == "full" || f.name == "full_query" || f.name == "host_path"
}

func (f URLForm) append(dst []byte, d *Delivery) []byte {
	if f.text != "" {
		return append(dst, f.text...)
	}
	if f.name == "full" || f.name == "full_query" {
		dst = append(dst, d.Scheme...)
		dst = append(dst, "://"...)
	}
	if f.usesHost() {
		dst = append(dst, d.Host...)
	}
	if f.name == "full_query" || f.name == "path_query" {
		return append(dst, d.Target...)
	}
	return append(dst, d.Path()...)
}

// BodyForm is a reading of "NormalizedBody". The zero BodyForm is auto: every
// reading is tried.
type BodyForm struct {
	kind    bodyKind
	variant variant
}

type bodyKind uint8

const (
	bodyAuto bodyKind = iota
	bodyJSON
	bodyRaw
)

// variant is a set of departures from what encoding/json writes.
type variant uint8

const (
	noHTMLEscape variant = 1 << iota
	rawNumbers
	longEscapes
	allVariants = noHTMLEscape | rawNumbers | longEscapes
)

// The names of the variants, by bit.
var variantNames = [...]string{"no_html_escape", "raw_numbers", "long_escapes"}

// ParseBodyForm reads "auto", "go" (what encoding/json makes of the body),
// "raw" (the body's own bytes), or one or more variants of "go":
// "no_html_escape", "raw_numbers" and "long_escapes".
func ParseBodyForm(words []string) (BodyForm, error) {
	if len(words) == 1 {
		switch words[0] {
		case "auto":
			return BodyForm{}, nil
		case "go":
			return BodyForm{kind: bodyJSON}, nil
		case "raw":
			return BodyForm{kind: bodyRaw}, nil
		}
	}
	if len(words) == 0 {
		return BodyForm{}, errors.New("no body form: write auto, go, raw, or variants of go")
	}
	f := BodyForm{kind: bodyJSON}
	for _, word := range words {
		v, err := parseVariant(word)
		if err != nil {
			return BodyForm{}, err
		}
		if f.variant&v != 0 {
			return BodyForm{}, fmt.Errorf("body variant %q is there twice", word)
		}
		f.variant |= v
	}
	return f, nil
}

func parseVariant(word string) (variant, error) {
	for i, name := range variantNames {
		if word == name {
			return 1 << i, nil
		}
	}
	switch word {
	case "auto", "go", "raw":
		return 0, fmt.Errorf("body form %q stands alone", word)
	}
	return 0, fmt.Errorf("unknown body form %q: write auto, go, raw, or any of %s",
		word, strings.Join(variantNames[:], ", "))
}

// String returns the words that ParseBodyForm reads, with a space between them.
func (f BodyForm) String() string {
	switch {
	case f.kind == bodyAuto:
		return "auto"
	case f.kind == bodyRaw:
		return "raw"
	case f.variant == 0:
		return "go"
	}
	var words []string
	for i, name := range variantNames {
		if f.variant&(1<<i) != 0 {
			words = append(words, name)
		}
	}
	return strings.Join(words, " ")
}

func (f BodyForm) auto() bool { return f.kind == bodyAuto }

func (f BodyForm) options(ambiguous bool) normalize.Options {
	return normalize.Options{
		AllowAmbiguous: ambiguous,
		NoHTMLEscape:   f.variant&noHTMLEscape != 0,
		RawNumbers:     f.variant&rawNumbers != 0,
		LongEscapes:    f.variant&longEscapes != 0,
	}
}

// Form is how a string to sign is made.
type Form struct {
	URL  URLForm
	Body BodyForm
}

// String returns the two forms as they are written in a Caddyfile, with a space
// between them: "path_query go".
func (f Form) String() string { return f.URL.String() + " " + f.Body.String() }

// AppendStringToSign appends Method + URL + NormalizedQuery + NormalizedBody, as
// a sender written in Go prints them: what has more than one reading is
// resolved as encoding/json and net/url resolve it. It fails on a query or a
// body that they refuse, and on a form that is auto.
func AppendStringToSign(dst []byte, d *Delivery, f Form, body []byte) ([]byte, error) {
	if f.URL.auto() || f.Body.auto() {
		return dst, errors.New("a string to sign needs one URL form and one body form, not auto")
	}
	out, err := appendHead(dst, d, f.URL, normalize.Options{AllowAmbiguous: true})
	if err != nil {
		return dst, err
	}
	if f.Body.kind == bodyRaw {
		return append(out, body...), nil
	}
	out, err = normalize.AppendJSON(out, body, f.Body.options(true))
	if err != nil {
		return dst, err
	}
	return out, nil
}

// appendHead appends what stands before the body.
func appendHead(dst []byte, d *Delivery, url URLForm, o normalize.Options) ([]byte, error) {
	dst = append(dst, d.Method...)
	dst = url.append(dst, d)
	return normalize.AppendQuery(dst, d.RawQuery(), o)
}
