package klink_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/caddyserver/caddy/v2"

	klink "github.com/klinkgate/caddy-klink"
)

// unmarshalWebhook reads the handler's JSON as Caddy does.
func unmarshalWebhook(config []byte) (*klink.Webhook, error) {
	w := new(klink.Webhook)
	return w, caddy.StrictUnmarshalJSON(config, w)
}

// load provisions one handler from its JSON, as Caddy does, and cleans up after
// it when that fails. Release ends it.
func load(t testing.TB, config string) (release func(), err error) {
	t.Helper()
	provisioning.Lock()
	defer provisioning.Unlock()
	base, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(base)
	t.Cleanup(cancel)
	_, err = ctx.LoadModuleByID("http.handlers.klink_webhook", []byte(config))
	return cancel, err
}

// endpointKnown says whether the state of an endpoint is held.
func endpointKnown(t testing.TB, name string) bool {
	t.Helper()
	info, err := caddy.GetModule("admin.api.klink")
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/klink/endpoints/"+name, nil)
	return info.New().(caddy.AdminRouter).Routes()[1].Handler.ServeHTTP(httptest.NewRecorder(), r) == nil
}

// TestBadConfigs provisions handlers that must not load. The messages are whole,
// so that none shows a secret. A failed Provision is followed by Cleanup, which
// must hold nothing back.
func TestBadConfigs(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	empty, line, long := write("empty", ""), write("line", "\r\n"), write("long", strings.Repeat("a", 64<<10+1))
	good := write("good", "a secret\n")
	missing, fifo := filepath.Join(dir, "missing"), filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KLINK_TEST_EMPTY", "")
	t.Setenv("KLINK_TEST_SPACE", " value")
	t.Setenv("KLINK_TEST_COLON", "a:b")
	t.Setenv("KLINK_TEST_HASH", "$2a$10$short")
	t.Setenv("KLINK_TEST_USER", "klink")

	const (
		noCredential = "no credential: add hmac, basic or header"
		noSecret     = `hmac: no secret: add "secret {env.KLINK_SECRET}" to hmac`
		unset        = " is unset or empty: set it before Caddy starts"
		emptyValue   = "it is empty: write a placeholder such as {env.KLINK_SECRET} or {file./run/secrets/klink}"
		// The rest of the value may be the secret, so it is not shown.
		badPlaceholder  = `it holds a placeholder that is unknown, unset or empty: write \{ for a brace that is meant`
		addresses       = "is neither klink, any, private_ranges, an IP address nor a CIDR prefix such as 192.0.2.0/24"
		publicURL       = "public_url: write scheme://host or scheme://host:port with http or https, without a path, such as https://hooks.example.com"
		maxBody         = "max_body: the size must be above 0 and at most 512MiB"
		readable        = ": name a file that the user that Caddy runs as can read"
		irregular       = ": it is a directory, a pipe or a device: name a regular file"
		pathPlaceholder = ` holds a placeholder that is unknown, unset or empty: set it before Caddy starts, and write \{ for a brace that is meant`
		usedUp          = "is used up by HTTP itself and never arrives: name the header that is typed in K-LINK or holds the signature, such as X-Signature"
		name            = "name: write 1 to 64 letters, digits, dots, dashes or underscores"
		limit           = "error_budget: limit must be a number between 1 and 10000"
		window          = "error_budget: window must be a duration above 0, such as 1h"
		hmac            = `"hmac": {"secrets": ["s"]}`
	)
	tests := []struct{ config, want string }{
		{`{}`, noCredential},
		{`{"basic": [], "headers": []}`, noCredential},
		{`{"allow": ["any"], "hmac": {}}`, noSecret},
		{`{"hmac": {"secrets": []}}`, noSecret},

		{`{"hmac": {"secrets": [""]}}`, "hmac: secret 1: " + emptyValue},
		{`{"hmac": {"secrets": ["s", ""]}}`, "hmac: secret 2: " + emptyValue},
		{`{"hmac": {"secrets": ["{env.KLINK_TEST_UNSET}"]}}`, "hmac: secret 1: {env.KLINK_TEST_UNSET}" + unset},
		{`{"hmac": {"secrets": ["s", "{env.KLINK_TEST_EMPTY}"]}}`, "hmac: secret 2: {env.KLINK_TEST_EMPTY}" + unset},
		{`{"hmac": {"secrets": ["new={env.KLINK_TEST_UNSET}"]}}`, "hmac: secret 1: {env.KLINK_TEST_UNSET}" + unset},
		{`{"hmac": {"secrets": ["{file.` + missing + `}"]}}`, "hmac: secret 1: {file." + missing + "}" + unset},
		{`{"hmac": {"secrets": ["{file.` + empty + `}"]}}`, "hmac: secret 1: {file." + empty + "}" + unset},
		{`{"hmac": {"secrets": ["{file.` + line + `}"]}}`, "hmac: secret 1: {file." + line + "}" + unset},
		{`{"hmac": {"secrets": ["my{secret}"]}}`, "hmac: secret 1: " + badPlaceholder},
		{`{"hmac": {"secrets": ["{secret}"]}}`, "hmac: secret 1: " + badPlaceholder},
		{`{"hmac": {"secrets": ["{env.KLINK_TEST_UNSET}secret"]}}`, "hmac: secret 1: " + badPlaceholder},
		{`{"hmac": {"secrets": ["secret{env.KLINK_TEST_EMPTY}"]}}`, "hmac: secret 1: " + badPlaceholder},
		{`{"hmac": {"secrets": ["{http.request.header.X-Secret}"]}}`, "hmac: secret 1: " + badPlaceholder},
		{`{"hmac": {"secrets": ["a={env.KLINK_TEST_USER}", "a={env.KLINK_TEST_USER}"]}}`, "hmac: two secrets have the name a: give them names of their own"},
		{`{"hmac": {"secrets": ["s", "1={env.KLINK_TEST_USER}"]}}`, "hmac: two secrets have the name 1: give them names of their own"},
		{`{"hmac": {"secrets": ["a={env.KLINK_TEST_USER}"], "secret_files": ["a=` + good + `"]}}`, "hmac: two secrets have the name a: give them names of their own"},
		{`{"hmac": {"secret_files": ["` + missing + `"]}}`, "hmac: secret_file: " + missing + ": no such file or directory" + readable},
		{`{"hmac": {"secret_files": ["` + dir + `"]}}`, "hmac: secret_file: " + dir + irregular},
		{`{"hmac": {"secret_files": ["` + good + `", "b=` + empty + `"]}}`, "hmac: secret_file: " + empty + ": it is empty: write the secret into it"},
		{`{"hmac": {"secret_files": ["` + line + `"]}}`, "hmac: secret_file: " + line + ": it is empty: write the secret into it"},
		{`{"hmac": {"secret_files": ["` + long + `"]}}`, "hmac: secret_file: " + long + ": it is larger than 65536 bytes: name a file that holds a secret and nothing else"},
		{`{"hmac": {"secret_files": ["/dev/zero"]}}`, "hmac: secret_file: /dev/zero" + irregular},
		{`{"hmac": {"secret_files": ["` + fifo + `"]}}`, "hmac: secret_file: " + fifo + irregular},
		{`{"hmac": {"secret_files": ["{env.KLINK_TEST_UNSET}/klink"]}}`, "hmac: secret_file: {env.KLINK_TEST_UNSET}/klink" + pathPlaceholder},
		{`{"hmac": {"secret_files": ["new={env.KLINK_TEST_EMPTY}"]}}`, "hmac: secret_file: {env.KLINK_TEST_EMPTY}" + pathPlaceholder},
		{`{"hmac": {"secret_files": ["{http.request.host}/klink"]}}`, "hmac: secret_file: {http.request.host}/klink" + pathPlaceholder},
		{`{"hmac": {"secret_files": ["{file.` + good + `}"]}}`, "hmac: secret_file: {file.…} is a file's content: write its path alone"},
		// A secret where its path should be is not shown.
		{`{"hmac": {"secret_files": ["{env.KLINK_TEST_USER}"]}}`, "hmac: secret_file: {env.KLINK_TEST_USER}: no such file or directory" + readable},
		{`{"hmac": {"secrets": ["s"], "headers": ["X Y"]}}`, `hmac: header: "X Y" is no header name`},
		{`{"hmac": {"secrets": ["s"], "headers": ["host"]}}`, "hmac: header: Host " + usedUp},
		{`{"hmac": {"secrets": ["s"], "headers": ["X-A", "X-a"]}}`, "hmac: header: X-a is there twice"},
		{`{"hmac": {"secrets": ["s"], "url": "/hook"}}`, `hmac: url: unknown URL form "/hook": write auto, full, full_query, path, path_query, host_path, or the URL that is typed in K-LINK, beginning with https:// or http://`},
		{`{"hmac": {"secrets": ["s"], "body": ["json"]}}`, `hmac: body: unknown body form "json": write auto, go, raw, or any of no_html_escape, raw_numbers, long_escapes`},
		{`{"hmac": {"secrets": ["s"], "body": ["raw", "long_escapes"]}}`, `hmac: body: body form "raw" stands alone`},

		{`{"basic": [{}]}`, "basic: user 1: " + emptyValue},
		{`{"basic": [{"user": "u"}]}`, "basic: password 1: " + emptyValue},
		{`{"basic": [{"user": "u", "password": "{env.KLINK_TEST_UNSET}"}]}`, "basic: password 1: {env.KLINK_TEST_UNSET}" + unset},
		{`{"basic": [{"user": "u", "password": "my{secret}"}]}`, "basic: password 1: " + badPlaceholder},
		{`{"basic": [{"user": "u", "password": "p"}, {"user": "{env.KLINK_TEST_EMPTY}", "password": "p"}]}`, "basic: user 2: {env.KLINK_TEST_EMPTY}" + unset},
		{`{"basic": [{"user": "klink", "password": "p"}, {"user": "{env.KLINK_TEST_USER}", "password": "q"}]}`, `basic: user "klink" is there twice`},
		{`{"basic": [{"user": "{env.KLINK_TEST_COLON}", "password": "p"}]}`, "basic: a user cannot hold a colon"},
		{`{"basic": [{"user": "u", "password": "{env.KLINK_TEST_HASH}"}]}`, `basic: the password of "u" begins like a bcrypt hash and is none`},

		{`{"headers": [{}]}`, `header: "" is no header name`},
		{`{"headers": [{"name": "X-A"}]}`, "header X-A: no value: add the one that is typed in K-LINK"},
		{`{"headers": [{"name": "X-A", "values": ["v", ""]}]}`, "header X-A: value 2: " + emptyValue},
		{`{"headers": [{"name": "X-A", "values": ["{env.KLINK_TEST_UNSET}"]}]}`, "header X-A: value 1: {env.KLINK_TEST_UNSET}" + unset},
		{`{"headers": [{"name": "X-A", "values": ["my{secret}"]}]}`, "header X-A: value 1: " + badPlaceholder},
		{`{"headers": [{"name": "X-A", "values": ["{env.KLINK_TEST_SPACE}"]}]}`, "header X-A: value 1 begins or ends with space, which HTTP does not carry"},
		{`{"headers": [{"name": "X-A", "values": ["v"]}, {"name": "x-a", "values": ["w"]}]}`, "header: x-a is there twice: put its values on one line"},
		{`{"headers": [{"name": "Transfer-Encoding", "values": ["chunked"]}]}`, "header: Transfer-Encoding " + usedUp},
		{`{"headers": [{"name": "X A", "values": ["v"]}]}`, `header: "X A" is no header name`},

		{`{` + hmac + `, "allow": [""]}`, `allow: "" ` + addresses},
		{`{` + hmac + `, "allow": ["192.0.2.0/33"]}`, `allow: "192.0.2.0/33" ` + addresses},
		{`{` + hmac + `, "allow": ["192.0.2.1/24"]}`, `allow: "192.0.2.1/24" has bits set beyond its length: write 192.0.2.0/24, or the single address without a length`},
		{`{` + hmac + `, "allow": ["0.0.0.0/0"]}`, `allow: "0.0.0.0/0" lets every address in: write any if that is meant`},
		{`{` + hmac + `, "allow": ["fe80::1%eth0"]}`, `allow: "fe80::1%eth0": an address with a zone cannot be matched: leave out "%eth0"`},
		{`{` + hmac + `, "public_url": "hooks.example.com"}`, publicURL},
		{`{` + hmac + `, "public_url": "https://hooks.example.com/hook"}`, publicURL},
		{`{` + hmac + `, "public_url": "https://hooks.example.com:"}`, publicURL},
		{`{` + hmac + `, "max_body": -1}`, maxBody},
		{`{` + hmac + `, "max_body": 536870913}`, maxBody},
		{`{` + hmac + `, "mode": "off"}`, `mode: "off" is unknown: write enforce or observe`},
		{`{` + hmac + `, "error_budget": {"limit": -1}}`, limit},
		{`{` + hmac + `, "error_budget": {"limit": 10001}}`, limit},
		{`{` + hmac + `, "error_budget": {"window": -1}}`, window},
		{`{` + hmac + `, "name": "a/b"}`, name},
		{`{` + hmac + `, "name": "a b"}`, name},
		{`{` + hmac + `, "name": "` + strings.Repeat("a", 65) + `"}`, name},
	}
	for i, test := range tests {
		t.Run(test.config, func(t *testing.T) {
			endpoint := fmt.Sprintf("bad-config-%d", i)
			config := test.config
			switch {
			case config == "{}":
				config = `{"name": "` + endpoint + `"}`
			case !strings.Contains(config, `, "name": "a`): // not the rows about names
				config = strings.Replace(config, "{", `{"name": "`+endpoint+`", `, 1)
			}
			_, err := load(t, config)
			if err == nil {
				t.Fatalf("it loads; want the error %s", test.want)
			}
			if want := "provision http.handlers.klink_webhook: klink_webhook: " + test.want; err.Error() != want {
				t.Errorf("the error is\n%s\nwant\n%s", err, want)
			}
			if endpointKnown(t, endpoint) {
				t.Error("the endpoint is still held")
			}
		})
	}
}

