package inbox_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestLaterAttemptsAreTheSame holds that a later attempt is the request that the
// first one was, but for the header that says so.
func TestLaterAttemptsAreTheSame(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options string
		later   map[string]string // what the later one has besides
	}{
		"with delivery headers":    {"", map[string]string{"Klink-Delivery-Attempt": "2"}},
		"without delivery headers": {"no_delivery_headers", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBackend(t)
			g := start(t, b, "retry 50ms\n"+test.options)
			b.status(500)
			r := signed(t, "/hook/a%2Fb", `{"event":"contact.create","timestamp":"x","data":{"id":"ü\u00e9"}}`)
			r.Header["X-Two"] = []string{"one", "two"}
			sign(r, "", `{"data":{"id":"üé"},"event":"contact.create","timestamp":"x"}`)
			if got := g.send(r); got.status != http.StatusOK {
				t.Fatalf("K-LINK was answered %d", got.status)
			}
			b.status(200)
			got := b.has(t, 2)
			first, later := got[0], got[1]
			for header, value := range test.later {
				if later.header.Get(header) != value {
					t.Errorf("%s: %q, want %q", header, later.header.Get(header), value)
				}
				delete(later.header, header)
			}
			if first.method != later.method || first.uri != later.uri || first.host != later.host || first.body != later.body {
				t.Errorf("got %+v, want %+v", later, first)
			}
			if !maps.EqualFunc(first.header, later.header, slices.Equal) {
				t.Errorf("headers\n%v, want\n%v", later.header, first.header)
			}
			if first.uri != "/hook/a%2Fb" || first.host != "hooks.example.com" || !strings.Contains(first.body, `\u00e9`) ||
				first.header.Get("X-Forwarded-For") != klinkAddress || !slices.Equal(first.header["X-Two"], []string{"one", "two"}) {
				t.Errorf("the backend got %+v", first)
			}
			if id := first.header.Get("Klink-Delivery-Id"); (id == "") != (test.options != "") {
				t.Errorf("Klink-Delivery-Id is %q", id)
			}
		})
	}
}

// TestDeliveryHeadersAreOurs holds that nobody else can say which attempt this is.
func TestDeliveryHeadersAreOurs(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b, "")
	r := signed(t, "/hook", event("contact.create", "1"))
	r.Header.Set("Klink-Delivery-Id", "forged")
	r.Header.Set("Klink-Delivery-Attempt", "9")
	if got := g.send(r); got.status != http.StatusOK {
		t.Fatalf("K-LINK was answered %d", got.status)
	}
	got := b.has(t, 1)[0]
	if id := got.header.Get("Klink-Delivery-Id"); len(id) != 32 || got.header.Get("Klink-Delivery-Attempt") != "" {
		t.Errorf("the backend got the headers %v", got.header)
	}
}

// TestRewrites holds that deliver sees the rewritten request, and {http.request.orig_uri}
// the one that came, in every attempt.
func TestRewrites(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := startSite(t, shortTempDir(t), b, `route {
		klink_webhook {
			hmac `+secret+`
		}
		rewrite * /rewritten?x=1
		klink_inbox {
			name {name}
			database sqlite://{dir}/inbox.db
			retry 50ms
			deliver {
				reverse_proxy {backend} {
					header_up X-Original {http.request.orig_uri}
					header_up X-Event {http.klink_webhook.event}
					header_up X-Client {client_ip}
				}
			}
		}
	}`)
	b.status(500)
	if status := g.deliver(event("contact.create", "1")); status != http.StatusOK {
		t.Fatalf("K-LINK was answered %d", status)
	}
	b.status(200)
	for i, r := range b.has(t, 2) {
		if r.uri != "/rewritten?x=1" || r.header.Get("X-Original") != "/hook" ||
			r.header.Get("X-Event") != "contact.create" || r.header.Get("X-Client") != klinkAddress {
			t.Errorf("attempt %d: %+v", i+1, r)
		}
	}
}

// TestHeadersThatDeliverReplaces holds that what a handler of deliver does to a header
// it does once in each attempt, not again in later ones.
func TestHeadersThatDeliverReplaces(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := startSite(t, shortTempDir(t), b, `klink_webhook {
		hmac `+secret+`
	}
	klink_inbox {
		name {name}
		database sqlite://{dir}/inbox.db
		retry 50ms
		deliver {
			request_header Content-Type ^ x-
			reverse_proxy {backend}
		}
	}`)
	b.status(500)
	if status := g.deliver(event("contact.create", "1")); status != http.StatusOK {
		t.Fatalf("K-LINK was answered %d", status)
	}
	b.status(200)
	for i, r := range b.has(t, 2) {
		if got := r.header.Get("Content-Type"); got != "x-application/json" {
			t.Errorf("attempt %d has the Content-Type %q", i+1, got)
		}
	}
}

// TestBytesThatAreNoText holds that a later attempt has every byte of the first
// one, whatever it is.
func TestBytesThatAreNoText(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	g := start(t, b, "retry 50ms")
	b.status(500)
	r := signed(t, "/hook/caf%E9%2F", event("contact.create", "1"))
	r.Header["X-Latin"] = []string{"caf\xe9"}
	r.Header["X-Text"] = []string{"café"}
	if got := g.send(r); got.status != http.StatusOK {
		t.Fatalf("K-LINK was answered %d", got.status)
	}
	b.status(200)
	for i, r := range b.has(t, 2) {
		if r.uri != "/hook/caf%E9%2F" || r.header.Get("X-Latin") != "caf\xe9" || r.header.Get("X-Text") != "café" {
			t.Errorf("attempt %d: %q with the headers %q", i+1, r.uri, r.header)
		}
	}
}
