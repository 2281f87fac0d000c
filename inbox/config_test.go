package inbox_test

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
	if err != nil || len(files) < 2 {
		t.Fatalf("there are only %d files, %v", len(files), err)
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
			var got bytes.Buffer
			if err := json.Indent(&got, adapt(t, string(source)), "", "\t"); err != nil {
				t.Fatal(err)
			}
			if got.String()+"\n" != string(want) {
				t.Errorf("the JSON is\n%s", &got)
			}
		})
	}
}

// TestBadCaddyfiles holds what does not adapt, and what is said of it.
func TestBadCaddyfiles(t *testing.T) {
	t.Parallel()
	const deliver = "\ndeliver {\nrespond 200\n}"
	for _, test := range []struct{ block, want string }{
		{"", "klink_inbox has no backend: add deliver { reverse_proxy … }"},
		{"deliver {\n}", "deliver is empty: write the directives that take a delivery to the backend, such as reverse_proxy 127.0.0.1:9000"},
		{"deliver {\nno_such_directive\n}", "unrecognized directive: no_such_directive"},
		{"colour red" + deliver, `unknown option "colour": there are name, database,`},
		{"mode rescue\nmode store" + deliver, `option "mode" is there twice: keep one of them, with all that it shall have`},
		{"mode" + deliver, "mode takes one value"},
		{"mode rescue store" + deliver, "mode takes one value"},
		{"mode rescue {\n}" + deliver, "mode takes no block: leave out the braces after it"},
		{"mode hope" + deliver, `mode: there is no "hope": write rescue or store`},
		{"name Big" + deliver, "name: use at most 64 letters a to z, digits, and single hyphens or underscores between them"},
		{"database /var/lib/inbox.db" + deliver, "database: write sqlite:///path/to/file or postgres://user:password@host/database"},
		{"database sqlite://" + deliver, "database: sqlite:// needs the path of a file"},
		{"database postgres://klink:hidden@127.0.0.1" + deliver, "database: the postgres:// URL names no database"},
		{"deadline 10s" + deliver, "deadline: it must be below 10s, which is how long K-LINK waits"},
		{"deadline soon" + deliver, `deadline: "soon" is no duration above 0: write one such as 30s, 10m, 24h or 7d`},
		{"timeout 5s" + deliver, "timeout: it must not be below deadline, which is 8s"},
		{"retry" + deliver, "retry takes the pauses between attempts: retry 5s 30s 2m 10m 1h"},
		{"retry 5s 0s" + deliver, `retry: "0s" is no duration above 0`},
		{"give_up -1h" + deliver, `give_up: "-1h" is no duration above 0`},
		{"concurrency 0" + deliver, `concurrency: "0" is no number above 0`},
		{"concurrency 1001" + deliver, "concurrency: write a number from 1 to 1000"},
		{"dedupe 8d\nretention 7d" + deliver, "retention: it must not be below dedupe, which is 192h0m0s: an event is known by its record"},
		{"retention 1h" + deliver, "retention: it must not be below dedupe, which is 24h0m0s: an event is known by its record"},
		{"max_stored" + deliver, "max_stored takes a number of events and, if wanted, a size: max_stored 100000 1GiB"},
		{"max_stored 0" + deliver, `max_stored: "0" is no number of events above 0`},
		{"max_stored 10 much" + deliver, `max_stored: "much" is no size: write one such as 512MiB or 1GiB`},
		{"pass_rejections yes" + deliver, `pass_rejections takes no value: leave out "yes"`},
	} {
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte("http:// {\nklink_inbox {\n"+test.block+"\n}\n}"), nil)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s\n got %v\nwant %s", test.block, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: the error shows the password: %v", test.block, err)
		}
	}
}

