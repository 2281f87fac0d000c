package klink_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestRooms holds the lines between the rooms of this module. What is tested is
// what is built: test files may import more.
func TestRooms(t *testing.T) {
	t.Parallel()
	const (
		module = "github.com/klinkgate/caddy-klink"
		tags   = "nobadger,nomysql,nopgx" // xcaddy's: Caddy itself has pgx without them
	)
	for dir, room := range map[string]struct {
		has, hasNot []string
	}{
		// Who does not build the inbox in carries nothing of it.
		".": {
			has: []string{module + "/verifier", module + "/sender", "github.com/caddyserver/caddy/v2"},
			hasNot: []string{
				module + "/inbox", "github.com/riverqueue/", "riverqueue.com/", "modernc.org/", "github.com/jackc/",
			},
		},
		"./inbox": {
			has:    []string{module + "/inbox/queue", module + "/verifier"},
			hasNot: []string{module + "/sender"},
		},
		"./inbox/queue": {
			has:    []string{"github.com/riverqueue/river"},
			hasNot: []string{"github.com/caddyserver/", module + "/verifier", module + "/normalize", "go.uber.org/zap"},
		},
		"./sender": {
			has:    []string{module + "/verifier"},
			hasNot: []string{"github.com/caddyserver/", "go.uber.org/zap", "github.com/riverqueue/"},
		},
	} {
		out, err := exec.Command("go", "list", "-deps", "-tags", tags, dir).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", dir, err, out)
		}
		deps := strings.Fields(string(out))
		self := module + strings.TrimPrefix(dir, ".")
		for _, dep := range deps {
			for _, not := range append(room.hasNot, module) {
				if dep != self && (dep == not || not != module && strings.HasPrefix(dep, not)) {
					t.Errorf("%s imports %s", dir, dep)
				}
			}
		}
		for _, dep := range room.has {
			if !slices.Contains(deps, dep) {
				t.Errorf("%s does not import %s: is this test still right?", dir, dep)
			}
		}
	}
}