// What Caddy itself refuses, as it reads the JSON strictly.
func TestUnknownFields(t *testing.T) {
	t.Parallel()
	tests := []struct{ config, want string }{
		{`{"hmacs": {}}`, `unknown field "hmacs"`},
		{`{"hmac": {"secret": "s"}}`, `unknown field "secret"`},
		{`{"basic": [{"username": "u"}]}`, `unknown field "username"`},
		{`{"headers": [{"value": "v"}]}`, `unknown field "value"`},
		{`{"error_budget": {"limits": 1}}`, `unknown field "limits"`},
		{`{"max_body": "1MiB"}`, "cannot unmarshal string"},
		{`{"max_body": 1.5}`, "cannot unmarshal number 1.5"},
		{`{"hmac": {"secrets": "s"}}`, "cannot unmarshal string"},
		{`{"error_budget": {"window": "an hour"}}`, "invalid duration"},
	}
	for _, test := range tests {
		t.Run(test.config, func(t *testing.T) {
			t.Parallel()
			if _, err := load(t, test.config); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want one with %s", err, test.want)
			}
		})
	}
}

// What is at the edge of the bad, and good.
func TestGoodConfigs(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte("a secret\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KLINK_TEST_SECRET", "from the environment")
	t.Setenv("KLINK_TEST_DIRECTORY", dir)
	t.Chdir(dir)
	const hmac = `"hmac": {"secrets": ["s"]}`
	tests := []string{
		`{` + hmac + `}`,
		`{"hmac": {"secrets": ["{env.KLINK_TEST_SECRET}", "new={env.KLINK_TEST_SECRET}", "{file.` + secret + `}", "my\\{secret\\}", "a=b"]}}`,
		`{"hmac": {"secret_files": ["` + secret + `", "new=` + secret + `"]}}`,
		`{"hmac": {"secret_files": ["{env.KLINK_TEST_DIRECTORY}/secret", "new={env.KLINK_TEST_DIRECTORY}/secret"]}}`,
		`{"hmac": {"secret_files": ["secret", "old=secret", "./secret"]}}`,
		`{"hmac": {"secrets": ["new={env.KLINK_TEST_SECRET}"], "secret_files": ["` + secret + `"]}}`,
		`{"basic": [{"user": "u", "password": "a:b c\u00e9"}, {"user": "v", "password": "{env.KLINK_TEST_SECRET}"}]}`,
		`{"headers": [{"name": "X-A", "values": ["v w", "{env.KLINK_TEST_SECRET}"]}, {"name": "X-B", "values": ["v"]}]}`,
		`{` + hmac + `, "allow": []}`,
		`{` + hmac + `, "allow": ["any", "::ffff:192.0.2.1", "192.0.2.0/31", "2001:db8::/32"]}`,
		`{` + hmac + `, "max_body": 1}`,
		`{` + hmac + `, "max_body": 536870912}`,
		`{` + hmac + `, "public_url": "https://[2001:db8::1]:65535"}`,
		`{` + hmac + `, "error_budget": {"limit": 10000, "window": "1ns"}}`,
		`{` + hmac + `, "error_budget": {}, "mode": "enforce"}`,
	}
	for i, config := range tests {
		t.Run(config, func(t *testing.T) {
			endpoint := fmt.Sprintf("good-config-%d", i)
			release, err := load(t, strings.Replace(config, "{", `{"name": "`+endpoint+`", `, 1))
			if err != nil {
				t.Fatal(err)
			}
			if !endpointKnown(t, endpoint) {
				t.Error("the endpoint is not held")
			}
			release()
			if endpointKnown(t, endpoint) {
				t.Error("the endpoint is still held after Cleanup")
			}
		})
	}
}

