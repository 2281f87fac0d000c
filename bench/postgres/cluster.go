package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/klinkgate/caddy-klink/bench/process"
)

// cluster is a PostgreSQL of our own, with Debian's programs and its default settings: it flushes before it acknowledges.
type cluster struct {
	programs string // their folder
	dir      string
	address  string
	password string
	process  *process.Process
}

// startCluster fails where PostgreSQL is not installed.
func startCluster(ctx context.Context, dir string) (*cluster, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return nil, errors.New("there is no PostgreSQL: install Debian's package postgresql")
	}
	c := &cluster{
		programs: filepath.Dir(found[len(found)-1]),
		dir:      filepath.Join(dir, "postgresql"),
		address:  process.FreeAddress(),
		password: rand.Text(),
	}
	if err := c.initialize(ctx); err != nil {
		return nil, err
	}
	return c, c.start(ctx)
}

// initialize makes the folder, owned by whoever the server runs as.
func (c *cluster) initialize(ctx context.Context) error {
	if err := os.Mkdir(c.dir, 0o700); err != nil {
		return err
	}
	file := filepath.Join(c.dir, "password")
	if err := os.WriteFile(file, []byte(c.password), 0o600); err != nil {
		return err
	}
	if os.Getuid() == 0 {
		if err := os.Chmod(filepath.Dir(c.dir), 0o711); err != nil { //nolint:gosec // the server's user has to get through
			return err
		}
		if text, err := exec.CommandContext(ctx, "chown", "-R", "postgres:", c.dir).CombinedOutput(); err != nil { //nolint:gosec // our own folder
			return fmt.Errorf("chown: %w\n%s", err, text)
		}
	}
	initdb := c.command("initdb", "--pgdata", c.data(), "--username", "postgres", "--pwfile", file, "--auth", "scram-sha-256",
		"--encoding", "UTF8", "--locale", "C")
	if text, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, text)
	}
	return nil
}

func (c *cluster) data() string { return filepath.Join(c.dir, "data") }

// command runs one of PostgreSQL's programs: not as root, which they refuse. The kernel forgets about the parent's death
// when the user changes, so setpriv has to see to that.
func (c *cluster) command(program string, args ...string) *exec.Cmd {
	args = slices.Concat([]string{filepath.Join(c.programs, program)}, args)
	if os.Getuid() == 0 {
		args = slices.Concat([]string{"setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=INT"}, args)
	}
	cmd := exec.Command(args[0], args[1:]...) //nolint:gosec // what was found above
	cmd.Dir = c.dir
	return cmd
}

// start returns once the server takes connections.
func (c *cluster) start(ctx context.Context) (err error) {
	where := c.url()
	c.process, err = process.Start(filepath.Dir(c.dir), c.command("postgres", "-D", c.data(), "-p", where.Port(),
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=on"))
	if err != nil {
		return err
	}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		var connection *pgx.Conn
		if connection, err = pgx.Connect(ctx, where.String()); err == nil {
			return connection.Close(ctx)
		}
	}
	c.stop()
	return fmt.Errorf("PostgreSQL: %w\n%s", err, c.process.Log())
}

func (c *cluster) restart(ctx context.Context) error {
	c.process.End(syscall.SIGQUIT)
	return c.start(ctx)
}

func (c *cluster) stop() { c.process.End(syscall.SIGINT) }

func (c *cluster) url() *url.URL {
	return &url.URL{
		Scheme: "postgres", User: url.UserPassword("postgres", c.password), Host: c.address, Path: "/postgres",
		RawQuery: "sslmode=disable",
	}
}
