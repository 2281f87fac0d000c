package klink

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/klinkgate/caddy-klink/verifier"
)

func (e *explanation) print(w io.Writer) error {
	d := &e.Delivery
	var b strings.Builder
	fmt.Fprintf(&b, "request       %s %s\nhost          %s\nbody          %d bytes\n",
		printable(d.Method), printable(d.Target), printable(d.Host), len(e.Body))
	fmt.Fprintf(&b, "signature in  %s\n", cmp.Or(strings.Join(e.headers, ", "), "no header"))
	for _, note := range e.Notes {
		fmt.Fprintf(&b, "note          %s\n", note)
	}
	fmt.Fprintln(&b)
	for i := range e.readings {
		e.printReading(&b, i)
	}
	e.printMatch(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (e *explanation) printReading(w io.Writer, i int) {
	r := &e.readings[i]
	label := r.Form.String()
	if r.OtherHost {
		label += ", with " + r.PublicURL
	}
	if r.OtherPath {
		label += ", with the path " + r.Path
	}
	if i > 0 {
		label += fmt.Sprintf(", differs from 1 at offset %d", r.DiffersAt(&e.readings[0]))
	}
	if e.finding != nil && i == e.matches {
		label += ", SIGNED"
	}
	fmt.Fprintf(w, "%2d  %s\n    %s\n", i+1, printable(label), printable(string(r.StringToSign())))
}

func (e *explanation) printMatch(w io.Writer) {
	if e.finding == nil {
		return
	}
	fmt.Fprintf(w, "\nReading %d was signed with the secret %s; the signature is in %s.\n", e.matches+1, e.secret, e.finding.Header)
	switch {
	case !e.finding.Acceptable():
		fmt.Fprintf(w, "No option makes up for the slash: in K-LINK, type the URL with the path %s.\n", printable(e.Delivery.Path()))
	case e.refusal != nil:
		fmt.Fprintf(w, "Even so this request would be refused: %s.\n", e.refusal)
	}
	fmt.Fprintf(w, "\n%s", e.caddyfile())
}

// caddyfile returns the lines that accept what was found and nothing else.
func (e *explanation) caddyfile() string {
	f := e.finding
	var b strings.Builder
	fmt.Fprintf(&b, "klink_webhook {\n\thmac {\n\t\tsecret %s\n\t\theader %s\n\t\turl %s\n\t\tbody %s\n\t}\n",
		caddyfileWord(e.secret), f.Header, caddyfileWord(f.Form.URL.String()), f.Form.Body)
	if f.PublicURL != "" {
		fmt.Fprintf(&b, "\tpublic_url %s\n", f.PublicURL)
	}
	b.WriteString("}\n")
	return b.String()
}

// caddyfileWord puts quotes around what would not be one word.
func caddyfileWord(s string) string {
	if !strings.ContainsAny(s, " \t\"`\\#") {
		return s
	}
	return `"` + strings.ReplaceAll(s, `"`, `\"`) + `"`
}

// printable writes each byte that is not part of a printable character as \xNN.
func printable(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if unicode.IsPrint(r) && (r != utf8.RuneError || size > 1) {
			b.WriteString(s[:size])
		} else {
			fmt.Fprintf(&b, `\x%02x`, s[:1])
			size = 1
		}
		s = s[size:]
	}
	return b.String()
}

type jsonExplanation struct {
	Method           string        `json:"method"`
	Host             string        `json:"host"`
	Target           string        `json:"target"`
	BodyBytes        int           `json:"body_bytes"`
	Notes            []string      `json:"notes,omitempty"`
	SignatureHeaders []string      `json:"signature_headers"`
	Readings         []jsonReading `json:"readings"`
	Tried            int           `json:"tried"`
	Match            *jsonMatch    `json:"match"`
}

type jsonReading struct {
	URLForm   string `json:"url_form"`
	BodyForm  string `json:"body_form"`
	PublicURL string `json:"public_url,omitempty"`
	Path      string `json:"path"`
	signedText
	DiffersAt *int `json:"differs_at,omitempty"` // from the first one
}

type jsonMatch struct {
	Reading   int    `json:"reading"`
	Header    string `json:"header"`
	Secret    string `json:"secret"`
	Refused   string `json:"refused,omitempty"`
	Caddyfile string `json:"caddyfile"`
}

func (e *explanation) printJSON(w io.Writer) error {
	j := jsonExplanation{
		Method: e.Delivery.Method, Host: e.Delivery.Host, Target: e.Delivery.Target, BodyBytes: len(e.Body),
		Notes: e.Notes, SignatureHeaders: append([]string{}, e.headers...), Tried: e.tried,
		Readings: make([]jsonReading, len(e.readings)),
	}
	for i := range e.readings {
		j.Readings[i] = newJSONReading(&e.readings[i], &e.readings[0])
	}
	if e.finding != nil {
		j.Match = &jsonMatch{Reading: e.matches, Header: e.finding.Header, Secret: e.secret, Caddyfile: e.caddyfile()}
		if e.refusal != nil {
			j.Match.Refused = e.refusal.Error()
		}
	}
	return printJSON(w, j)
}

func newJSONReading(r, first *verifier.Reading) jsonReading {
	j := jsonReading{
		URLForm: r.Form.URL.String(), BodyForm: r.Form.Body.String(), PublicURL: r.PublicURL, Path: r.Path,
		signedText: newSignedText(r.StringToSign()),
	}
	if at := r.DiffersAt(first); at >= 0 {
		j.DiffersAt = &at
	}
	return j
}
