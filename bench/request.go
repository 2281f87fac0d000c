package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/klinkgate/caddy-klink/verifier"
)

// secret is what every contender that looks at signatures is configured with.
const secret = "a-secret-for-measuring-only-0123456789"

// signing returns the hex signature of a delivery.
type signing func(host, target string, body []byte) (string, error)

// signedForm signs K-LINK's string to sign, in the form "full go".
func signedForm(host, target string, body []byte) (string, error) {
	text, err := stringToSign(host, target, body)
	if err != nil {
		return "", err
	}
	return hexHMAC(text), nil
}

func stringToSign(host, target string, body []byte) ([]byte, error) {
	var f verifier.Form
	var err error
	if f.URL, err = verifier.ParseURLForm("full"); err != nil {
		return nil, err
	}
	if f.Body, err = verifier.ParseBodyForm([]string{"go"}); err != nil {
		return nil, err
	}
	d := &verifier.Delivery{Method: "POST", Scheme: "http", Host: host, Target: target}
	return verifier.AppendStringToSign(nil, d, f, body)
}

// signedRaw signs the body's own bytes.
func signedRaw(_, _ string, body []byte) (string, error) { return hexHMAC(body), nil }

func hexHMAC(text []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(text)
	return hex.EncodeToString(mac.Sum(nil))
}

// requests returns the bytes that go over the wire, one request for each body.
func requests(host, target string, sign signing, bodies [][]byte) ([][]byte, error) {
	all := make([][]byte, len(bodies))
	for i, body := range bodies {
		signature, err := sign(host, target, body)
		if err != nil {
			return nil, err
		}
		all[i] = request(host, target, signature, body)
	}
	return all, nil
}

func request(host, target, signature string, body []byte) []byte {
	return append(fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: klink-bench\r\nAccept: */*\r\n"+
		"Content-Type: application/json\r\nX-Signature: %s\r\nContent-Length: %d\r\n\r\n",
		target, host, signature, len(body)), body...)
}
