package klink

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// demoCaddyfile is the demo's configuration. What is in angle brackets is put in
// when the demo starts.
const demoCaddyfile = `{
	admin off
	auto_https off
	persist_config off
	grace_period 1s
	storage file_system "<dir>/storage"
	log {
		output stderr
		level ERROR
	}
	log refusals {
		output file "<dir>/refusals.log"
		format json
		include http.handlers.klink_webhook
	}
}

http://:0 {
	bind 127.0.0.1

	handle /signed {
		klink_webhook {
			allow private_ranges
			hmac "{file.<dir>/secret}"
			max_body 16KiB
		}
		reverse_proxy <backend>
	}
	handle /basic {
		klink_webhook {
			allow private_ranges
			basic klink "{file.<dir>/password}"
		}
		reverse_proxy <backend>
	}
	handle /header {
		klink_webhook {
			allow private_ranges
			header X-Webhook-Token "{file.<dir>/token}"
		}
		reverse_proxy <backend>
	}
	handle /elsewhere {
		klink_webhook {
			allow klink
			hmac "{file.<dir>/secret}"
		}
		reverse_proxy <backend>
	}
}
`

// demoSecrets are made anew for each demo.
type demoSecrets struct{ secret, password, token string }

func newDemoSecrets() demoSecrets {
	return demoSecrets{secret: rand.Text(), password: rand.Text(), token: rand.Text()}
}

// demoGateway is a running Caddy.
type demoGateway struct {
	url      string
	log      *os.File
	refusals *bufio.Reader
}

func startDemoGateway(dir, backend string, s demoSecrets) (*demoGateway, error) {
	for name, value := range map[string]string{"secret": s.secret, "password": s.password, "token": s.token} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600); err != nil {
			return nil, err
		}
	}
	text := strings.NewReplacer("<dir>", filepath.ToSlash(dir), "<backend>", backend).Replace(demoCaddyfile)
	config, _, err := caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), nil)
	if err != nil {
		return nil, err
	}
	if err := caddy.Load(config, false); err != nil {
		return nil, err
	}
	g := &demoGateway{}
	if err := g.open(dir); err != nil {
		g.stop()
		return nil, err
	}
	return g, nil
}

// open finds out where the gateway listens, and opens its log.
func (g *demoGateway) open(dir string) error {
	app, err := caddy.ActiveContext().App("http")
	if err != nil {
		return err
	}
	for _, server := range app.(*caddyhttp.App).Servers {
		for _, listener := range server.Listeners() {
			g.url = "http://" + listener.Addr().String()
		}
	}
	if g.url == "" {
		return errors.New("the gateway does not listen")
	}
	if g.log, err = os.Open(filepath.Join(dir, "refusals.log")); err != nil {
		return err
	}
	g.refusals = bufio.NewReader(g.log)
	return nil
}

// refusal returns the reason in the log's next line, or "" without one. The line
// of a refusal is written before the client has its answer.
func (g *demoGateway) refusal() (string, error) {
	var entry struct {
		Message string `json:"msg"`
		Reason  string `json:"reason"`
	}
	for {
		line, err := g.refusals.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return entry.Reason, nil
		}
		if err == nil {
			err = json.Unmarshal(line, &entry)
		}
		if err != nil {
			return "", fmt.Errorf("the gateway's log cannot be read: %w", err)
		}
	}
}

func (g *demoGateway) stop() {
	if g.log != nil {
		_ = g.log.Close()
	}
	_ = caddy.Stop()
}
