package klink

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/klinkgate/caddy-klink/sender"
	"github.com/klinkgate/caddy-klink/verifier"
)

// demoCase is a delivery and what must become of it.
type demoCase struct {
	name   string
	status int
	reason string // "" when the backend must get the delivery
	send   func(context.Context, *demo) (demoSent, error)
}

// demoSent is what was sent, and the answer's status.
type demoSent struct {
	demoRequest
	status int
}

func demoCases() []demoCase {
	return []demoCase{
		{"contact.create, signed", 200, "", genuine(0, "/signed", demoSecrets.signed)},
		{"contact.update, signed", 200, "", genuine(1, "/signed", demoSecrets.signed)},
		{"message.inbound, signed", 200, "", genuine(2, "/signed?b=2&a=1", demoSecrets.signed)},
		{"message.outbound, signed", 200, "", genuine(3, "/signed", demoSecrets.signed)},
		{"contact.create, HTTP Basic", 200, "", genuine(4, "/basic", demoSecrets.basic)},
		{"contact.update, custom header", 200, "", genuine(5, "/header", demoSecrets.header)},
		{"signed with another secret", 401, "signature_mismatch", genuine(6, "/signed", demoSecrets.signedByAnother)},
		{"another body, old signature", 401, "signature_mismatch", forged{tamper: replaceData}.send},
		{"a key put in twice", 400, "body_ambiguous", forged{tamper: repeatKey}.send},
		{"no signature", 401, "credential_missing", genuine(7, "/signed")},
		{"wrong password", 401, "basic_mismatch", genuine(8, "/basic", demoSecrets.guessedPassword)},
		{"GET with a signature", 405, "method_not_allowed", forged{method: http.MethodGet}.send},
		{"an address that is not allowed", 403, "address_not_allowed", genuine(9, "/elsewhere", demoSecrets.signed)},
		{"a body over the limit", 413, "body_too_large", forged{tamper: addSpace}.send},
	}
}

// credential makes what a delivery carries.
type credential func(demoSecrets) (sender.Credential, error)

func (s demoSecrets) signed() (sender.Credential, error) { return signedWith(s.secret) }

func (s demoSecrets) signedByAnother() (sender.Credential, error) {
	return signedWith("not " + s.secret)
}

func (s demoSecrets) basic() (sender.Credential, error) {
	return sender.BasicAuth("klink", s.password)
}

func (demoSecrets) guessedPassword() (sender.Credential, error) {
	return sender.BasicAuth("klink", "klink")
}

func (s demoSecrets) header() (sender.Credential, error) {
	return sender.FixedHeader("X-Webhook-Token", s.token)
}

func signedWith(text string) (sender.Credential, error) {
	secret, err := verifier.NewSecret(text)
	if err != nil {
		return sender.Credential{}, err
	}
	form, err := demoForm()
	if err != nil {
		return sender.Credential{}, err
	}
	return sender.Signing{Secret: secret, Form: form}.Credential()
}

func demoForm() (form verifier.Form, err error) {
	if form.URL, err = verifier.ParseURLForm("full"); err != nil {
		return form, err
	}
	form.Body, err = verifier.ParseBodyForm([]string{"go"})
	return form, err
}

// genuine sends the n-th event as K-LINK does, but only once.
func genuine(n int, target string, credentials ...credential) func(context.Context, *demo) (demoSent, error) {
	return func(ctx context.Context, d *demo) (demoSent, error) {
		event, err := demoEvent(n)
		if err != nil {
			return demoSent{}, err
		}
		ctx, giveUp := context.WithCancel(ctx)
		defer giveUp()
		config := sender.Config{
			URL:   d.gateway.url + target,
			Sleep: func(context.Context, time.Duration) error { giveUp(); return context.Canceled },
		}
		for _, prepare := range credentials {
			c, err := prepare(d.secrets)
			if err != nil {
				return demoSent{}, err
			}
			config.Credentials = append(config.Credentials, c)
		}
		klink, err := sender.New(config)
		if err != nil {
			return demoSent{}, err
		}
		defer klink.Close()
		delivery, err := klink.Send(ctx, event)
		if len(delivery.Attempts) == 0 {
			return demoSent{}, err
		}
		first := delivery.Attempts[0]
		return demoSent{demoRequest{http.MethodPost, target, event.Body}, first.Status}, first.Err
	}
}

// forged is what someone sends who got hold of one signed delivery.
type forged struct {
	method string // "" is POST
	tamper func(body []byte) []byte
}

func (f forged) send(ctx context.Context, d *demo) (demoSent, error) {
	const target = "/signed"
	event, err := demoEvent(0)
	if err != nil {
		return demoSent{}, err
	}
	captured, err := capturedSignature(d, target, event.Body)
	if err != nil {
		return demoSent{}, err
	}
	sent := demoRequest{cmp.Or(f.method, http.MethodPost), target, event.Body}
	if f.tamper != nil {
		sent.body = f.tamper(event.Body)
	}
	request, err := http.NewRequestWithContext(ctx, sent.method, d.gateway.url+target, bytes.NewReader(sent.body))
	if err != nil {
		return demoSent{}, err
	}
	request.Header.Set("X-Signature", captured)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return demoSent{}, err
	}
	return demoSent{sent, response.StatusCode}, response.Body.Close()
}

// capturedSignature is that of a genuine delivery.
func capturedSignature(d *demo, target string, body []byte) (string, error) {
	form, err := demoForm()
	if err != nil {
		return "", err
	}
	to, err := sender.DeliveryTo(http.MethodPost, d.gateway.url+target)
	if err != nil {
		return "", err
	}
	text, err := verifier.AppendStringToSign(nil, to, form, body)
	if err != nil {
		return "", err
	}
	secret, err := verifier.NewSecret(d.secrets.secret)
	return secret.Sign(text).Hex(), err
}

func demoEvent(n int) (sender.Event, error) {
	generator, err := sender.NewGenerator(1)
	if err != nil {
		return sender.Event{}, err
	}
	return generator.Event(n), nil
}

// replaceData changes the data.
func replaceData(body []byte) []byte {
	return bytes.Replace(body, []byte("@mail.example"), []byte("@evil.example"), 1)
}

// repeatKey puts a key in a second time, in front: to a parser that keeps the last
// value nothing has changed, so the old signature fits.
func repeatKey(body []byte) []byte {
	return append([]byte(`{"event":"contact.delete",`), body[1:]...)
}

// addSpace adds space, which the signature does not cover.
func addSpace(body []byte) []byte {
	return append(bytes.Repeat([]byte(" "), 32<<10), body...)
}
