// Package postgres finds a PostgreSQL for a measurement, or starts one.
package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Variable holds the URL of a PostgreSQL whose user may create databases.
const Variable = "KLINK_TEST_POSTGRES"

// Server is a PostgreSQL that databases can be created in.
type Server struct {
	url     *url.URL
	cluster *cluster // nil when the server is not ours

	mu      sync.Mutex
	created []string // the names of databases
}

// Find returns the server that the environment names or, where it names none, one of our own, with its files in dir. With
// own, it is our own in any case.
func Find(ctx context.Context, dir string, own bool) (*Server, error) {
	given := os.Getenv(Variable)
	if given != "" && !own {
		u, err := url.Parse(given)
		if err != nil {
			return nil, errors.New(Variable + " is no URL") // it may hold a password
		}
		return &Server{url: u}, nil
	}
	c, err := startCluster(ctx, dir)
	if err != nil {
		return nil, err
	}
	return &Server{url: c.url(), cluster: c}, nil
}

// Close stops a server of our own, and removes the databases from another one.
func (s *Server) Close() {
	switch {
	case s == nil:
	case s.cluster != nil:
		s.cluster.stop()
	default:
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		for _, name := range s.created {
			_ = s.execute(ctx, "DROP DATABASE "+name+" WITH (FORCE)") // there is nobody to tell
		}
	}
}

// Ours says whether the server may be restarted.
func (s *Server) Ours() bool { return s.cluster != nil }

// Restart stops a server of our own as a crash does, so that it has to recover, and returns once it takes connections again.
func (s *Server) Restart(ctx context.Context) error { return s.cluster.restart(ctx) }

// Create makes an empty database and returns its URL.
func (s *Server) Create(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := "klink_bench_" + strings.ToLower(rand.Text())
	if err := s.execute(ctx, "CREATE DATABASE "+name); err != nil {
		return "", err
	}
	s.created = append(s.created, name)
	u := *s.url
	u.Path = "/" + name
	return u.String(), nil
}

func (s *Server) execute(ctx context.Context, statement string) error {
	connection, err := pgx.Connect(ctx, s.url.String())
	if err != nil {
		return err
	}
	defer connection.Close(ctx) //nolint:errcheck // the statement's error counts
	_, err = connection.Exec(ctx, statement)
	return err
}
