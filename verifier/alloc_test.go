package verifier

import (
	"fmt"
	"strings"
	"sync"
	"testing"
)

// kilobyte is a delivery of about 1 KB, as K-LINK writes them.
var kilobyte = `{"event":"message.inbound","timestamp":"2026-01-09T03:42:38.000000Z","data":{"id":"9b2c7f3e-2f4e-4bb7-a7a0-0c9d7d0a1b11",` +
	`"contact":{"name":"Zo\u00eb","url":"https:\/\/app.example.com\/contacts\/1"},"score":12.50,"text":"` + strings.Repeat("lorem <b>ipsum<\\/b> ", 40) + `"}}`

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, tt := range []struct{ configured, signed string }{
		{"full go", "full go"},
		{"path_query no_html_escape raw_numbers", "path_query no_html_escape raw_numbers"},
		{"path raw", "path raw"},
		{"auto auto", "full go"},
		{"auto auto", "host_path no_html_escape"},
		{"auto auto", "path_query raw"},
	} {
		const target = "/in/klink?b=2&a=1"
		text, err := AppendStringToSign(nil, post(target), form(t, tt.signed), []byte(kilobyte))
		if err != nil {
			t.Fatal(err)
		}
		v := mustVerifier(t, Config{HMAC: mustHMAC(t, tt.configured, "other", "s")})
		d, body := signedWith(t, "s", target, string(text)), []byte(kilobyte)
		var e Evidence
		verify := func() {
			if refusal := v.CheckRequest(d, &e); refusal != nil {
				t.Fatal(refusal)
			}
			if refusal := v.CheckBody(d, body, &e); refusal != nil {
				t.Fatal(refusal)
			}
		}
		verify() // fills the pools, and makes auto remember
		if got := testing.AllocsPerRun(200, verify); got != 0 {
			t.Errorf("%s, signed as %s: %v allocations", tt.configured, tt.signed, got)
		}
	}
}

// TestConcurrentUse lets many goroutines share one verifier, each with bodies,
// forms and secrets of its own.
func TestConcurrentUse(t *testing.T) {
	v := mustVerifier(t, Config{
		HMAC:  mustHMAC(t, "auto auto", "one", "two"),
		Basic: mustBasic(t, "alice", "p", "carol", bcryptOf(t, "q")),
	})
	readings := Form{}.Readings()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 100 {
				signedForm := readings[(7*g+i)%len(readings)]
				target, secret := fmt.Sprintf("/in/%d?a=%d", g, i), []string{"one", "two"}[i%2]
				body := fmt.Sprintf(`{ "n" : %d.0, "s" : "<\b%s" }`, i, strings.Repeat("x", 50*g))
				text, err := AppendStringToSign(nil, post(target), signedForm, []byte(body))
				if err != nil {
					t.Error(err)
					return
				}
				d := signedWith(t, secret, target, string(text))
				d.Header["Authorization"] = []string{basicAuth([]string{"alice:p", "carol:q"}[g%2])}
				e, refusal := check(v, d, body)
				if refusal != nil || e.HMAC != (HMACMatch{i%2 + 1, signedForm}) || e.User != g%2+1 {
					t.Errorf("signed as %s with %s: %+v, %v", signedForm, secret, e, refusal)
				}
				if _, refusal := check(v, d, strings.Replace(body, "x", "y", 1)+" "); g > 0 && reasonOf(refusal) != SignatureMismatch {
					t.Errorf("another body: %v", refusal)
				}
			}
		})
	}
	wg.Wait()
}
