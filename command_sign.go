package klink

import (
	"encoding/json"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/klinkgate/caddy-klink/sender"
	"github.com/klinkgate/caddy-klink/verifier"
)

// signing is what 'caddy klink sign' was asked for.
type signing struct {
	form   formFlags
	secret credentialSource
	method string
	json   bool
}

func signCommand() *cobra.Command {
	s := &signing{secret: credentialSource{what: "secret"}}
	cmd := &cobra.Command{
		Use:   "sign <url> <file>",
		Short: "Prints the string to sign and the signature of a delivery",
		Long: `Prints the string to sign and its HMAC-SHA256 signature for a delivery: the URL
as it is typed in K-LINK, and the body from a file, or from the standard input
if the file is -. The secret comes from the environment variable KLINK_SECRET,
or from where a flag says.

K-LINK does not define every detail of the string to sign. Without --url-form
and --body-form every reading that differs from the others is printed, under
the form that klink_webhook tries first. "full go" is written in a Caddyfile as

	hmac {
		url  full
		body go
	}

With --json one object for each reading is printed on a line of its own:
url_form, body_form, string_to_sign, signature (hex), signature_base64. A
string to sign that is not UTF-8 is in string_to_sign_base64 instead.`,
		Example: `  $ export KLINK_SECRET=...
  $ caddy klink sign https://hooks.example.com/klink body.json
  $ caddy klink sign https://hooks.example.com/klink - < body.json
  $ caddy klink sign --url-form path --body-form go http://127.0.0.1/klink body.json
  $ caddy klink sign --body-form raw_numbers,no_html_escape \
      --secret-file secret.txt https://hooks.example.com/klink body.json`,
		Args: arguments("URL", "file"),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, args[0], args[1]) },
	}
	s.form.bind(cmd, "auto", "auto")
	s.secret.bind(cmd, "KLINK_SECRET")
	cmd.Flags().StringVar(&s.method, "method", "POST", "the request's `method`")
	cmd.Flags().BoolVar(&s.json, "json", false, "print JSON, for scripts")
	return cmd
}

func (s *signing) run(cmd *cobra.Command, url, file string) error {
	form, err := s.form.parse()
	if err != nil {
		return err
	}
	to, err := sender.DeliveryTo(s.method, url)
	if err != nil {
		return err
	}
	value, err := s.secret.read()
	if err != nil {
		return err
	}
	secret, err := verifier.NewSecret(value)
	if err != nil {
		return err
	}
	body, err := readBody(cmd, file)
	if err != nil {
		return err
	}
	readings, err := sender.Readings(to, form, body)
	if err != nil {
		return fmt.Errorf("there is no string to sign in the form %q: %w", form, err)
	}
	if form.Body.String() == "auto" && readings[0].Form.Body.String() == "raw" {
		fmt.Fprintln(cmd.ErrOrStderr(), `The body is not JSON, so only its bytes can be signed: klink_webhook accepts that with "body raw" alone.`)
	}
	for i, reading := range readings {
		if err := s.print(cmd.OutOrStdout(), i, reading, secret.Sign(reading.StringToSign)); err != nil {
			return err
		}
	}
	return nil
}

func (s *signing) print(w io.Writer, i int, r sender.Reading, signature verifier.Signature) error {
	if s.json {
		return printJSON(w, newSignedReading(r, signature))
	}
	if i > 0 {
		fmt.Fprintln(w)
	}
	_, err := fmt.Fprintf(w, "form            %s\nstring to sign  %s\nsignature       %s\nin base64       %s\n",
		r.Form, r.StringToSign, signature.Hex(), signature.Base64())
	return err
}

type signedReading struct {
	URLForm  string `json:"url_form"`
	BodyForm string `json:"body_form"`
	signedText
	Signature       string `json:"signature"`
	SignatureBase64 string `json:"signature_base64"`
}

// signedText is a string to sign, in base64 when it is not UTF-8.
type signedText struct {
	StringToSign       *string `json:"string_to_sign,omitempty"`
	StringToSignBase64 []byte  `json:"string_to_sign_base64,omitempty"`
}

func newSignedText(b []byte) signedText {
	if !utf8.Valid(b) {
		return signedText{StringToSignBase64: b}
	}
	text := string(b)
	return signedText{StringToSign: &text}
}

func newSignedReading(r sender.Reading, signature verifier.Signature) signedReading {
	return signedReading{
		URLForm:         r.Form.URL.String(),
		BodyForm:        r.Form.Body.String(),
		signedText:      newSignedText(r.StringToSign),
		Signature:       signature.Hex(),
		SignatureBase64: signature.Base64(),
	}
}

// printJSON prints one value on a line, for scripts.
func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
