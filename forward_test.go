package klink_test

import (
	"testing"
)

func TestForwardsUnchanged(t *testing.T) {
	t.Parallel()
	b := startBackend(t, nil)
	s := startCaddy(t, `
		klink_webhook {
			hmac "`+testSecret+`"
		}
		reverse_proxy `+b.address)
	r := signed(t, "/hook", testBody)
	if a := s.do(t, r); a.status != 200 || a.body != "" {
		t.Errorf("answer %v", a)
	}
	got := b.one(t)
	if got.body != testBody || got.RequestURI != "/hook" || got.Method != "POST" || got.Host != "hooks.example.com" {
		t.Errorf("backend got %s %s%s: %s", got.Method, got.Host, got.RequestURI, got.body)
	}
}
