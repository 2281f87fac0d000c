package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgresVariable holds the URL of a PostgreSQL whose user may create databases.
const postgresVariable = "KLINK_TEST_POSTGRES"

// postgres is a server in which each trial has a database of its own.
type postgres struct {
	url     *url.URL
	cluster *cluster // nil when the server is not ours: then it is not restarted
}

// findPostgres returns the server that the environment names or, if it is to be restarted or the environment names none,
// one of our own.
func findPostgres(ctx context.Context, dir string, restart bool) (*postgres, error) {
	given := os.Getenv(postgresVariable)
	if given != "" && !restart {
		u, err := url.Parse(given)
		if err != nil {
			return nil, errors.New(postgresVariable + " is no URL") // it may hold a password
		}
		return &postgres{url: u}, nil
	}
	c, err := startCluster(ctx, dir)
	if err != nil {
		return nil, err
	}
	return &postgres{url: c.url(), cluster: c}, nil
}

func (p *postgres) close() {
	if p != nil && p.cluster != nil {
		p.cluster.stop()
	}
}

// create makes an empty database and returns its URL.
func (p *postgres) create(ctx context.Context) (string, error) {
	name := fmt.Sprintf("klink_proof_%d_%d", os.Getpid(), time.Now().UnixNano())
	if err := p.execute(ctx, "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	u := *p.url
	u.Path = "/" + name
	return u.String(), nil
}

// drop removes a database that create made.
func (p *postgres) drop(ctx context.Context, database string) error {
	u, err := url.Parse(database)
	if err != nil {
		return err
	}
	return p.execute(ctx, "DROP DATABASE "+u.Path[1:]+" WITH (FORCE)")
}

func (p *postgres) execute(ctx context.Context, statement string) error {
	connection, err := pgx.Connect(ctx, p.url.String())
	if err != nil {
		return err
	}
	defer connection.Close(ctx) //nolint:errcheck // the statement's error counts
	_, err = connection.Exec(ctx, statement)
	return err
}
