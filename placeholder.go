package klink

import (
	"strings"

	"github.com/tidwall/gjson"
)

const placeholderPrefix = "http.klink_webhook."

var placeholders = [...]string{"event", "timestamp", "reason", "form", "credential"}

// placeholder is a caddy.ReplacerFunc.
func (a *attempt) placeholder(key string) (any, bool) {
	name, ok := strings.CutPrefix(key, placeholderPrefix)
	if !ok {
		return nil, false
	}
	for _, known := range placeholders {
		if name == known {
			return a.field(name), true
		}
	}
	return nil, false
}

func (a *attempt) field(name string) string {
	switch name {
	case "event":
		a.findEvent()
		return a.event
	case "timestamp":
		a.findEvent()
		return a.timestamp
	case "reason":
		return string(a.reason)
	case "credential":
		if a.reason == "" {
			return a.webhook.verifier.Credential(&a.evidence)
		}
	case "form":
		if a.evidence.HMAC.Secret > 0 {
			return a.evidence.HMAC.Form.String()
		}
	}
	return ""
}

// findEvent looks into the body, while it is there.
func (a *attempt) findEvent() {
	if a.eventKnown || a.body.buf == nil {
		return
	}
	a.eventKnown = true
	found := gjson.GetManyBytes(a.body.buf.data, "event", "timestamp")
	a.event, a.timestamp = plainWord(found[0]), plainWord(found[1])
}

// plainWord returns a string that can be logged whoever wrote it.
func plainWord(r gjson.Result) string {
	if r.Type != gjson.String || len(r.Str) > 64 {
		return ""
	}
	for i := range len(r.Str) {
		c := r.Str[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && !strings.ContainsRune("._-:+", rune(c)) {
			return ""
		}
	}
	return r.Str
}
