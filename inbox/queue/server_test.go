package queue

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// postgresServer is a PostgreSQL server of a test's own, for tests that stop it.
type postgresServer struct {
	bin  string
	data string
	port int
	cmd  *exec.Cmd
}

const serverPassword = "pass-word-of-the-test"

// newServer prepares a server whose user klink has serverPassword. It does not
// start it.
func newServer(t *testing.T) *postgresServer {
	t.Helper()
	bins, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(bins) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("PostgreSQL's server is missing: CI must install Debian's postgresql")
		}
		t.Skip("not run: PostgreSQL's server is not installed (Debian: postgresql)")
	}
	s := &postgresServer{bin: bins[len(bins)-1], data: filepath.Join(folderForAll(t), "data"), port: freePort(t)}
	password := filepath.Join(filepath.Dir(s.data), "password")
	if err := os.WriteFile(password, []byte(serverPassword), 0o644); err != nil {
		t.Fatal(err)
	}
	initdb := s.command("initdb", "--pgdata", s.data, "--username", "klink", "--auth", "scram-sha-256",
		"--pwfile", password, "--no-sync", "--no-locale", "--encoding", "UTF8")
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	t.Cleanup(func() { s.stop(t) })
	return s
}

// folderForAll returns a folder that the user postgres can write, who may not
// enter a test's own.
func folderForAll(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "klink-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	return folder
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// command runs one of PostgreSQL's programs, which refuse to run as root.
func (s *postgresServer) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = filepath.Dir(s.data)
	if os.Geteuid() != 0 {
		return cmd
	}
	if u, err := user.Lookup("postgres"); err == nil {
		uid, _ := strconv.ParseUint(u.Uid, 10, 32)
		gid, _ := strconv.ParseUint(u.Gid, 10, 32)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	return cmd
}

func (s *postgresServer) start(t *testing.T) {
	t.Helper()
	s.cmd = s.command("postgres", "-D", s.data, "-p", strconv.Itoa(s.port), "-F",
		"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=")
	var out bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &out, &out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the server answers", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, s.url("klink", serverPassword, "postgres"))
		if err == nil {
			conn.Close(ctx)
		}
		return err == nil
	})
}

// stop stops the server at once, as a crash would.
func (s *postgresServer) stop(t *testing.T) {
	t.Helper()
	if s.cmd == nil {
		return
	}
	if err := s.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Error(err)
	}
	_ = s.cmd.Wait()
	s.cmd = nil
}

func (s *postgresServer) url(user, password, database string) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s", user, password, s.port, database)
}
