package main

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/klinkgate/caddy-klink/sender"
	"github.com/klinkgate/caddy-klink/verifier"
)

// target has what a gateway could be tempted to rewrite.
const target = "/webhooks/klink/caf%C3%A9?shop=M%C3%BCnchen&b=2&a=1&empty="

// signing is how K-LINK signs. The gateways are configured with the same secret and forms.
func signing() (sender.Signing, error) {
	var s sender.Signing
	var err error
	if s.Form.URL, err = verifier.ParseURLForm("full"); err != nil {
		return s, err
	}
	if s.Form.Body, err = verifier.ParseBodyForm([]string{"go"}); err != nil {
		return s, err
	}
	s.Secret, err = verifier.NewSecret(secret)
	return s, err
}

// expectation is what each request must be like at the backend.
type expectation struct {
	host    string
	signing sender.Signing
}

// change says what is different from what K-LINK sent for the event, or "".
func (x expectation) change(r *http.Request, body []byte, e *entry) string {
	switch {
	case e == nil:
		return fmt.Sprintf("no event that was sent: %.200q", body)
	case !bytes.Equal(body, e.event.Body):
		return fmt.Sprintf("another body for event %s: %.200q", e.event.Name, body)
	}
	signature, err := x.signature(body)
	if err != nil {
		return err.Error()
	}
	for _, part := range []struct{ what, got, want string }{
		{"method", r.Method, http.MethodPost},
		{"target", r.RequestURI, target},
		{"Host", r.Host, x.host},
		{"length", fmt.Sprint(r.ContentLength), fmt.Sprint(len(body))},
		{"Content-Type", fmt.Sprint(r.Header["Content-Type"]), "[application/json]"},
		{"Content-Encoding", fmt.Sprint(r.Header["Content-Encoding"]), "[]"},
		{"User-Agent", fmt.Sprint(r.Header["User-Agent"]), "[caddy-klink-sender]"},
		{"X-Signature", fmt.Sprint(r.Header["X-Signature"]), "[" + signature + "]"},
		{"X-Forwarded-For", fmt.Sprint(r.Header["X-Forwarded-For"]), "[127.0.0.1]"},
		{"X-Forwarded-Proto", fmt.Sprint(r.Header["X-Forwarded-Proto"]), "[http]"},
		{"X-Forwarded-Host", fmt.Sprint(r.Header["X-Forwarded-Host"]), "[" + x.host + "]"},
	} {
		if part.got != part.want {
			return fmt.Sprintf("%s is %s, not %s, for event %s", part.what, part.got, part.want, e.event.Name)
		}
	}
	return ""
}

func (x expectation) signature(body []byte) (string, error) {
	d := &verifier.Delivery{Method: http.MethodPost, Scheme: "http", Host: x.host, Target: target}
	text, err := verifier.AppendStringToSign(nil, d, x.signing.Form, body)
	if err != nil {
		return "", err
	}
	return x.signing.Secret.Sign(text).Hex(), nil
}
