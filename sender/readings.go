package sender

import "github.com/klinkgate/caddy-klink/verifier"

// Reading is one way to make the string to sign.
type Reading struct {
	Form         verifier.Form
	StringToSign []byte
}

// Readings returns the strings to sign for every form that f leaves open, each string once, under the form that auto
// tries first. A form that this body or query does not have is left out; that none is left is an error.
func Readings(to *verifier.Delivery, f verifier.Form, body []byte) ([]Reading, error) {
	var readings []Reading
	var first error
	seen := map[string]bool{}
	for _, form := range f.Readings() {
		text, err := verifier.AppendStringToSign(nil, to, form, body)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		if !seen[string(text)] {
			seen[string(text)] = true
			readings = append(readings, Reading{form, text})
		}
	}
	if len(readings) == 0 {
		return nil, first
	}
	return readings, nil
}
