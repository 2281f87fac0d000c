package verifier

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestEveryBlockMustPass: hmac, basic and two headers in one endpoint.
func TestEveryBlockMustPass(t *testing.T) {
	v := mustVerifier(t, Config{
		Allow:   mustList(t, "klink"),
		HMAC:    mustHMAC(t, "path go", "s", "rotated"),
		Basic:   mustBasic(t, "alice", "p", "bob", "q"),
		Headers: []*Header{mustHeader(t, "X-Key", "k1", "k2"), mustHeader(t, "X-Other", "o")},
	})
	complete := func() *Delivery {
		d := signedWith(t, "rotated", "/in", "POST/in{}")
		d.Header["Authorization"] = []string{basicAuth("bob:q")}
		d.Header["X-Key"] = []string{"k2"}
		d.Header["X-Other"] = []string{"o"}
		return d
	}
	e, refusal := check(v, complete(), "{}")
	if refusal != nil {
		t.Fatal(refusal)
	}
	if got := v.Credential(&e, []string{"old", "new"}); got != "hmac:new+basic:bob+header:X-Key:2+header:X-Other:1" {
		t.Errorf("credential %q", got)
	}
	for name, tt := range map[string]struct {
		change func(*Delivery)
		body   string
		want   Reason
	}{
		"GET":                      {func(d *Delivery) { d.Method = "GET" }, "{}", MethodNotAllowed},
		"post":                     {func(d *Delivery) { d.Method = "post" }, "{}", MethodNotAllowed},
		"no method":                {func(d *Delivery) { d.Method = "" }, "{}", MethodNotAllowed},
		"another address":          {func(d *Delivery) { d.Client = netip.MustParseAddr("192.0.2.1") }, "{}", AddressNotAllowed},
		"no address":               {func(d *Delivery) { d.Client = netip.Addr{} }, "{}", AddressNotAllowed},
		"no signature":             {func(d *Delivery) { delete(d.Header, "X-Signature") }, "{}", CredentialMissing},
		"broken signature":         {func(d *Delivery) { d.Header["X-Signature"][0] += "0" }, "{}", CredentialMalformed},
		"another's signature":      {func(d *Delivery) { d.Header["X-Signature"][0] = sampleHex }, "{}", SignatureMismatch},
		"no credentials":           {func(d *Delivery) { delete(d.Header, "Authorization") }, "{}", CredentialMissing},
		"wrong password":           {func(d *Delivery) { d.Header["Authorization"][0] = basicAuth("bob:p") }, "{}", BasicMismatch},
		"wrong header":             {func(d *Delivery) { d.Header["X-Key"][0] = "k" }, "{}", HeaderMismatch},
		"no second header":         {func(d *Delivery) { delete(d.Header, "X-Other") }, "{}", CredentialMissing},
		"second header wrong":      {func(d *Delivery) { d.Header["X-Other"][0] = "k1" }, "{}", HeaderMismatch},
		"path":                     {func(d *Delivery) { d.Target = "/ä" }, "{}", PathAmbiguous},
		"query":                    {func(d *Delivery) { d.Target = "/in?a=]" }, "{}", QueryAmbiguous},
		"another path":             {func(d *Delivery) { d.Target = "/on" }, "{}", SignatureMismatch},
		"another body":             {func(*Delivery) {}, `{"a":1}`, SignatureMismatch},
		"body of two readings":     {func(*Delivery) {}, `[]`, BodyAmbiguous},
		"body of none":             {func(*Delivery) {}, `{`, BodyMalformed},
		"method before address":    {func(d *Delivery) { d.Method, d.Client = "GET", netip.Addr{} }, "{}", MethodNotAllowed},
		"address before the rest":  {func(d *Delivery) { d.Client, d.Header, d.Target = netip.Addr{}, nil, "" }, "{}", AddressNotAllowed},
		"credentials before paths": {func(d *Delivery) { d.Header, d.Target = nil, "" }, "{}", CredentialMissing},
	} {
		d := complete()
		tt.change(d)
		e, refusal := check(v, d, tt.body)
		if reasonOf(refusal) != tt.want {
			t.Errorf("%s: %v, want %s", name, refusal, tt.want)
			continue
		}
		if refusal.Detail == "" || refusal.Error() != string(tt.want)+": "+refusal.Detail || !slices.Contains(Reasons(), tt.want) {
			t.Errorf("%s: %q", name, refusal.Error())
		}
		if e.HMAC.Secret != 0 {
			t.Errorf("%s: the evidence names secret %d", name, e.HMAC.Secret)
		}
	}
}

func TestCredentialHeaders(t *testing.T) {
	for _, tt := range []struct {
		config Config
		want   []string
	}{
		{Config{HMAC: mustHMAC(t, "auto auto", "s")}, []string{"X-Signature", "Authorization"}},
		{Config{Basic: mustBasic(t, "a", "b")}, []string{"Authorization"}},
		{Config{Headers: []*Header{mustHeader(t, "x-a", "v"), mustHeader(t, "X-B", "v")}}, []string{"X-A", "X-B"}},
	} {
		v := mustVerifier(t, tt.config)
		if got := v.CredentialHeaders(); !slices.Equal(got, tt.want) {
			t.Errorf("%v, want %v", got, tt.want)
		}
		if v.NeedsBody() != (tt.config.HMAC != nil) {
			t.Errorf("%v: NeedsBody %v", tt.want, v.NeedsBody())
		}
	}
}

func TestNothingToCheck(t *testing.T) {
	if _, err := New(Config{Allow: mustList(t, "any")}); err == nil || err.Error() != "no credential: add hmac, basic or header" {
		t.Errorf("no credential: %v", err)
	}
	if _, err := New(Config{Basic: mustBasic(t, "a", "b")}); err == nil || err.Error() != "no address list" {
		t.Errorf("no address list: %v", err)
	}
}

func TestReasons(t *testing.T) {
	want := strings.Fields(`method_not_allowed address_not_allowed credential_missing credential_malformed body_too_large
		body_incomplete body_malformed body_ambiguous query_ambiguous path_ambiguous signature_mismatch basic_mismatch header_mismatch`)
	var got []string
	for _, r := range Reasons() {
		got = append(got, string(r))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the reasons are %v, want %v", got, want)
	}
	if got := (&Refusal{Reason: BodyMalformed}).Error(); got != "body_malformed" {
		t.Errorf("without a detail: %q", got)
	}
}

// TestRooms holds the line between the rooms: neither package knows Caddy, its
// logger or an HTTP server.
func TestRooms(t *testing.T) {
	deps, err := exec.Command("go", "list", "-deps", ".", "../normalize").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, deps)
	}
	found := 0
	for dep := range strings.Lines(string(deps)) {
		dep = strings.TrimSpace(dep)
		switch {
		case dep == "net/http", strings.HasPrefix(dep, "github.com/caddyserver/"), strings.HasPrefix(dep, "go.uber.org/"):
			t.Errorf("%s is imported", dep)
		case strings.HasPrefix(dep, "github.com/klinkgate/caddy-klink/"):
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d packages of this module, want verifier and normalize", found)
	}
}
