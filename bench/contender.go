package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klinkgate/caddy-klink/bench/process"
)

// contender is one way to stand in front of a backend.
type contender struct {
	name     string
	start    starter
	sign     signing       // what its requests are signed with
	verifies bool          // whether a forged request must be refused
	unique   bool          // whether it must not get the same event twice
	missing  func() string // what the machine lacks for it, or ""; nil: nothing
}

// starter starts a contender's process.
type starter func(place) (*process.Process, error)

// place is where a contender runs.
type place struct {
	dir     string // its own folder
	listen  string
	backend string
	profile string // where its CPU profile goes, or ""
}

const (
	plainName   = "plain reverse_proxy"
	gatewayName = "gateway, pinned"
)

func contenders() []contender {
	lua := []string{"ndk_http_module.so", "ngx_http_lua_module.so"}
	njs := []string{"ngx_http_js_module.so"}
	return []contender{
		{name: plainName, start: startCaddy(""), sign: signedForm},
		{name: gatewayName, start: startCaddy(gatewayPinned), sign: signedForm, verifies: true},
		{name: "gateway, auto", start: startCaddy(gatewayAuto), sign: signedForm, verifies: true},
		{name: "naive handler", start: startCaddy(naiveHandler), sign: signedForm, verifies: true},
		{name: "nginx, plain", start: startNginx("plain"), sign: signedForm, missing: missingNginx()},
		{name: "nginx, Lua", start: startNginx("lua", lua...), sign: signedRaw, verifies: true, missing: missingNginx(lua...)},
		{name: "nginx, njs", start: startNginx("njs", njs...), sign: signedRaw, verifies: true, missing: missingNginx(njs...)},
	}
}

// choose returns the contenders that can run here and, for each other, a line that says why not.
func choose(all []contender, only string) (chosen []contender, missing []string) {
	for _, c := range all {
		if only != "" && c.name != plainName && !named(only, c.word()) {
			missing = append(missing, c.name+": left out")
			continue
		}
		if c.missing != nil {
			if why := c.missing(); why != "" {
				missing = append(missing, c.name+": MISSING, "+why)
				continue
			}
		}
		chosen = append(chosen, c)
	}
	return chosen, missing
}

// word is the name as it is written in a flag: gateway-auto.
func (c contender) word() string {
	return strings.ReplaceAll(strings.ReplaceAll(c.name, ",", ""), " ", "-")
}

// running is a contender that takes requests.
type running struct {
	contender
	*process.Process
	address  string
	requests [][]byte
}

// launch starts a contender and makes sure that it lets a good request through and, if it verifies, no forged one.
func (b *bench) launch(ctx context.Context, c contender, backend, path string, bodies [][]byte) (*running, error) {
	dir, err := os.MkdirTemp(b.dir, "run")
	if err != nil {
		return nil, err
	}
	p := place{dir: dir, listen: process.FreeAddress(), backend: backend}
	if b.profiles != "" {
		p.profile = filepath.Join(b.profiles, fmt.Sprintf("%s-%d.prof", c.word(), len(bodies[0])))
	}
	r := &running{contender: c, address: p.listen}
	if r.requests, err = requests(p.listen, path, c.sign, bodies); err != nil {
		return nil, err
	}
	if r.Process, err = c.start(p); err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	err = r.AwaitListening(ctx, p.listen)
	if err == nil {
		err = r.tryOut(bodies[0])
	}
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", c.name, err, r.Log())
		r.Stop()
		return nil, err
	}
	return r, nil
}

// source returns where the n-th connection's requests come from.
func (r *running) source(n int) source {
	if r.unique {
		return newStamper(r.address, webhookPath).next
	}
	return inTurn(r.requests, n)
}

// tryOut never asks for heldPath, whose answer would wait for others.
func (r *running) tryOut(body []byte) error {
	good, err := requests(r.address, webhookPath, r.sign, [][]byte{body})
	if err != nil {
		return err
	}
	if err := expect(r.address, good[0], 200); err != nil {
		return fmt.Errorf("a good request: %w", err)
	}
	if !r.verifies {
		return nil
	}
	forged := request(r.address, webhookPath, strings.Repeat("0", 64), body)
	if err := expect(r.address, forged, 401); err != nil {
		return fmt.Errorf("a forged request: %w", err)
	}
	return nil
}

func expect(address string, request []byte, want int) error {
	c, err := dial(address, time.Now().Add(30*time.Second))
	if err != nil {
		return err
	}
	defer c.close()
	status, err := c.exchange(request)
	if err != nil {
		return err
	}
	if status != want {
		return fmt.Errorf("answered with %d instead of %d", status, want)
	}
	return nil
}
