package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/klinkgate/caddy-klink/bench/process"
)

// bench is one run of the program.
type bench struct {
	settings
	out        io.Writer
	dir        string
	contenders []contender
	missing    []string
}

func newBench(s settings, out io.Writer) (*bench, error) {
	dir, err := os.MkdirTemp("", "klink-bench")
	if err != nil {
		return nil, err
	}
	b := &bench{settings: s, out: out, dir: dir}
	b.contenders, b.missing = choose(contenders(), s.only)
	return b, nil
}

func (b *bench) close() { _ = os.RemoveAll(b.dir) }

func (b *bench) printf(format string, args ...any) { fmt.Fprintf(b.out, format, args...) }

// backendStarter starts a backend and returns its address.
type backendStarter func(context.Context) (*process.Process, string, error)

// startBackend starts the one that does nothing.
func (b *bench) startBackend(ctx context.Context) (*process.Process, string, error) {
	dir, err := os.MkdirTemp(b.dir, "backend")
	if err != nil {
		return nil, "", err
	}
	address := process.FreeAddress()
	p, err := startSelf(dir, roleBackend, address, strconv.Itoa(b.held))
	if err != nil {
		return nil, "", err
	}
	if err := p.AwaitListening(ctx, address); err != nil {
		err = fmt.Errorf("backend: %w\n%s", err, p.Log())
		p.Stop()
		return nil, "", err
	}
	return p, address, nil
}

// rotated returns the order of round n: everybody begins as often as everybody else.
func rotated[T any](all []T, n int) []T {
	n %= len(all)
	return append(append([]T(nil), all[n:]...), all[:n]...)
}
