package klink_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

var update = flag.Bool("update", false, "write the JSON of testdata/caddyfile anew")

// TestGoldenConfigs holds each Caddyfile against the JSON below its line of
// dashes, and loads it.
func TestGoldenConfigs(t *testing.T) {
	files, err := filepath.Glob("testdata/caddyfile/*.caddyfiletest")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	t.Setenv("KLINK_TEST_SECRET", "secret")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		caddyfile, want, _ := strings.Cut(string(text), "\n----------\n")
		config := adapt(t, caddyfile)
		var got bytes.Buffer
		if err := json.Indent(&got, config, "", "\t"); err != nil {
			t.Fatal(err)
		}
		if *update {
			writeFile(t, file, strings.TrimSpace(caddyfile)+"\n----------\n"+got.String()+"\n")
		} else if got.String() != strings.TrimSpace(want) {
			t.Errorf("%s gives\n%s", file, got.String())
		}
		if _, err := provision(config); err != nil {
			t.Errorf("%s does not load: %v", file, err)
		}
	}
}

// bad is a block of options and what is wrong with it.
type bad struct{ block, want string }

const (
	writeAPlaceholder = "write a placeholder such as {env.KLINK_SECRET}"
	writeAnOrigin     = "public_url: write scheme://host or scheme://host:port with http or https, without a path, such as https://hooks.example.com"
	sizeLimits        = "max_body: the size must be above 0 and at most 512MiB"
	noSuchAddress     = "is neither klink, any, private_ranges, an IP address nor a CIDR prefix such as 192.0.2.0/24"
	urlForms          = "write auto, full, full_query, path, path_query, host_path, or the URL that is typed in K-LINK, beginning with https:// or http://"
	oneLine           = "is there twice: put its values on one line"
)

