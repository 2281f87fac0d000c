package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/klinkgate/caddy-klink/bench/postgres"
)

// proof is one run of the program.
type proof struct {
	settings
	progress io.Writer
	dir      string
	chosen   []contender
	missing  []string // what cannot be tried here, and why
	caddy    string
	postgres *postgres.Server
}

func newProof(s settings, progress io.Writer) (*proof, error) {
	chosen, err := chosen(s.contenders)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "klink-proof")
	if err != nil {
		return nil, err
	}
	return &proof{settings: s, progress: progress, dir: dir, chosen: chosen}, nil
}

func (p *proof) close() {
	p.postgres.Close()
	_ = os.RemoveAll(p.dir)
}

func (p *proof) say(format string, args ...any) { fmt.Fprintf(p.progress, format+"\n", args...) }

// all makes every trial.
func (p *proof) all(ctx context.Context) (*report, error) {
	if err := p.prepare(ctx); err != nil {
		return nil, err
	}
	r := newReport(p.settings)
	latencies, err := p.healthyLatencies(ctx)
	if err != nil {
		return nil, fmt.Errorf("when all is well: %w", err)
	}
	for _, c := range p.chosen {
		result, err := p.try(ctx, c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		result.Healthy = latencies[c.name]
		r.add(c, result)
	}
	if err := p.fillDisks(ctx, r); err != nil {
		return nil, fmt.Errorf("with a full disk: %w", err)
	}
	r.Missing = p.missing
	return r, nil
}

// prepare builds Caddy and finds a PostgreSQL; without one, the contenders that need it are missing.
func (p *proof) prepare(ctx context.Context) (err error) {
	p.say("building Caddy")
	if p.caddy, err = buildCaddy(ctx, p.dir); err != nil {
		return err
	}
	var here []contender
	for _, c := range p.chosen {
		if c.postgres && p.postgres == nil {
			if p.postgres, err = postgres.Find(ctx, p.dir, p.restarts > 0); err != nil {
				p.missing = append(p.missing, c.name+": "+err.Error())
				continue
			}
		}
		here = append(here, c)
	}
	p.chosen = here
	return ctx.Err()
}

// openTrial starts a contender's gateway, and a backend that is fine. The database is the given one, or a fresh one if it
// is "".
func (p *proof) openTrial(ctx context.Context, c contender, s settings, database string) (*trial, error) {
	dir, err := os.MkdirTemp(p.dir, c.word())
	if err != nil {
		return nil, err
	}
	t := &trial{settings: s, contender: c, postgres: p.postgres}
	switch {
	case database != "":
	case c.postgres:
		if database, err = p.postgres.Create(ctx); err != nil {
			return nil, err
		}
	default:
		database = "sqlite://" + filepath.Join(dir, "inbox.db")
	}
	if err := t.open(ctx, p.caddy, dir, database); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}
