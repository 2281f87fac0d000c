package queue

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestParseURL(t *testing.T) {
	for _, c := range []struct {
		url  string
		want Location
		err  string
	}{
		{"sqlite:///var/lib/caddy/inbox.db", Location{Path: "/var/lib/caddy/inbox.db"}, ""},
		{"sqlite://inbox.db", Location{Path: "inbox.db"}, ""},
		{"sqlite:///with space%20.db", Location{Path: "/with space%20.db"}, ""},
		{"sqlite://", Location{}, "needs the path of a file"},
		{"sqlite:///var/lib/", Location{}, "needs the path of a file"},
		{"sqlite:///inbox.db?mode=memory", Location{}, "needs the path of a file"},
		{"sqlite:///inbox.db#1", Location{}, "needs the path of a file"},
		{"postgres://klink:secret@db/inbox", Location{Postgres: "postgres://klink:secret@db/inbox"}, ""},
		{"postgresql://db:5433/inbox?sslmode=require", Location{Postgres: "postgresql://db:5433/inbox?sslmode=require"}, ""},
		{"postgres://klink:secret@db", Location{}, "names no database"},
		{"postgres://klink:secret@db/", Location{}, "names no database"},
		{"postgres://klink:sec%ret@db/inbox", Location{}, "write sqlite://"},
		{"mysql://klink:secret@db/inbox", Location{}, "write sqlite://"},
		{"/var/lib/caddy/inbox.db", Location{}, "write sqlite://"},
		{"", Location{}, "write sqlite://"},
	} {
		got, err := ParseURL(c.url)
		switch {
		case c.err == "" && err != nil:
			t.Errorf("%s: %v", c.url, err)
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: error %v, want one with %q", c.url, err, c.err)
		case err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "sec%ret")):
			t.Errorf("%s: the error has the password: %v", c.url, err)
		}
		expect(t, c.url, got, c.want)
	}
}

func TestOpenNamesTheFileThatIsTheProblem(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(t *testing.T, folder string) (path string)
		says    string
	}{
		{"the folder is missing", func(_ *testing.T, folder string) string {
			return filepath.Join(folder, "missing", "inbox.db")
		}, "no such file or directory"},
		{"the folder is a file", func(t *testing.T, folder string) string {
			writeFile(t, filepath.Join(folder, "file"), "")
			return filepath.Join(folder, "file", "inbox.db")
		}, "not a directory"},
		{"it is a folder", func(_ *testing.T, folder string) string { return folder }, "is a directory"},
		{"it is no database", func(t *testing.T, folder string) string {
			path := filepath.Join(folder, "inbox.db")
			writeFile(t, path, strings.Repeat("this is no database ", 1000))
			return path
		}, "not a database"},
		{"it may not be written", func(t *testing.T, folder string) string {
			if os.Geteuid() == 0 {
				t.Skip("root may write everything")
			}
			if err := os.Chmod(folder, 0o500); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(folder, "inbox.db")
		}, "permission denied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := c.prepare(t, t.TempDir())
			db, err := Open(t.Context(), "sqlite://"+path, new(logged).logger())
			if err == nil {
				db.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %q, want one with %q and %q", err, path, c.says)
			}
		})
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheFileIsForItsOwnerOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "inbox.db")
	q := start(t, open(t, "sqlite://"+path), (&backend{}).config())
	state(t, q, store(t, q, event(1), When{}), Done)
	for _, file := range []string{path, path + "-wal"} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, file, info.Mode(), os.FileMode(0o600))
	}
}

func TestSQLiteWritesToTheDiskBeforeItAnswers(t *testing.T) {
	db := open(t, freshSQLite(t))
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2"} {
		var got string
		if err := db.queryRow(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil {
			t.Fatal(err)
		}
		expect(t, pragma, got, want)
	}
}

func TestSeveralMayOpenAFreshDatabaseAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				db, err := Open(t.Context(), url, new(logged).logger())
				if err != nil {
					t.Error(err)
					return
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		q := start(t, open(t, url), (&backend{}).config())
		state(t, q, store(t, q, event(1), When{}), Done)
	})
}

func TestAWrongLoginIsAnError(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.start(t)
	for _, c := range []struct{ name, url string }{
		{"user", s.url("nobody", serverPassword, "postgres")},
		{"password", s.url("klink", "wrong-"+serverPassword, "postgres")},
		{"database", s.url("klink", serverPassword, "nowhere")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			lines := &logged{}
			db, err := Open(t.Context(), c.url, lines.logger())
			if err == nil {
				db.Close()
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), serverPassword) || lines.count(serverPassword) > 0 {
				t.Errorf("the password is told: %v %v", err, lines.lines)
			}
		})
	}
}

func TestAServerThatIsNotThereIsWaitedFor(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	lines := &logged{}
	db, err := Open(t.Context(), s.url("klink", serverPassword, "postgres"), lines.logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDatabase(t, db) })
	b := &backend{}
	config := b.config()
	config.Logger = lines.logger()
	q := start(t, db, config)
	_, err = q.Store(t.Context(), event(1), When{})
	expectErr(t, "without a server", err, ErrUnavailable)

	s.start(t)
	later := store(t, q, event(1), When{At: time.Now().Add(3 * time.Second)})
	s.stop(t)
	_, err = q.Store(t.Context(), event(2), When{})
	expectErr(t, "when it is gone", err, ErrUnavailable)
	_, err = q.List(t.Context(), Filter{}, 10)
	expectErr(t, "list when it is gone", err, ErrUnavailable)

	s.start(t)
	eventually(t, "it is stored when the server is back", func() bool {
		_, err = q.Store(t.Context(), event(3), When{})
		return err == nil
	})
	eventually(t, "both are delivered", func() bool { return config.Counts.Delivered.Load() == 2 })
	state(t, q, later, Done)
	expect(t, "passwords in the log", lines.count(serverPassword), 0)
	expect(t, "lines that it is not there", lines.count("cannot be reached") > 0, true)
}

func TestCloseWhenTheServerNeverCame(t *testing.T) {
	t.Parallel()
	db, err := Open(t.Context(), (&postgresServer{port: freePort(t)}).url("klink", "x", "y"), new(logged).logger())
	if err != nil {
		t.Fatal(err)
	}
	q := started(db.Queue((&backend{}).config()))
	expectErr(t, "close", q.Close(), nil)
	expectErr(t, "close of the database", db.Close(), nil)
	_, err = q.Store(t.Context(), event(1), When{})
	expectErr(t, "store after that", err, ErrUnavailable)
}