// badBlocks stand in lines 3 and following of the Caddyfile.
var badBlocks = []bad{
	{"", `klink_webhook has no credential: add hmac, basic or header, at Caddyfile:4`},
	{"max_body 1MB\nkeep_status", `klink_webhook has no credential: add hmac, basic or header, at Caddyfile:5`},
	{"hamc s", `unknown option "hamc": there are allow, hmac, basic, header, public_url, max_body, keep_status and strip_credentials, at Caddyfile:3`},
	{"keep_status\nsecret s", `unknown option "secret": there are allow, hmac, basic, header, public_url, max_body, keep_status and strip_credentials, at Caddyfile:4`},

	{"hmac", `hmac has no secret: add "secret {env.KLINK_SECRET}" to hmac, at Caddyfile:3`},
	{"hmac {\n}", `hmac has no secret: add "secret {env.KLINK_SECRET}" to hmac, at Caddyfile:4`},
	{"hmac {\nurl path\n}", `hmac has no secret: add "secret {env.KLINK_SECRET}" to hmac, at Caddyfile:5`},
	{`hmac ""`, `hmac: a secret is empty: ` + writeAPlaceholder + `, at Caddyfile:3`},
	{`hmac good ""`, `hmac: a secret is empty: ` + writeAPlaceholder + `, at Caddyfile:3`},
	{"hmac {\nsecret\n}", `hmac: secret needs a value, at Caddyfile:4`},
	{"hmac {\nsecret good \"\"\n}", `hmac: a secret is empty: ` + writeAPlaceholder + `, at Caddyfile:5`},
	{"hmac a\nhmac b", `option "hmac" ` + oneLine + `, at Caddyfile:4`},
	{"hmac s {\nsecrets a\n}", `unknown option "secrets" in hmac: there are secret, header, url and body, at Caddyfile:4`},
	{"hmac s {\nsecret a {\nx\n}\n}", `secret takes no block: leave out { ... }, at Caddyfile:5`},
	{"hmac s {\nheader\n}", `hmac: header needs a value, at Caddyfile:4`},
	{"hmac s {\nheader X-A \"X B\"\n}", `hmac: header: "X B" is no header name, at Caddyfile:4`},
	{"hmac s {\nheader \"\"\n}", `hmac: header: "" is no header name, at Caddyfile:4`},
	{"hmac s {\nheader X-A\nheader X-B\n}", `option "header" ` + oneLine + `, at Caddyfile:5`},
	{"hmac s {\nurl\n}", `hmac: url needs a value, at Caddyfile:4`},
	{"hmac s {\nurl full path\n}", `hmac: url takes one form, at Caddyfile:4`},
	{"hmac s {\nurl fulll\n}", `hmac: url: unknown URL form "fulll": ` + urlForms + `, at Caddyfile:4`},
	{"hmac s {\nurl hooks.example.com/x\n}", `hmac: url: unknown URL form "hooks.example.com/x": ` + urlForms + `, at Caddyfile:4`},
	{"hmac s {\nurl full\nurl path\n}", `option "url" ` + oneLine + `, at Caddyfile:5`},
	{"hmac s {\nbody\n}", `hmac: body needs a value, at Caddyfile:4`},
	{"hmac s {\nbody json\n}", `hmac: body: unknown body form "json": write auto, go, raw, or any of no_html_escape, raw_numbers, long_escapes, at Caddyfile:4`},
	{"hmac s {\nbody go raw_numbers\n}", `hmac: body: body form "go" stands alone, at Caddyfile:4`},
	{"hmac s {\nbody raw_numbers raw\n}", `hmac: body: body form "raw" stands alone, at Caddyfile:4`},
	{"hmac s {\nbody auto long_escapes\n}", `hmac: body: body form "auto" stands alone, at Caddyfile:4`},
	{"hmac s {\nbody raw_numbers raw_numbers\n}", `hmac: body: body variant "raw_numbers" is there twice, at Caddyfile:4`},

	{"basic", `basic takes a user and a password: basic klink {env.KLINK_PASSWORD}, at Caddyfile:3`},
	{"basic alice", `basic takes a user and a password: basic klink {env.KLINK_PASSWORD}, at Caddyfile:3`},
	{"basic alice hush more", `basic takes a user and a password: basic klink {env.KLINK_PASSWORD}, at Caddyfile:3`},
	{`basic alice ""`, `basic: a user or password is empty: ` + writeAPlaceholder + `, at Caddyfile:3`},
	{`basic "" hush`, `basic: a user or password is empty: ` + writeAPlaceholder + `, at Caddyfile:3`},
	{"basic alice hush\nbasic alice hush2", `basic: user "alice" is there twice, at Caddyfile:4`},
	{"basic alice hush {\nx\n}", `basic takes no block: leave out { ... }, at Caddyfile:4`},

	{"header", `header takes a name and a value: header X-Webhook-Token {env.KLINK_TOKEN}, at Caddyfile:3`},
	{"header X-Token", `header takes a name and a value: header X-Webhook-Token {env.KLINK_TOKEN}, at Caddyfile:3`},
	{`header X-Token hush ""`, `header: a name or value is empty: ` + writeAPlaceholder + `, at Caddyfile:3`},
	{`header "X Token" hush`, `header: "X Token" is no header name, at Caddyfile:3`},
	{"header X-Token hush\nheader x-token hush2", `header: x-token ` + oneLine + `, at Caddyfile:4`},
	{"header X-Token hush {\nx\n}", `header takes no block: leave out { ... }, at Caddyfile:4`},

	{"allow", `allow: no address: name at least one of klink, any, private_ranges, an address or a CIDR prefix, at Caddyfile:3`},
	{"allow klinks", `allow: "klinks" ` + noSuchAddress + `, at Caddyfile:3`},
	{"allow 192.0.2.0/33", `allow: "192.0.2.0/33" ` + noSuchAddress + `, at Caddyfile:3`},
	{"allow 192.0.2.1/24", `allow: "192.0.2.1/24" has bits set beyond its length: write 192.0.2.0/24, or the single address without a length, at Caddyfile:3`},
	{"allow klink 0.0.0.0/0", `allow: "0.0.0.0/0" lets every address in: write any if that is meant, at Caddyfile:3`},
	{"allow klink\nallow any", `option "allow" ` + oneLine + `, at Caddyfile:4`},
	{"allow klink {\nx\n}", `allow takes no block: leave out { ... }, at Caddyfile:4`},

	{"public_url", `public_url takes one URL, such as https://hooks.example.com, at Caddyfile:3`},
	{"public_url https://a.example https://b.example", `public_url takes one URL, such as https://hooks.example.com, at Caddyfile:3`},
	{"public_url hooks.example.com", writeAnOrigin + `, at Caddyfile:3`},
	{"public_url /hook", writeAnOrigin + `, at Caddyfile:3`},
	{"public_url //a.example", writeAnOrigin + `, at Caddyfile:3`},
	{"public_url https://", writeAnOrigin + `, at Caddyfile:3`},
	{"public_url https://a.example/", writeAnOrigin + `, at Caddyfile:3`},
	{"public_url https://a.example/hook", writeAnOrigin + `, at Caddyfile:3`},
	{"public_url https://a.example?x", writeAnOrigin + `, at Caddyfile:3`},
	{"public_url https://u:p@a.example", writeAnOrigin + `, at Caddyfile:3`},
	{"public_url https://a.example:", writeAnOrigin + `, at Caddyfile:3`},
	{"public_url https://ä.example", writeAnOrigin + `, at Caddyfile:3`},
	{"public_url https://[::1", writeAnOrigin + `, at Caddyfile:3`},
	{"public_url https://[fe80::1%25eth0]", writeAnOrigin + `, at Caddyfile:3`},
	{"public_url ftp://a.example", writeAnOrigin + `, at Caddyfile:3`},
	{"public_url https://a.example:65536", `public_url: the port must be at most 65535, at Caddyfile:3`},
	{"public_url https://a.example\npublic_url https://a.example", `option "public_url" ` + oneLine + `, at Caddyfile:4`},
	{"public_url https://a.example {\nx\n}", `public_url takes no block: leave out { ... }, at Caddyfile:4`},

	{"max_body", `max_body takes one size, such as 1MiB, at Caddyfile:3`},
	{"max_body 1MB 2MB", `max_body takes one size, such as 1MiB, at Caddyfile:3`},
	{"max_body 0", sizeLimits + `, at Caddyfile:3`},
	{"max_body 0MB", sizeLimits + `, at Caddyfile:3`},
	{"max_body 0.4", sizeLimits + `, at Caddyfile:3`},
	{"max_body 513MiB", sizeLimits + `, at Caddyfile:3`},
	{"max_body -1", `max_body: "-1" is no size: write a number of bytes or a size such as 512KiB or 1MiB, at Caddyfile:3`},
	{"max_body lots", `max_body: "lots" is no size: write a number of bytes or a size such as 512KiB or 1MiB, at Caddyfile:3`},
	{"max_body NaN", `max_body: "NaN" is no size: write a number of bytes or a size such as 512KiB or 1MiB, at Caddyfile:3`},
	{"max_body 99999999999999999999", `max_body: "99999999999999999999" is no size: write a number of bytes or a size such as 512KiB or 1MiB, at Caddyfile:3`},
	{"max_body 1MB\nmax_body 1MB", `option "max_body" ` + oneLine + `, at Caddyfile:4`},
	{"max_body 1MB {\nx\n}", `max_body takes no block: leave out { ... }, at Caddyfile:4`},

	{"keep_status yes", `keep_status takes no value: leave out "yes", at Caddyfile:3`},
	{"keep_status\nkeep_status", `option "keep_status" ` + oneLine + `, at Caddyfile:4`},
	{"keep_status {\nx\n}", `keep_status takes no block: leave out { ... }, at Caddyfile:4`},
	{"strip_credentials off", `strip_credentials takes no value: leave out "off", at Caddyfile:3`},
	{"strip_credentials\nstrip_credentials", `option "strip_credentials" ` + oneLine + `, at Caddyfile:4`},
}

