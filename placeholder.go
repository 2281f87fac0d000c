package klink

import (
	"strings"
	"unsafe"

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
		return a.passed.Event
	case "timestamp":
		a.findTimestamp()
		return a.timestamp
	case "reason":
		return string(a.reason)
	case "credential":
		if a.reason == "" {
			return a.webhook.verifier.Credential(&a.evidence, a.webhook.secretNames)
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
	if a.passed.Event == "" && a.body.buf != nil {
		a.passed.Event = a.webhook.endpoint.eventName(a.plainField("event"))
	}
}

func (a *attempt) findTimestamp() {
	if a.timestamp == "" && a.body.buf != nil {
		a.timestamp = strings.Clone(a.plainField("timestamp"))
	}
}

// plainField returns a string in the body's top level that can be logged
// whoever wrote it. The result is part of the body: clone it to keep it.
func (a *attempt) plainField(name string) string {
	data := a.body.buf.data
	r := gjson.Get(unsafe.String(unsafe.SliceData(data), len(data)), name)
	if r.Type != gjson.String || !plainWord(r.Str) {
		return ""
	}
	return r.Str
}

func plainWord(s string) bool {
	if len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && strings.IndexByte("._-:+", c) < 0 {
			return false
		}
	}
	return true
}
