package klink_test

import (
	"testing"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/rogpeppe/go-internal/testscript"

	_ "github.com/klinkgate/caddy-klink/inbox"
)

// TestMain lets this test binary be the caddy of testdata/script,
// with everything that cmd/caddy has.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"caddy": caddycmd.Main})
}
