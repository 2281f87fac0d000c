package queue

import (
	"errors"
	"net/url"
	"strings"
)

// Location is where a database is: one of the two is set.
type Location struct {
	Path     string // of an SQLite file
	Postgres string // the URL of a PostgreSQL database
}

var errURL = errors.New("database: write sqlite:///path/to/file or postgres://user:password@host/database")

// ParseURL reads the URL of a database. Its errors do not repeat it, since it may
// hold a password.
func ParseURL(s string) (Location, error) {
	if path, ok := strings.CutPrefix(s, "sqlite://"); ok {
		if path == "" || strings.HasSuffix(path, "/") || strings.ContainsAny(path, "?#\x00") {
			return Location{}, errors.New("database: sqlite:// needs the path of a file, without ? or #, such as sqlite:///var/lib/caddy/inbox.db")
		}
		return Location{Path: path}, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return Location{}, errURL
	}
	if strings.Trim(u.Path, "/") == "" {
		return Location{}, errors.New("database: the postgres:// URL names no database: write postgres://user:password@host/database")
	}
	return Location{Postgres: s}, nil
}