// TestBadConfigs holds what adapts, or was written as JSON, and does not load.
func TestBadConfigs(t *testing.T) {
	dir := shortTempDir(t)
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KLINK_TEST_EMPTY", "")
	t.Setenv("KLINK_TEST_NO_URL", "hidden")
	const deliver = `"deliver":[{"handle":[{"handler":"static_response"}]}]`
	for _, test := range []struct{ config, want string }{
		{`{}`, "there is no backend: add deliver { reverse_proxy … }"},
		{`{"colour":"red",` + deliver + `}`, "colour"},
		{`{"mode":"hope",` + deliver + `}`, `mode: there is no "hope"`},
		{`{"concurrency":-1,` + deliver + `}`, "concurrency: write a number from 1 to 1000"},
		{`{"max_stored":-1,` + deliver + `}`, "max_stored: the number of events and the size must be above 0"},
		{`{"retry":["0s"],` + deliver + `}`, "retry: each duration must be above 0"},
		{`{"database":"{env.KLINK_TEST_EMPTY}",` + deliver + `}`, "KLINK_TEST_EMPTY"},
		{`{"database":"{env.KLINK_TEST_NO_URL}",` + deliver + `}`, "database: write sqlite:///path/to/file"},
		{`{"database":"sqlite://` + file + `/inbox.db",` + deliver + `}`, "database"},
		{`{"deliver":[{"handle":[{"handler":"no_such_handler"}]}]}`, "deliver: "},
	} {
		err := load(t, test.config)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s\n got %v\nwant %s", test.config, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: the error shows a value: %v", test.config, err)
		}
	}
}

// TestDefaultDatabase: on a new machine Caddy's data directory is not there yet.
func TestDefaultDatabase(t *testing.T) {
	dir := shortTempDir(t)
	t.Setenv("XDG_DATA_HOME", filepath.Join(dir, "share"))
	if err := load(t, `{"name":"new-machine","deliver":[{"handle":[{"handler":"static_response"}]}]}`); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		path string
		want os.FileMode
	}{
		{"share/caddy", os.ModeDir | 0o700},
		{"share/caddy/klink_inbox.db", 0o600},
	} {
		info, err := os.Stat(filepath.Join(dir, test.path))
		if err != nil {
			t.Error(err)
		} else if info.Mode() != test.want {
			t.Errorf("%s has the mode %v, want %v", test.path, info.Mode(), test.want)
		}
	}
}

// TestStoreHasNoDeadline: what is said of deadline and timeout together is about
// the mode rescue.
func TestStoreHasNoDeadline(t *testing.T) {
	t.Parallel()
	adapt(t, "http:// {\nklink_inbox {\nmode store\ntimeout 5s\ndeliver {\nrespond 200\n}\n}\n}")
}

// TestNamesAreUnique holds that two inboxes of a configuration do not share what
// they know.
func TestNamesAreUnique(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	inbox := func(options string) string {
		return "klink_inbox {\n" + options + "\ndeliver {\nreverse_proxy " + b.address + "\n}\n}\n"
	}
	for _, test := range []struct{ first, second, want string }{
		{"name same", "name same", "two inboxes have the name same: give each a name of its own with the option name"},
		{"", "name inbox1", "two inboxes have the name inbox1"},
	} {
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte("http:// {\nroute {\n"+inbox(test.first)+inbox(test.second)+"}\n}"), nil)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q and %q: got %v, want %s", test.first, test.second, err, test.want)
		}
	}
}

// TestInboxInSeveralServers: a site on two ports is in both of
// Caddy's servers, and one inbox all the same; two that differ are not.
func TestInboxInSeveralServers(t *testing.T) {
	t.Parallel()
	inbox := func(backend string) string {
		return "klink_inbox {\nname two-servers\ndatabase sqlite://" + filepath.ToSlash(t.TempDir()) + "/inbox.db\ndeliver {\nreverse_proxy " + backend + "\n}\n}\n"
	}
	const site = "http://127.0.0.1:8081, http://127.0.0.1:8082 {\nroute {\n"
	config := string(adapt(t, site+inbox("127.0.0.1:1")+"}\n}\n"))
	other := strings.Replace(config, "127.0.0.1:1\"", "127.0.0.1:2\"", 1)
	if other == config {
		t.Fatalf("there is no backend in\n%s", config)
	}
	for _, test := range []struct{ config, want string }{
		{config, ""},
		{other, "name: another inbox of this configuration is called two-servers too"},
	} {
		err := loadConfig([]byte(test.config))
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("got %v, want %q", err, test.want)
		}
	}
}

// load provisions one handler from its JSON, as Caddy does, and cleans up.
func load(t testing.TB, config string) error {
	t.Helper()
	provisioning.Lock()
	defer provisioning.Unlock()
	base, err := caddy.ProvisionContext(&caddy.Config{Admin: &caddy.AdminConfig{Disabled: true}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := caddy.NewContext(base)
	defer cancel()
	_, err = ctx.LoadModuleByID("http.handlers.klink_inbox", []byte(config))
	return err
}