// A reload that fails gives back its own hold of the endpoint and no other.
func TestFailedReloadKeepsTheEndpoint(t *testing.T) {
	t.Parallel()
	const name = "failed-reload"
	const good = `{"name": "` + name + `", "mode": "observe", "hmac": {"secrets": ["s"]}}`
	release, err := load(t, good)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		`{"name": "` + name + `"}`,
		`{"name": "` + name + `", "hmac": {"secrets": ["{env.KLINK_TEST_UNSET}"]}}`,
		`{"name": "` + name + `", "hmac": {"secrets": ["s"]}, "mode": "off"}`,
		`{"name": "` + name + `", "hmac": {"secrets": ["s"]}, "error_budget": {"limit": -1}}`,
	} {
		if _, err := load(t, bad); err == nil {
			t.Errorf("%s loads", bad)
		}
		if !endpointKnown(t, name) {
			t.Fatalf("%s has taken the endpoint with it", bad)
		}
		if mode := statusOf(t, name).Mode; mode != "observe" {
			t.Errorf("%s has set the mode %s", bad, mode)
		}
	}
	releaseNew, err := load(t, good)
	if err != nil {
		t.Fatal(err)
	}
	release()
	if !endpointKnown(t, name) {
		t.Error("the endpoint went with the old config, though the new one has it")
	}
	releaseNew()
	if endpointKnown(t, name) {
		t.Error("the endpoint is still held")
	}
}

