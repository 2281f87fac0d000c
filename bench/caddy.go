package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard" // what a built Caddy has

	_ "github.com/klinkgate/caddy-klink" // the gateway itself
	"github.com/klinkgate/caddy-klink/bench/process"
	_ "github.com/klinkgate/caddy-klink/inbox" // and its inbox
)

// caddyfile has the address to listen on, and what is done with requests.
const caddyfile = `{
	admin off
	auto_https off
	persist_config off
}

http://%s {
	bind 127.0.0.1
	%s
}
`

// proxy has the backend.
const proxy = `reverse_proxy %s {
		transport http {
			keepalive_idle_conns_per_host 512
		}
	}`

const gatewayPinned = `klink_webhook {
		allow 127.0.0.1
		hmac ` + secret + ` {
			url full
			body go
		}
	}`

const gatewayAuto = `klink_webhook {
		allow 127.0.0.1
		hmac ` + secret + `
	}`

const naiveHandler = `bench_naive ` + secret

// startCaddy runs this program again as Caddy, with a directive before the proxy.
func startCaddy(directive string) starter { return startCaddyWith(directive, proxy) }

// startCaddyWith is startCaddy with directives that pass on, which have the backend.
func startCaddyWith(directive, proxy string) starter {
	return func(p place) (*process.Process, error) {
		handlers := directive + "\n\t" + fmt.Sprintf(proxy, p.backend)
		return startCaddyfile(p.dir, fmt.Sprintf(caddyfile, p.listen, handlers), p.profile)
	}
}

func startCaddyfile(dir, text, profile string) (*process.Process, error) {
	config := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return startSelf(dir, roleCaddy, config, profile)
}

// playCaddy serves a Caddyfile, and writes a CPU profile when it is told where.
func playCaddy(path, profile string) error {
	text, err := os.ReadFile(path) //nolint:gosec // written by the parent process
	if err != nil {
		return err
	}
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt(text, map[string]any{"filename": path})
	if err != nil {
		return err
	}
	if profile != "" {
		f, err := os.Create(profile) //nolint:gosec // named on the command line
		if err != nil {
			return err
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	if err := caddy.Load(config, true); err != nil {
		return err
	}
	untilStopped()
	return caddy.Stop()
}
