package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestMain lets more tests run at a time than there are cores: they wait more than
// they compute.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// postgresVariable holds the URL of a PostgreSQL server whose user may create
// databases.
const postgresVariable = "KLINK_TEST_POSTGRES"

// kinds of databases, each with a function that returns the URL of a fresh one.
var kinds = []struct {
	name  string
	fresh func(testing.TB) string
}{
	{"SQLite", freshSQLite},
	{"PostgreSQL", freshPostgres},
}

// onEach runs a test on a fresh database of each kind.
func onEach(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Parallel()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			test(t, kind.fresh(t))
		})
	}
}

func freshSQLite(t testing.TB) string {
	return "sqlite://" + filepath.Join(t.TempDir(), "inbox 1%20.db")
}

func freshPostgres(t testing.TB) string {
	t.Helper()
	server := os.Getenv(postgresVariable)
	if server == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not set: CI must run these tests on a PostgreSQL server", postgresVariable)
		}
		t.Skipf("not run on PostgreSQL: set %s to the postgres:// URL of a server whose user may create databases", postgresVariable)
	}
	name := "klink_test_" + strings.ToLower(rand.Text())
	onServer(t, server, "CREATE DATABASE "+name)
	t.Cleanup(func() { onServer(t, server, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("%s is no URL", postgresVariable)
	}
	u.Path = "/" + name
	return u.String()
}

func onServer(t testing.TB, server, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Fatal(err)
	}
}

// logged collects log lines.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(p))
	return len(p), nil
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// count returns how many lines have the text in them.
func (l *logged) count(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// open opens a database that is closed at the end of the test.
func open(t testing.TB, url string) *Database {
	t.Helper()
	db, err := Open(t.Context(), url, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sync.OnceFunc(func() { closeDatabase(t, db) }))
	return db
}

func closeDatabase(t testing.TB, db *Database) {
	t.Helper()
	select {
	case <-db.closing:
		return // the test has closed it
	default:
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// start starts a queue that is closed at the end of the test.
func start(t testing.TB, db *Database, config Config) *Queue {
	t.Helper()
	q := started(db.Queue(config))
	t.Cleanup(func() {
		if q.isClosing() {
			return // the test has closed it
		}
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return q
}

func started(q *Queue) *Queue {
	q.Start()
	return q
}

// sent is one attempt that a backend saw.
type sent struct {
	key     Key
	head    string
	body    string
	attempt int
	at      time.Time
}

// backend notes what is sent to it and answers what it is told to.
type backend struct {
	mu     sync.Mutex
	seen   []sent
	down   bool
	answer func(d *Delivery, attempt int) Result // nil: delivered
}

func (b *backend) deliver(_ context.Context, d *Delivery, attempt int) Result {
	b.mu.Lock()
	b.seen = append(b.seen, sent{d.Key, string(d.Head), string(d.Body), attempt, time.Now()})
	down, answer := b.down, b.answer
	b.mu.Unlock()
	switch {
	case down:
		return Result{Unreachable, "connection refused"}
	case answer != nil:
		return answer(d, attempt)
	}
	return Result{Outcome: Delivered}
}

func (b *backend) set(down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = down
}

func (b *backend) attempts() []sent {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.seen)
}

// keys returns what was sent, in order.
func (b *backend) keys() (keys []Key) {
	for _, s := range b.attempts() {
		keys = append(keys, s.key)
	}
	return keys
}

// config is what a quick queue does, with one worker.
func (b *backend) config() Config {
	return Config{
		Name: "test", Concurrency: 1, Retry: []time.Duration{50 * time.Millisecond}, GiveUp: time.Hour,
		Timeout: 10 * time.Second, Dedupe: time.Hour, Retention: time.Hour, MaxStored: 1e6, MaxStoredBytes: 1 << 30,
		Deliver: b.deliver, Counts: new(Counts), Logger: slog.New(slog.DiscardHandler),
	}
}

func key(n int) (k Key) {
	copy(k[:], fmt.Sprintf("%016d", n))
	return k
}

// event returns an event that differs from those with another number.
func event(n int) *Delivery {
	return &Delivery{
		Key: key(n), Endpoint: "main", Event: "message.inbound", Received: time.Now(),
		Head: fmt.Appendf(nil, "POST /hook?n=%d", n), Body: fmt.Appendf(nil, `{"n":%d}`, n),
	}
}

// store stores an event and returns its ID.
func store(t testing.TB, q *Queue, d *Delivery, when When) int64 {
	t.Helper()
	ready(t, q.db)
	stored, err := q.Store(t.Context(), d, when)
	if err != nil {
		t.Fatal(err)
	}
	if stored.Duplicate {
		t.Fatalf("event %s was there already", d.Key)
	}
	return stored.ID
}

func ready(t testing.TB, db *Database) {
	t.Helper()
	select {
	case <-db.ready:
	case <-time.After(patience):
		t.Fatal("the database does not become ready")
	}
}

// patience is for how long something is waited for that must happen. It says
// nothing about how long it may take.
const patience = 3 * time.Minute

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so after %s: %s", patience, what)
		}
	}
}

// seen waits until a backend has seen n attempts, and returns them.
func seen(t testing.TB, b *backend, n int) []sent {
	t.Helper()
	eventually(t, fmt.Sprintf("the backend has seen %d attempts", n), func() bool { return len(b.attempts()) >= n })
	return b.attempts()
}

// state waits until an event has a state, and returns it.
func state(t testing.TB, q *Queue, id int64, want State) (e Event) {
	t.Helper()
	eventually(t, fmt.Sprintf("event %d is %s", id, want), func() bool {
		var err error
		if e, _, err = q.Get(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		return e.State == want
	})
	return e
}

func expect(t testing.TB, what string, got, want any) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

func expectErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

// report notes how an attempt went that needed no pass.
func (g *gate) report(o Outcome) change { return g.leave(nil, o) }

// report does so for a queue.
func (q *Queue) report(o Outcome) { q.Leave(nil, o) }
