package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/klinkgate/caddy-klink/bench/process"
)

// buildCaddy builds the program that is to be proven.
func buildCaddy(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "caddy")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/klinkgate/caddy-klink/cmd/caddy") //nolint:gosec // our own folder
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, text)
	}
	return path, nil
}

// gateway is a Caddy that can be killed and comes back.
type gateway struct {
	place
	caddy   string
	process *process.Process
	downs   []outage
}

// outage is a time in which the gateway could not answer. A process that is killed goes on for some milliseconds, until it
// is dead.
type outage struct{ from, dead, to time.Time }

func startGateway(ctx context.Context, caddy string, c contender, p place) (*gateway, error) {
	g := &gateway{place: p, caddy: caddy}
	if err := os.WriteFile(g.config(), []byte(c.caddyfile(p)), 0o600); err != nil {
		return nil, err
	}
	if err := g.start(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	return g, nil
}

func (g *gateway) config() string { return filepath.Join(g.dir, "Caddyfile") }

// start returns once the gateway takes connections.
func (g *gateway) start(ctx context.Context) (err error) {
	cmd := exec.Command(g.caddy, "run", "--adapter", "caddyfile", "--config", g.config()) //nolint:gosec // what was just built
	cmd.Env = append(os.Environ(), "HOME="+g.dir, "XDG_CONFIG_HOME="+g.dir, "XDG_DATA_HOME="+g.dir)
	if g.process, err = process.Start(g.dir, cmd); err != nil {
		return err
	}
	if err := g.process.AwaitListening(ctx, g.listen); err != nil {
		g.process.Stop()
		return fmt.Errorf("%w\n%s", err, g.process.Log())
	}
	return nil
}

// kill ends the gateway without a chance to do anything about it, and starts it again.
func (g *gateway) kill(ctx context.Context) error {
	down := outage{from: time.Now()}
	g.process.End(syscall.SIGKILL)
	down.dead = time.Now()
	err := g.start(ctx)
	down.to = time.Now()
	g.downs = append(g.downs, down)
	return err
}

func (g *gateway) stop() { g.process.Stop() }

// log returns the end of what the gateway has written.
func (g *gateway) log() []byte { return g.process.Log() }

// depth returns how many events the inbox still has to deliver.
func (g *gateway) depth(ctx context.Context) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+g.metrics+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	return readDepth(response.Body)
}

func readDepth(metrics io.Reader) (int, error) {
	const series = `caddy_klink_inbox_depth{inbox="` + inboxName + `"} `
	lines := bufio.NewScanner(metrics)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), series); ok {
			depth, err := strconv.ParseFloat(text, 64)
			return int(depth), err
		}
	}
	if err := lines.Err(); err != nil {
		return 0, err
	}
	return 0, fmt.Errorf("the gateway's metrics have no %s", series)
}
