package inbox_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// TestUIActions holds what becomes of an event on which an operator acts on the
// page, whatever the database.
func TestUIActions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(t *testing.T, g *gateway, b *backend){
		"a dead event that is retried is delivered as it was":                   retryDead,
		"a dead event that is retried and fails again is dead again":            retryDeadInVain,
		"a waiting event that is retried is delivered at once":                  retryWaiting,
		"a delivered event that is retried goes nowhere":                        retryDelivered,
		"a waiting event that is cancelled is not delivered, but may come anew": cancelWaiting,
		"a cancelled event cannot be retried":                                   retryCancelled,
		"an event that waits for a backend that is down can be cancelled":       cancelHeld,
		"an event that waits for a backend that is down can be deleted":         deleteHeld,
		"a dead event that is deleted is gone, but may come anew":               deleteDead,
		"a delivered event that is deleted may come anew":                       deleteDelivered,
		"a queue that is paused delivers nothing until it is resumed":           pause,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for kind, database := range map[string]func(testing.TB) string{
				"SQLite": func(testing.TB) string { return "sqlite://{dir}/inbox.db" }, "PostgreSQL": freshPostgres,
			} {
				t.Run(kind, func(t *testing.T) {
					t.Parallel()
					b := newBackend(t)
					test(t, startUI(t, b, "mode store\nretry 1h\ndatabase "+database(t)), b)
				})
			}
		})
	}
}

var theEvent = event("contact.create", "1")

// takes delivers an event that is answered 200.
func (g *gateway) takes(body string) {
	g.t.Helper()
	if status := g.deliver(body); status != http.StatusOK {
		g.t.Fatalf("K-LINK was answered %d", status)
	}
}

// stored sends theEvent while the backend answers with a status, and returns it
// as it is then.
func stored(g *gateway, b *backend, status int, state string) job {
	g.t.Helper()
	b.status(status)
	g.takes(theEvent)
	j := g.one(state)
	b.has(g.t, 1)
	b.status(http.StatusOK)
	return j
}

// key returns what the event is called towards backends.
func (j job) key(t testing.TB) string {
	t.Helper()
	var args struct {
		Key string `json:"key"`
	}
	if err := json.Unmarshal([]byte(j.Args), &args); err != nil {
		t.Fatal(err)
	}
	return args.Key
}

func retryDead(t *testing.T, g *gateway, b *backend) {
	j := stored(g, b, http.StatusBadRequest, "discarded")
	g.acts("retry", j.ID)
	g.one("completed")
	if got := b.has(t, 2); got[1].body != theEvent || got[1].uri != "/hook" {
		t.Errorf("the backend has got %+v", got[1])
	}
}

func retryDeadInVain(t *testing.T, g *gateway, b *backend) {
	j := stored(g, b, http.StatusBadRequest, "discarded")
	b.status(http.StatusUnprocessableEntity)
	g.acts("retry", j.ID)
	b.has(t, 2)
	if again := g.one("discarded"); again.ID != j.ID || again.Attempt != j.Attempt+1 {
		t.Errorf("it is %+v, and was %+v", again, j)
	}
}

func retryWaiting(t *testing.T, g *gateway, b *backend) {
	j := stored(g, b, http.StatusInternalServerError, "retryable")
	g.acts("retry", j.ID)
	g.one("completed")
	b.has(t, 2)
}

func retryDelivered(t *testing.T, g *gateway, b *backend) {
	j := stored(g, b, http.StatusOK, "completed")
	if got := g.act("retry", j.ID); got.status != http.StatusConflict || !strings.Contains(got.body, "not kept") {
		t.Errorf("answered %d %s", got.status, got.body)
	}
	b.has(t, 1)
	g.one("completed")
}

func cancelWaiting(t *testing.T, g *gateway, b *backend) {
	j := stored(g, b, http.StatusInternalServerError, "retryable")
	g.acts("cancel", j.ID)
	g.one("cancelled")
	b.has(t, 1)
	g.takes(theEvent)
	b.has(t, 2)
	g.one("completed")
}

func retryCancelled(t *testing.T, g *gateway, b *backend) {
	j := stored(g, b, http.StatusInternalServerError, "retryable")
	g.acts("cancel", j.ID)
	if got := g.act("retry", j.ID); got.status != http.StatusConflict || !strings.Contains(got.body, "not kept") {
		t.Errorf("answered %d %s", got.status, got.body)
	}
	g.one("cancelled")
	b.has(t, 1)
}

func cancelHeld(t *testing.T, g *gateway, b *backend) {
	b.refuse()
	g.takes(theEvent)
	j := g.one("running")
	g.acts("cancel", j.ID)
	g.one("cancelled")
	b.back(t)
	b.has(t, 0)
}

func deleteHeld(t *testing.T, g *gateway, b *backend) {
	b.refuse()
	g.takes(theEvent)
	j := g.one("running")
	wait(t, "it is deleted", func() bool { return g.act("delete", j.ID).status == http.StatusOK }) // once it waits
	g.takes(theEvent)
	again := g.one("running")
	b.back(t)
	g.triesAtOnce(func() bool {
		g.act("retry", again.ID) // until it waits in memory
		return len(g.jobs("completed")) == 1
	})
	b.has(t, 1)
}

func deleteDead(t *testing.T, g *gateway, b *backend) {
	j := stored(g, b, http.StatusBadRequest, "discarded")
	g.acts("delete", j.ID)
	if left := g.jobs("discarded"); len(left) > 0 {
		t.Errorf("there is still %+v", left)
	}
	g.takes(theEvent)
	b.has(t, 2)
	g.one("completed")
}

func deleteDelivered(t *testing.T, g *gateway, b *backend) {
	j := stored(g, b, http.StatusOK, "completed")
	g.takes(theEvent)
	b.has(t, 1)
	g.acts("delete", j.ID)
	g.takes(theEvent)
	b.has(t, 2)
}

func pause(t *testing.T, g *gateway, b *backend) {
	queue := "/inbox/api/queues/" + g.name
	put := func(what string) {
		if got := g.operate(http.MethodPut, queue+what, ""); got.status != http.StatusOK {
			t.Fatalf("answered %+v", got)
		}
	}
	wait(t, "the queue is there", func() bool { return g.operate(http.MethodGet, queue, "").status == http.StatusOK })
	sent := 0
	wait(t, "the queue is paused", func() bool {
		put("/pause") // workers that are just starting hear of it a minute later
		sent++
		g.takes(event("contact.create", strconv.Itoa(sent)))
		time.Sleep(500 * time.Millisecond)
		return len(b.got()) < sent
	})
	time.Sleep(time.Second)
	b.has(t, sent-1)
	put("/resume")
	b.has(t, sent)
}

// freshPostgres returns the URL of a database for one test.
func freshPostgres(t testing.TB) string {
	t.Helper()
	const variable = "KLINK_TEST_POSTGRES"
	server := os.Getenv(variable)
	if server == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not set: CI must run these tests on a PostgreSQL server", variable)
		}
		t.Skipf("not run on PostgreSQL: set %s to the postgres:// URL of a server whose user may create databases", variable)
	}
	location, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	name := "klink_ui_" + strings.ToLower(rand.Text())
	onPostgres(t, server, "CREATE DATABASE "+name)
	t.Cleanup(func() { onPostgres(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	location.Path = "/" + name
	return location.String()
}

func onPostgres(t testing.TB, server, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
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
