package klink_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/klinkgate/caddy-klink/verifier"
)

// TestNothingSecretIsLogged makes every kind of delivery with access and debug
// logs on. Our own lines, and what the answer and the error routes show, hold no
// secret, no signature (sent or computed), no credential and nothing of a body
// but the event's name and time. Caddy's own lines hold no secret either.
func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	const (
		secret   = "Hush-Secret-1"
		password = "Hush-Password-2"
		token    = "Hush-Token-3"
		inBody   = "Hush-Body-4"
		body     = `{"event":"contact.create","data":{"id":"` + inBody + `"}}`
	)
	s := startCaddy(t, `
		log {
			output file {log}
			format filter {
				wrap json
				request>headers>X-Signature delete
				request>headers>X-Token delete
			}
		}
		klink_webhook {
			hmac "`+secret+`"
			basic alice "`+password+`"
			header X-Token "`+token+`"
		}
		respond "{http.klink_webhook.event}{http.klink_webhook.timestamp}{http.klink_webhook.reason}{http.klink_webhook.form}{http.klink_webhook.credential}"
		handle_errors {
			respond "{http.klink_webhook.event}{http.klink_webhook.timestamp}{http.klink_webhook.reason}{http.klink_webhook.form}{http.klink_webhook.credential} {err.message} {err.trace}"
		}`)
	good := sign(t, secret, "full", "go", siteURL, "/hook", body)
	forged := sign(t, "Another-Secret-5", "full", "go", siteURL, "/hook", body)
	mac, _ := hex.DecodeString(good)
	hidden := []string{
		secret, password, token, inBody, good, forged, base64.StdEncoding.EncodeToString(mac), "Hush",
		base64.StdEncoding.EncodeToString([]byte("alice:" + password)), "Wrong-Password-6", "Wrong-Token-7",
		hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret)),
	}
	type request struct {
		target, body, signature, password, token string
	}
	n := 0
	for _, bad := range []request{
		{},
		{signature: forged},
		{signature: "sha256=" + forged + "0"},
		{signature: "none"},
		{password: "Wrong-Password-6"},
		{token: "Wrong-Token-7"},
		{body: strings.Replace(body, inBody, inBody+`","id":"`+inBody, 1)},
		{body: `{"event":"` + inBody + ` ","data":1}`},
		{body: body[:len(body)-2] + inBody},
		{body: inBody},
		{target: "/hook?a=x+y"},
		{target: "/ho[ok"},
	} {
		r := delivery(t, "/hook", first(bad.body, body))
		if bad.target != "" {
			r.URL.Opaque = bad.target
		}
		r.Header.Set("X-Signature", first(bad.signature, good))
		r.SetBasicAuth("alice", first(bad.password, password))
		r.Header.Set("X-Token", first(bad.token, token))
		a := s.do(t, r)
		n++
		if (a.status == http.StatusOK) != (bad == request{}) {
			t.Errorf("%+v: %v", bad, a)
		}
		for _, word := range hidden {
			if strings.Contains(a.body, word) {
				t.Errorf("%+v: the placeholders show %s: %s", bad, word, a.body)
			}
		}
	}
	s.accessLog(t, n)
	log, err := os.ReadFile(s.logFile)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for line := range strings.Lines(string(log)) {
		var e entry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		logger, _ := e["logger"].(string)
		if e["msg"] == "delivery refused" {
			refused++
		}
		for _, word := range hidden {
			// At DEBUG Caddy itself prints the headers of a request that failed.
			caddys := e["level"] == "debug" && !strings.HasPrefix(logger, ourLogger)
			if strings.Contains(line, word) && (!caddys || word == secret || word == inBody) {
				t.Errorf("the log shows %s: %s", word, line)
			}
		}
	}
	if refused != n-1 {
		t.Errorf("%d refusals in the log, want %d", refused, n-1)
	}
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// TestAccessLogFilter: without the filter of the documentation Caddy prints the
// signature, with it not, and the rest of the header stays.
func TestAccessLogFilter(t *testing.T) {
	t.Parallel()
	for filter, shown := range map[string]bool{
		"format json": true,
		"format filter {\nwrap json\nrequest>headers>X-Signature delete\n}":              false,
		"format filter {\nwrap json\nfields {\nrequest>headers>X-Signature delete\n}\n}": false,
		"format filter {\nrequest>headers>X-Signature delete\n}":                         false,
	} {
		s := startCaddy(t, "log {\noutput file {log}\n"+filter+"\n}\n"+hmacOnly+"respond ok")
		r := signed(t, "/hook", testBody)
		s.do(t, r)
		s.accessLog(t, 1)
		log, err := os.ReadFile(s.logFile)
		if err != nil {
			t.Fatal(err)
		}
		var access string
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, "http.log.access") {
				access += line
			}
		}
		if strings.Contains(access, r.Header.Get("X-Signature")) != shown || !strings.Contains(access, "X-Forwarded-For") {
			t.Errorf("%s: %s", filter, access)
		}
	}
}

// TestZapPrintsNoSecret logs what holds a secret in every way that zap has.
func TestZapPrintsNoSecret(t *testing.T) {
	const hidden = "hush-hush"
	secret, err := verifier.NewSecret(hidden)
	if err != nil {
		t.Fatal(err)
	}
	h, err := verifier.NewHMAC(verifier.HMACConfig{Secrets: []verifier.Secret{secret}})
	if err != nil {
		t.Fatal(err)
	}
	type holder struct{ S verifier.Secret }
	var out strings.Builder
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "m"}), zapcore.AddSync(&out), zap.DebugLevel)
	console := zapcore.NewCore(zapcore.NewConsoleEncoder(zapcore.EncoderConfig{MessageKey: "m"}), zapcore.AddSync(&out), zap.DebugLevel)
	observed, entries := observer.New(zap.DebugLevel)
	logger := zap.New(zapcore.NewTee(core, console, observed))
	for _, value := range []any{secret, &secret, []verifier.Secret{secret}, holder{secret}, &holder{secret}, map[string]any{"a": secret}, h} {
		logger.Info("m", zap.Any("any", value), zap.Reflect("reflect", value))
		logger.Sugar().Infow("m", "sugar", value)
		logger.Sugar().Infof("%v %+v %#v", value, value, value)
		logger.Sugar().Info(value)
	}
	logger.Info("m", zap.Stringer("stringer", secret))
	for _, e := range entries.All() {
		out.WriteString(e.Message)
	}
	if text := out.String(); strings.Contains(text, "hush") || !strings.Contains(text, "[secret]") {
		t.Errorf("the log has %s", text)
	}
}
