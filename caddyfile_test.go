package klink_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// TestCaddyfileAdapts compares the JSON of whole Caddyfiles: a file holds the
// Caddyfile, a line of ten dashes, and what comes of it.
func TestCaddyfileAdapts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/caddyfile/*.caddyfiletest")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 8 {
		t.Fatalf("there are only %d files", len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".caddyfiletest"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			source, want, _ := bytes.Cut(text, []byte("----------\n"))
			if formatted := caddyfile.Format(source); !bytes.Equal(formatted, source) {
				t.Errorf("caddy fmt would write:\n%s", formatted)
			}
			config := adapt(t, string(source))
			var got bytes.Buffer
			if err := json.Indent(&got, config, "", "\t"); err != nil {
				t.Fatal(err)
			}
			if got.String()+"\n" != string(want) {
				t.Errorf("the JSON is\n%s", &got)
			}
			// Every name in the JSON must be one that is read again.
			var c caddy.Config
			if err := caddy.StrictUnmarshalJSON(config, &c); err != nil {
				t.Error(err)
			}
			for _, handler := range handlers(t, config) {
				if _, err := unmarshalWebhook(handler); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// handlers returns the configs of klink_webhook, wherever they are.
func handlers(t testing.TB, config []byte) (found [][]byte) {
	t.Helper()
	var root any
	if err := json.Unmarshal(config, &root); err != nil {
		t.Fatal(err)
	}
	var walk func(any)
	walk = func(value any) {
		switch value := value.(type) {
		case []any:
			for _, element := range value {
				walk(element)
			}
		case map[string]any:
			if value["handler"] == "klink_webhook" {
				delete(value, "handler") // Caddy's key, which it takes out itself
				text, err := json.Marshal(value)
				if err != nil {
					t.Fatal(err)
				}
				found = append(found, text)
			}
			for _, member := range value {
				walk(member)
			}
		}
	}
	walk(root)
	if len(found) == 0 {
		t.Error("there is no klink_webhook in the JSON")
	}
	return found
}

// A bad config is the text inside klink_webhook's braces. The site's address is
// line 1 and klink_webhook line 2, so its own first line is line 3.
func inSite(block string) string {
	return "http:// {\n\tklink_webhook {\n" + block + "\n\t}\n}\n"
}

func TestBadCaddyfiles(t *testing.T) {
	t.Parallel()
	const (
		options       = "there are allow, hmac, basic, header, public_url, max_body, keep_status, strip_credentials, name, mode and error_budget"
		hmacOptions   = "there are secret, secret_file, header, url and body"
		budgetOptions = "there are limit and window"
		addresses     = "is neither klink, any, private_ranges, an IP address nor a CIDR prefix such as 192.0.2.0/24"
		publicURL     = "public_url: write scheme://host or scheme://host:port with http or https, without a path, such as https://hooks.example.com"
		maxBody       = "max_body: the size must be above 0 and at most 512MiB"
		size          = "is no size: write a number of bytes or a size such as 512KiB or 1MiB"
		urlForms      = "write auto, full, full_query, path, path_query, host_path, or the URL that is typed in K-LINK, beginning with https:// or http://"
		noHost        = "is no URL with a host: write the URL that is typed in K-LINK, such as https://hooks.example.com/klink"
		bodyForms     = "write auto, go, raw, or any of no_html_escape, raw_numbers, long_escapes"
		name          = "name: write 1 to 64 letters, digits, dots, dashes or underscores"
		mode          = "mode takes one word: write enforce or observe"
		limit         = "error_budget: limit must be a number between 1 and 10000"
		window        = "error_budget: window must be a duration above 0, such as 1h"
		keepOne       = "keep one of them, with all that it shall have"
		noSecret      = `hmac has no secret: add "secret {env.KLINK_SECRET}" to hmac`
		secretEmpty   = "hmac: a secret is empty: write a placeholder such as {env.KLINK_SECRET}"
		basicArgs     = "basic takes a user and a password: basic klink {env.KLINK_PASSWORD}"
		basicEmpty    = "basic: a user or password is empty: write a placeholder such as {env.KLINK_SECRET}"
		headerArgs    = "header takes a name and a value: header X-Webhook-Token {env.KLINK_TOKEN}"
		headerSpace   = "begins or ends with space, which HTTP does not carry"
		nameOther     = ": name the header that is typed in K-LINK or holds the signature, such as X-Signature"
		usedUp        = "is used up by HTTP itself and never arrives" + nameOther
		bracesAfter   = "takes no block: leave out the braces after it"
	)
	tests := []struct {
		block string
		line  string
		want  string
	}{
		{"", "4", "klink_webhook has no credential: add hmac, basic or header"},
		{"allow any", "4", "klink_webhook has no credential: add hmac, basic or header"},
		{"hmac s\nhmak s", "4", `unknown option "hmak": ` + options},
		{"hmac s\nsecret s", "4", `unknown option "secret": ` + options},
		{"HMAC s", "3", `unknown option "HMAC": ` + options},

		{"hmac s\nallow", "4", "allow: no address: name at least one of klink, any, private_ranges, an address or a CIDR prefix"},
		{"hmac s\nallow klink 192.0.2.0/33", "4", `allow: "192.0.2.0/33" ` + addresses},
		{"hmac s\nallow hooks.example.com", "4", `allow: "hooks.example.com" ` + addresses},
		{"hmac s\nallow 192.0.2.1:443", "4", `allow: "192.0.2.1:443" ` + addresses},
		{"hmac s\nallow 192.0.2.1, 192.0.2.2", "4", `allow: "192.0.2.1," ` + addresses},
		{`allow ""`, "3", `allow: "" ` + addresses},
		{"hmac s\nallow 192.0.2.1/24", "4", `allow: "192.0.2.1/24" has bits set beyond its length: write 192.0.2.0/24, or the single address without a length`},
		{"allow 2001:db8::1/32", "3", `allow: "2001:db8::1/32" has bits set beyond its length: write 2001:db8::/32, or the single address without a length`},
		{"hmac s\nallow 0.0.0.0/0", "4", `allow: "0.0.0.0/0" lets every address in: write any if that is meant`},
		{"allow ::/0", "3", `allow: "::/0" lets every address in: write any if that is meant`},
		{"allow ::ffff:0.0.0.0/96", "3", `allow: "::ffff:0.0.0.0/96" lets every address in: write any if that is meant`},
		{"allow fe80::1%eth0", "3", `allow: "fe80::1%eth0": an address with a zone cannot be matched: leave out "%eth0"`},
		{"allow 0.0.0.0/1 128.0.0.0/1", "3", "allow: the prefixes together let every IPv4 address in: write any if that is meant"},
		{"hmac s\nallow klink\nallow any", "5", `option "allow" is there twice: ` + keepOne},
		{"allow klink {\n}", "4", "allow " + bracesAfter},

		{"hmac", "3", noSecret},
		{"hmac {\n}", "4", noSecret},
		{"hmac {\nurl full\n}", "5", noSecret},
		{`hmac ""`, "3", secretEmpty},
		{`hmac s ""`, "3", secretEmpty},
		{"hmac \"\" {\nsecret s\n}", "3", secretEmpty},
		{"hmac {\nsecret s\nsecret \"\"\nurl full\n}", "5", secretEmpty},
		{"hmac {\nsecret\n}", "4", "hmac: secret needs a value"},
		{"hmac {\nsecret s {\nurl full\n}\n}", "5", "secret " + bracesAfter},
		{"hmac s\nhmac t", "4", `option "hmac" is there twice: ` + keepOne},
		{"hmac {\nsecret s\nsecrets t\n}", "5", `unknown option in hmac: ` + hmacOptions},
		{"hmac {\nsecret s\nallow\n}", "5", `unknown option in hmac: ` + hmacOptions},
		{"hmac {\nsecret_file\n}", "4", "hmac: secret_file needs a value"},
		{"hmac {\nsecret_file \"\"\n}", "4", "hmac: a secret_file is empty: write the path of a file that holds the secret"},
		{"hmac {\nsecret_file /a {\n}\n}", "5", "secret_file " + bracesAfter},
		{"hmac new={env.A} new={env.B}", "3", "hmac: two secrets have the name new: give them names of their own"},
		{"hmac {env.A} 1={env.B}", "3", "hmac: two secrets have the name 1: give them names of their own"},
		{"hmac {\nsecret new={env.A}\nsecret_file new=/run/new\n}", "6", "hmac: two secrets have the name new: give them names of their own"},
		{"hmac s {\nheader\n}", "4", "hmac: header needs a value"},
		{"hmac s {\nheader \"X Signature\"\n}", "4", `hmac: header: "X Signature" is no header name`},
		{"hmac s {\nheader \"\"\n}", "4", `hmac: header: "" is no header name`},
		{"hmac s {\nheader X-Signature: Authorization\n}", "4", `hmac: header: "X-Signature:" is no header name`},
		{"hmac s {\nheader X-Signature x-signature\n}", "4", "hmac: header: x-signature is there twice"},
		{"hmac s {\nheader X-A Host\n}", "4", "hmac: header: Host " + usedUp},
		{"hmac s {\nheader transfer-encoding\n}", "4", "hmac: header: Transfer-Encoding " + usedUp},
		{"hmac s {\nheader X-A\nheader X-B\n}", "5", `option "header" is there twice: ` + keepOne},
		{"hmac s {\nheader X-A {\n}\n}", "5", "header " + bracesAfter},
		{"hmac s {\nurl\n}", "4", "hmac: url needs a value"},
		{"hmac s {\nurl full path\n}", "4", "hmac: url takes one form"},
		{"hmac s {\nurl \"\"\n}", "4", "hmac: url is empty: write a form, or leave the option out for auto"},
		{"hmac s {\nurl fully\n}", "4", `hmac: url: unknown URL form "fully": ` + urlForms},
		{"hmac s {\nurl hooks.example.com/hook\n}", "4", `hmac: url: unknown URL form "hooks.example.com/hook": ` + urlForms},
		{"hmac s {\nurl https://\n}", "4", `hmac: url: "https://" ` + noHost},
		{"hmac s {\nurl http:///hook\n}", "4", `hmac: url: "http:///hook" ` + noHost},
		{"hmac s {\nurl https://:443/hook\n}", "4", `hmac: url: "https://:443/hook" ` + noHost},
		{"hmac s {\nurl full\nurl path\n}", "5", `option "url" is there twice: ` + keepOne},
		{"hmac s {\nurl full {\n}\n}", "5", "url " + bracesAfter},
		{"hmac s {\nbody\n}", "4", "hmac: body needs a value"},
		{"hmac s {\nbody json\n}", "4", `hmac: body: unknown body form "json": ` + bodyForms},
		{"hmac s {\nbody \"\"\n}", "4", `hmac: body: unknown body form "": ` + bodyForms},
		{"hmac s {\nbody go raw_numbers\n}", "4", `hmac: body: body form "go" stands alone`},
		{"hmac s {\nbody raw_numbers raw\n}", "4", `hmac: body: body form "raw" stands alone`},
		{"hmac s {\nbody long_escapes auto\n}", "4", `hmac: body: body form "auto" stands alone`},
		{"hmac s {\nbody raw_numbers raw_numbers\n}", "4", `hmac: body: body variant "raw_numbers" is there twice`},
		{"hmac s {\nbody go\nbody raw\n}", "5", `option "body" is there twice: ` + keepOne},
		{"hmac s {\nbody go {\n}\n}", "5", "body " + bracesAfter},

		{"basic", "3", basicArgs},
		{"basic klink", "3", basicArgs},
		{"basic klink p q", "3", basicArgs},
		{`basic klink ""`, "3", basicEmpty},
		{`basic "" p`, "3", basicEmpty},
		{"basic a:b p", "3", "basic: a user cannot hold a colon"},
		{"basic klink $2a$10$short", "3", `basic: the password of "klink" begins like a bcrypt hash and is none`},
		{"basic klink p\nbasic other p\nbasic klink q", "5", `basic: user "klink" is there twice`},
		{"basic klink p {\n}", "4", "basic " + bracesAfter},
		{"basic klink p {\nbasic other q\n}", "4", "basic " + bracesAfter},

		{"header", "3", headerArgs},
		{"header X-Token", "3", headerArgs},
		{`header X-Token ""`, "3", "header: a value is empty: write a placeholder such as {env.KLINK_SECRET}"},
		{`header X-Token v ""`, "3", "header: a value is empty: write a placeholder such as {env.KLINK_SECRET}"},
		{`header "" v`, "3", `header: "" is no header name`},
		{"header X-Token: v", "3", `header: "X-Token:" is no header name`},
		{"header Host hooks.example.com", "3", "header: Host " + usedUp},
		{"header Trailer v", "3", "header: Trailer " + usedUp},
		{"header connection v", "3", "header: Connection is for one connection only: whatever stands in front replaces it" + nameOther},
		{"header Content-Length 2", "3", "header: Content-Length says what the request is or which way it came, and nobody keeps it secret" + nameOther},
		{`header X-Token v " w"`, "3", "header X-Token: value 2 " + headerSpace},
		{`header X-Token "v "`, "3", "header X-Token: value 1 " + headerSpace},
		{"header X-Token v\nheader X-Other v\nheader x-token w", "5", "header: x-token is there twice: put its values on one line"},
		{"header X-Token v {\n}", "4", "header " + bracesAfter},

		{"public_url", "3", "public_url takes one URL, such as https://hooks.example.com"},
		{"public_url https://a https://b", "3", "public_url takes one URL, such as https://hooks.example.com"},
		{`public_url ""`, "3", publicURL},
		{"public_url hooks.example.com", "3", publicURL},
		{"public_url //hooks.example.com", "3", publicURL},
		{"public_url /hook", "3", publicURL},
		{"public_url ftp://hooks.example.com", "3", publicURL},
		{"public_url https://", "3", publicURL},
		{"public_url https://:443", "3", publicURL},
		{"public_url https://hooks.example.com/", "3", publicURL},
		{"public_url https://hooks.example.com/hook", "3", publicURL},
		{"public_url https://hooks.example.com?a=1", "3", publicURL},
		{"public_url https://user:pass@hooks.example.com", "3", publicURL},
		{"public_url https://hooks.example.com:", "3", publicURL},
		{"public_url https://hooks.example.com:0", "3", publicURL},
		{"public_url https://hooks.example.com:65536", "3", publicURL},
		{"public_url https://hooks.example.com:https", "3", publicURL},
		{"public_url https://a\npublic_url https://b", "4", `option "public_url" is there twice: ` + keepOne},
		{"public_url https://a {\n}", "4", "public_url " + bracesAfter},

		{"max_body", "3", "max_body takes one size, such as 1MiB"},
		{"max_body 1 MiB", "3", "max_body takes one size, such as 1MiB"},
		{"max_body 0", "3", maxBody},
		{"max_body 0MiB", "3", maxBody},
		{"max_body 0.5", "3", maxBody},
		{"max_body 513MiB", "3", maxBody},
		{"max_body 536870913", "3", maxBody},
		{"max_body 16EiB", "3", `max_body: "16EiB" ` + size},
		{"max_body 18446744073709551615", "3", maxBody},
		{"max_body -1", "3", `max_body: "-1" ` + size},
		{"max_body large", "3", `max_body: "large" ` + size},
		{"max_body 1MiBs", "3", `max_body: "1MiBs" ` + size},
		{"max_body 1,5MiB", "3", `max_body: "1,5MiB" ` + size},
		{`max_body ""`, "3", `max_body: "" ` + size},
		{"max_body 1MiB\nmax_body 2MiB", "4", `option "max_body" is there twice: ` + keepOne},
		{"max_body 1MiB {\n}", "4", "max_body " + bracesAfter},

		{"keep_status on", "3", `keep_status takes no value: leave out "on"`},
		{"keep_status\nkeep_status", "4", `option "keep_status" is there twice: ` + keepOne}, //nolint:dupword // on purpose
		{"keep_status {\n}", "4", "keep_status " + bracesAfter},
		{"keep_status {\nhmac s\n}", "4", "keep_status " + bracesAfter},
		{"strip_credentials off", "3", `strip_credentials takes no value: leave out "off"`},
		{"strip_credentials\nstrip_credentials", "4", `option "strip_credentials" is there twice: ` + keepOne}, //nolint:dupword // on purpose
		{"strip_credentials {\n}", "4", "strip_credentials " + bracesAfter},

		{"name", "3", name},
		{"name a b", "3", name},
		{`name ""`, "3", name},
		{"name a/b", "3", name},
		{"name {env.NAME}", "3", name},
		{"name Bestellungen-für", "3", name},
		{"name " + strings.Repeat("a", 65), "3", name},
		{"name a\nname b", "4", `option "name" is there twice: ` + keepOne},
		{"name a {\n}", "4", "name " + bracesAfter},

		{"mode", "3", mode},
		{`mode ""`, "3", mode},
		{"mode observe enforce", "3", mode},
		{"mode Observe", "3", `mode: "Observe" is unknown: write enforce or observe`},
		{"mode off", "3", `mode: "off" is unknown: write enforce or observe`},
		{"mode observe\nmode enforce", "4", `option "mode" is there twice: ` + keepOne},
		{"mode observe {\n}", "4", "mode " + bracesAfter},

		{"error_budget", "3", "error_budget takes a block with limit and window"},
		{"error_budget {\n}", "4", "error_budget takes a block with limit and window"},
		{"error_budget 50", "3", "error_budget takes a block with limit and window"},
		{"error_budget {\nlimits 50\n}", "4", `unknown option "limits" in error_budget: ` + budgetOptions},
		{"error_budget {\nperiod\n}", "4", `unknown option "period" in error_budget: ` + budgetOptions},
		{"error_budget {\nlimit\n}", "4", "error_budget: limit takes one value"},
		{"error_budget {\nlimit 5 6\n}", "4", "error_budget: limit takes one value"},
		{"error_budget {\nlimit 0\n}", "4", limit},
		{"error_budget {\nlimit -1\n}", "4", limit},
		{"error_budget {\nlimit 10001\n}", "4", limit},
		{"error_budget {\nlimit 5.5\n}", "4", limit},
		{"error_budget {\nlimit 5\nlimit 6\n}", "5", `option "limit" is there twice: ` + keepOne},
		{"error_budget {\nlimit 5 {\n}\n}", "5", "limit " + bracesAfter},
		{"error_budget {\nwindow\n}", "4", "error_budget: window takes one value"},
		{"error_budget {\nwindow 0s\n}", "4", window},
		{"error_budget {\nwindow -1h\n}", "4", window},
		{"error_budget {\nwindow 60\n}", "4", window},
		{"error_budget {\nwindow hour\n}", "4", window},
		{"error_budget {\nwindow 1h\nwindow 2h\n}", "5", `option "window" is there twice: ` + keepOne},
		{"error_budget {\nwindow 1h {\n}\n}", "5", "window " + bracesAfter},
		{"error_budget {\nlimit 5\n}\nerror_budget {\nlimit 6\n}", "6", `option "error_budget" is there twice: ` + keepOne},
	}
	for _, test := range tests {
		t.Run(test.block, func(t *testing.T) {
			t.Parallel()
			checkBadCaddyfile(t, inSite(test.block), test.want+", at Caddyfile:"+test.line)
		})
	}
}

// What stands beside the directive itself.
func TestBadDirectives(t *testing.T) {
	t.Parallel()
	const takesBlock = ": write klink_webhook [<matcher>] { ... }, at Caddyfile:2"
	tests := []struct{ directive, want string }{
		{"klink_webhook", "klink_webhook has no credential: add hmac, basic or header, at Caddyfile:2"},
		{"klink_webhook /hook", "klink_webhook has no credential: add hmac, basic or header, at Caddyfile:2"},
		{"klink_webhook hmac s", `klink_webhook takes a block and no "hmac"` + takesBlock},
		{"klink_webhook /hook on {\nhmac s\n}", `klink_webhook takes a block and no "on"` + takesBlock},
	}
	for _, test := range tests {
		t.Run(test.directive, func(t *testing.T) {
			t.Parallel()
			checkBadCaddyfile(t, "http:// {\n"+test.directive+"\n}", test.want)
		})
	}
}

// TestNamesAreOneEach: state is kept by name, so two endpoints would share it.
func TestNamesAreOneEach(t *testing.T) {
	t.Parallel()
	endpoint := func(options string) string { return "klink_webhook {\nhmac s\n" + options + "\n}\n" }
	const remedy = ": give each a name of its own with the option name, at Caddyfile:"
	tests := []struct{ caddyfile, want string }{
		{"http:// {\n" + endpoint("name a") + endpoint("name a") + "}", "two endpoints have the name a" + remedy + "9"},
		{"http://a {\n" + endpoint("name a") + "}\nhttp://b {\n" + endpoint("name a") + "}", "two endpoints have the name a" + remedy + "11"},
		{"http:// {\n" + endpoint("name endpoint2") + endpoint("") + "}", "two endpoints have the name endpoint2" + remedy + "9"},
		{"http:// {\n" + endpoint("") + endpoint("name endpoint1") + "}", "two endpoints have the name endpoint1" + remedy + "9"},
		{"(both) {\n" + endpoint("name a") + "}\nhttp:// {\nimport both\nimport both\n}", "two endpoints have the name a" + remedy + "5 import chain ['Caddyfile:9 (import both)']"},
		{"&(shared) {\n" + endpoint("") + "}\nhttp:// {\ninvoke shared\n}", "klink_webhook in a named route has no number: give it a name with the option name, at Caddyfile:5, at Caddyfile:6"},
	}
	for _, test := range tests {
		checkBadCaddyfile(t, test.caddyfile, test.want)
	}
}

func checkBadCaddyfile(t *testing.T, text, want string) {
	t.Helper()
	want = "parsing caddyfile tokens for 'klink_webhook': " + want
	_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
	if err == nil {
		t.Fatalf("it adapts; want the error %s", want)
	}
	if err.Error() != want {
		t.Errorf("the error is\n%s\nwant\n%s", err, want)
	}
}