// Where one handler of a config fails, the others give back what they took.
func TestFailedConfigReleasesItsEndpoints(t *testing.T) {
	t.Parallel()
	_, err := provision([]byte(`{
		"admin": {"disabled": true},
		"apps": {"http": {"servers": {"srv": {"listen": ["127.0.0.1:0"], "routes": [
			{"handle": [{"handler": "klink_webhook", "name": "failed-config-1", "hmac": {"secrets": ["s"]}}]},
			{"handle": [{"handler": "klink_webhook", "name": "failed-config-2", "hmac": {"secrets": [""]}}]}
		]}}}}
	}`))
	if err == nil {
		t.Fatal("it loads")
	}
	for _, name := range []string{"failed-config-1", "failed-config-2"} {
		if endpointKnown(t, name) {
			t.Errorf("%s is still held", name)
		}
	}
}

// TestOneEndpointForAName: what the name stands for is one endpoint of a
// configuration, be it in several places.
func TestOneEndpointForAName(t *testing.T) {
	t.Parallel()
	const shared = "name: another endpoint of this configuration is called %s too: give each a name of its own"
	for name, tt := range map[string]struct{ first, second, want string }{
		"other secrets":       {`"name": "one-a", "hmac": {"secrets": ["s"]}`, `"name": "one-a", "hmac": {"secrets": ["t"]}`, "one-a"},
		"other mode":          {`"name": "one-b", "hmac": {"secrets": ["s"]}`, `"name": "one-b", "hmac": {"secrets": ["s"]}, "mode": "observe"`, "one-b"},
		"both without":        {`"hmac": {"secrets": ["s"]}`, `"hmac": {"secrets": ["s"]}`, "endpoint"},
		"a name each":         {`"name": "one-c", "hmac": {"secrets": ["s"]}`, `"name": "one-d", "hmac": {"secrets": ["s"]}`, ""},
		"the same altogether": {`"name": "one-e", "hmac": {"secrets": ["s"]}`, `"name": "one-e", "hmac": {"secrets": ["s"]}`, ""},
	} {
		c, err := provision(fmt.Appendf(nil, `{
			"admin": {"disabled": true},
			"apps": {"http": {"servers": {"srv": {"listen": ["127.0.0.1:0"], "routes": [
				{"handle": [{"handler": "klink_webhook", %s}]},
				{"handle": [{"handler": "klink_webhook", %s}]}
			]}}}}
		}`, tt.first, tt.second))
		if err == nil {
			c.release()
		}
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.HasSuffix(err.Error(), fmt.Sprintf(shared, tt.want))) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.HasPrefix(tt.want, "one-") && endpointKnown(t, tt.want) {
			t.Errorf("%s: the endpoint is still held", name)
		}
	}
}

// TestDirectiveInSeveralServers: a site on two ports, and a named route in it, are
// in both of Caddy's servers, and one endpoint each all the same.
func TestDirectiveInSeveralServers(t *testing.T) {
	t.Parallel()
	config := adapt(t, `{
		admin off
		auto_https off
	}
	&(shared) {
		klink_webhook {
			name shared
			hmac s
		}
	}
	http://127.0.0.1:8081, http://127.0.0.1:8082 {
		klink_webhook /hook {
			name on-two-ports
			hmac s
		}
		handle /shared {
			invoke shared
		}
	}`)
	if n := strings.Count(string(config), "klink_webhook"); n != 4 {
		t.Fatalf("%d handlers in\n%s", n, config)
	}
	c, err := provision(config)
	if err != nil {
		t.Fatal(err)
	}
	c.release()
}

// The zero handler, which Caddy cleans up when its JSON cannot be read.
func TestCleanupOfNothing(t *testing.T) {
	t.Parallel()
	if err := new(klink.Webhook).Cleanup(); err != nil {
		t.Error(err)
	}
}