// TestBadCaddyfiles: each error names the option, the line and what to do.
func TestBadCaddyfiles(t *testing.T) {
	adaptError := func(caddyfile string) string {
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(caddyfile), map[string]any{"filename": "Caddyfile"})
		if err == nil {
			return "none"
		}
		return strings.TrimPrefix(err.Error(), "parsing caddyfile tokens for 'klink_webhook': ")
	}
	for _, tt := range badBlocks {
		got := adaptError("http:// {\nklink_webhook {\n" + tt.block + "\n}\n}")
		if got != tt.want || strings.Contains(got, "hush") {
			t.Errorf("%q: error\n%s, want\n%s", tt.block, got, tt.want)
		}
	}
	for arguments, want := range map[string]string{
		"hush":       `klink_webhook takes a block`,
		"/hook hush": `klink_webhook takes a block`,
	} {
		if got := adaptError("http:// {\nklink_webhook " + arguments + "\n}"); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, ", at Caddyfile:2") {
			t.Errorf("klink_webhook %s: error %s", arguments, got)
		}
	}
}

// TestBadConfigs: what only shows when the config loads, from a Caddyfile or from
// JSON. No error shows a secret.
func TestBadConfigs(t *testing.T) {
	empty := filepath.Join(shortTempDir(t), "empty")
	writeFile(t, empty, "\n")
	t.Setenv("KLINK_TEST_EMPTY", "")
	t.Setenv("KLINK_TEST_SECRET", "hush")
	for _, tt := range []struct{ handler, want string }{
		{`{}`, `no credential: add hmac, basic or header`},
		{`{"hmac": {}}`, `hmac: no secret: add "secret {env.KLINK_SECRET}" to hmac`},
		{`{"hmac": {"secrets": []}}`, `hmac: no secret: add "secret {env.KLINK_SECRET}" to hmac`},
		{`{"hmac": {"secrets": ["hush", ""]}}`, `hmac: secret 2: it is empty: write a placeholder such as {env.KLINK_SECRET} or {file./run/secrets/klink}`},
		{`{"hmac": {"secrets": ["{env.KLINK_TEST_UNSET}"]}}`, `hmac: secret 1: {env.KLINK_TEST_UNSET} is unset or empty: set it before Caddy starts`},
		{`{"hmac": {"secrets": ["{env.KLINK_TEST_EMPTY}"]}}`, `hmac: secret 1: {env.KLINK_TEST_EMPTY} is unset or empty: set it before Caddy starts`},
		{`{"hmac": {"secrets": ["{file.` + empty + `}"]}}`, `hmac: secret 1: {file.` + empty + `} is unset or empty: set it before Caddy starts`},
		{`{"hmac": {"secrets": ["{file.` + empty + `.none}"]}}`, `hmac: secret 1: {file.` + empty + `.none} is unset or empty: set it before Caddy starts`},
		{`{"hmac": {"secrets": ["hush{env.KLINK_TEST_UNSET}"]}}`, `hmac: secret 1: it holds a placeholder that is unknown, unset or empty: write \{ for a brace that is meant`},
		{`{"hmac": {"secrets": ["hush{hush}"]}}`, `hmac: secret 1: it holds a placeholder that is unknown, unset or empty: write \{ for a brace that is meant`},
		{`{"hmac": {"secrets": ["{hush}"]}}`, `hmac: secret 1: it holds a placeholder that is unknown, unset or empty: write \{ for a brace that is meant`},
		{`{"hmac": {"secrets": ["hush"], "headers": ["X Sig"]}}`, `hmac: header: "X Sig" is no header name`},
		{`{"hmac": {"secrets": ["hush"], "url": "query"}}`, `hmac: url: unknown URL form "query": ` + urlForms},
		{`{"hmac": {"secrets": ["hush"], "body": ["go", "raw_numbers"]}}`, `hmac: body: body form "go" stands alone`},
		{`{"basic": [{"user": "alice"}]}`, `basic: password 1: it is empty: write a placeholder such as {env.KLINK_SECRET} or {file./run/secrets/klink}`},
		{`{"basic": [{"user": "alice", "password": "hush"}, {"password": "hush"}]}`, `basic: user 2: it is empty: write a placeholder such as {env.KLINK_SECRET} or {file./run/secrets/klink}`},
		{`{"basic": [{"user": "a:b", "password": "hush"}]}`, `basic: a user cannot hold a colon`},
		{`{"basic": [{"user": "a", "password": "hush"}, {"user": "a", "password": "hush"}]}`, `basic: user "a" is there twice`},
		{`{"basic": [{"user": "a", "password": "$2a$hush"}]}`, `basic: the password of "a" begins like a bcrypt hash and is none`},
		{`{"basic": [{"user": "a", "password": "{env.KLINK_TEST_UNSET}"}]}`, `basic: password 1: {env.KLINK_TEST_UNSET} is unset or empty: set it before Caddy starts`},
		{`{"headers": [{"name": "X-Key"}]}`, `header X-Key: no value: add the one that is typed in K-LINK`},
		{`{"headers": [{"values": ["hush"]}]}`, `header: "" is no header name`},
		{`{"headers": [{"name": "X-Key", "values": ["hush", ""]}]}`, `header X-Key: value 2: it is empty: write a placeholder such as {env.KLINK_SECRET} or {file./run/secrets/klink}`},
		{`{"headers": [{"name": "X-Key", "values": [" {env.KLINK_TEST_SECRET}"]}]}`, `header X-Key: value 1 begins or ends with space, which HTTP does not carry`},
		{`{"headers": [{"name": "X-Key", "values": ["hush"]}, {"name": "x-key", "values": ["hush"]}]}`, `header: x-key ` + oneLine},
		{`{"allow": ["192.0.2.1/24"], "hmac": {"secrets": ["hush"]}}`, `allow: "192.0.2.1/24" has bits set beyond its length: write 192.0.2.0/24, or the single address without a length`},
		{`{"allow": [""], "hmac": {"secrets": ["hush"]}}`, `allow: "" ` + noSuchAddress},
		{`{"public_url": "hooks.example.com", "hmac": {"secrets": ["hush"]}}`, writeAnOrigin},
		{`{"public_url": "https://hooks.example.com/", "hmac": {"secrets": ["hush"]}}`, writeAnOrigin},
		{`{"max_body": -1, "hmac": {"secrets": ["hush"]}}`, sizeLimits},
		{`{"max_body": 536870913, "hmac": {"secrets": ["hush"]}}`, sizeLimits},
		{`{"hmac": {"secret": ["hush"]}}`, `json: unknown field "secret"`},
		{`{"hmcs": {}}`, `json: unknown field "hmcs"`},
		{`{"max_body": "1MB"}`, `cannot unmarshal string into Go struct field Webhook.max_body`},
	} {
		handler := `{"handler": "klink_webhook", ` + strings.TrimPrefix(tt.handler, "{")
		handler = strings.Replace(handler, `", }`, `"}`, 1)
		_, err := provision([]byte(`{"admin": {"disabled": true}, "apps": {"http": {"servers": {"s": {"listen": ["127.0.0.1:0"], "routes": [{"handle": [` + handler + `]}]}}}}}`))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(strings.ReplaceAll(err.Error(), "KLINK", ""), "hush") {
			t.Errorf("%s: error\n%v, want\n%s", tt.handler, err, tt.want)
		}
		if ours := !strings.HasPrefix(tt.want, "json") && !strings.HasPrefix(tt.want, "cannot"); err != nil && ours && !strings.HasSuffix(err.Error(), "klink_webhook: "+tt.want) {
			t.Errorf("%s: error\n%v does not end with klink_webhook: ...", tt.handler, err)
		}
	}
}
