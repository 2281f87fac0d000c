package klink_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/klinkgate/caddy-klink"
	_ "github.com/klinkgate/caddy-klink/inbox" // for docs/inbox*.md
	"github.com/klinkgate/caddy-klink/verifier"
)

func adaptText(t *testing.T, name string, text []byte) []byte {
	t.Helper()
	config, warnings, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, map[string]any{"filename": name})
	if err != nil {
		t.Fatalf("%s does not adapt: %v\n%s", name, err, text)
	}
	for _, w := range warnings {
		t.Errorf("%s: %s", name, w)
	}
	return config
}

func TestExampleCaddyfile(t *testing.T) {
	text, err := os.ReadFile("Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	if formatted := caddyfile.Format(text); string(formatted) != string(text) {
		t.Errorf("caddy fmt would write:\n%s", formatted)
	}
	var config caddy.Config
	if err := caddy.StrictUnmarshalJSON(adaptText(t, "Caddyfile.example", text), &config); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Validate(&config); err != nil {
		t.Fatal(err)
	}
}

var caddyfileFence = regexp.MustCompile("(?ms)^```caddyfile\n(.*?)^```")

func TestCaddyfilesInTheDocumentation(t *testing.T) {
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, page := range append(pages, "README.md", "xcaddy.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range caddyfileFence.FindAllSubmatch(text, -1) {
			adaptText(t, page, block[1])
			found++
		}
	}
	if found < 5 {
		t.Errorf("only %d Caddyfiles were found", found)
	}
}

func TestReadmeListsEveryReason(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| [45]\\d\\d \\|").FindAllStringSubmatch(string(readme), -1) {
		listed = append(listed, row[1])
	}
	var want []string
	for _, reason := range verifier.Reasons() {
		want = append(want, string(reason))
	}
	slices.Sort(listed)
	slices.Sort(want)
	if !slices.Equal(listed, want) {
		t.Errorf("README has %s, the set is %s", strings.Join(listed, " "), strings.Join(want, " "))
	}
}
