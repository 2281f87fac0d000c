package inbox_test

import (
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
)

// TestBadUICaddyfiles holds what does not adapt, and what is said of it.
func TestBadUICaddyfiles(t *testing.T) {
	t.Parallel()
	for directive, want := range map[string]string{
		"klink_inbox_ui inbox":                           `"inbox" is no path: write klink_inbox_ui [<matcher>] [</path>] { ... }`,
		"klink_inbox_ui /inbox /page":                    `klink_inbox_ui takes one path, and then a block: leave out "/page"`,
		"klink_inbox_ui /in*box":                         "path: write where browsers see the page, such as /inbox",
		"klink_inbox_ui /../inbox":                       "path: write where browsers see the page, such as /inbox",
		"klink_inbox_ui /{env.PAGE}":                     "path: write where browsers see the page, such as /inbox",
		"klink_inbox_ui {\npath inbox\n}":                "path: write where browsers see the page, such as /inbox",
		"klink_inbox_ui {\npath\n}":                      "path takes one value",
		"klink_inbox_ui /inbox {\npath /inbox\n}":        `option "path" is there twice: keep one of them`,
		"klink_inbox_ui {\ninbox Big\n}":                 "inbox: name: use at most 64 letters",
		"klink_inbox_ui {\ninbox a b\n}":                 "inbox takes one value",
		"klink_inbox_ui {\ninbox a {\n}\n}":              "inbox takes no block: leave out the braces after it",
		"klink_inbox_ui {\npublic\n}":                    `unknown option "public": there are inbox, path and allow_unauthenticated`,
		"klink_inbox_ui {\nallow_unauthenticated yes\n}": `allow_unauthenticated takes no value: leave out "yes"`,
		"klink_inbox_ui @nobody":                         "unrecognized matcher name: @nobody",
	} {
		_, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte("http:// {\n"+directive+"\n}"), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", directive, err, want)
		}
	}
}

// TestBadUIConfigs holds that JSON does not get by what a Caddyfile must keep to.
func TestBadUIConfigs(t *testing.T) {
	t.Parallel()
	for option, want := range map[string]string{
		`"path":"/in box"`: "klink_inbox_ui: path: write where",
		`"inbox":"Big"`:    "klink_inbox_ui: inbox: name: use at most",
		`"Public":true`:    `unknown field "Public"`,
	} {
		config := `{"apps":{"http":{"servers":{"s":{"listen":["127.0.0.1:0"],"routes":[{"handle":[{"handler":"klink_inbox_ui",` + option + `}]}]}}}}}`
		err := loadConfig([]byte(config))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\n got %v\nwant %s", option, err, want)
		}
	}
}
