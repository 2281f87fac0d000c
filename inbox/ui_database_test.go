package inbox_test

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestUIFindsTheInbox holds which database the page shows. It is not run beside
// other tests, whose inboxes would be among those to choose from.
func TestUIFindsTheInbox(t *testing.T) {
	inboxAt := func(name, database string) string {
		return "route /" + name + " {\nklink_webhook {\nname " + name + "\nhmac " + secret + "\n}\nklink_inbox {\nname " + name + "\ndatabase " + database +
			"\ndeliver {\nrespond 200\n}\n}\n}\n"
	}
	page := func(option string) string {
		return basicAuth + "\nklink_inbox_ui /inbox {\n" + option + "\n}\n"
	}
	for _, test := range []struct {
		name, site, want string
		status           int
	}{
		{"the only one", inboxAt("a", "sqlite://{dir}/a.db") + page(""), `"data"`, 200},
		{"any of those with one database", inboxAt("a", "sqlite://{dir}/a.db") + inboxAt("b", "sqlite://{dir}/a.db") + page(""), `"data"`, 200},
		{"one by name", inboxAt("a", "sqlite://{dir}/a.db") + inboxAt("b", "sqlite://{dir}/b.db") + page("inbox b"), `"data"`, 200},
		{"several", inboxAt("a", "sqlite://{dir}/a.db") + inboxAt("b", "sqlite://{dir}/b.db") + page(""), "choose one with inbox <name>", 404},
		{"none", page(""), "there is no inbox: the configuration has no klink_inbox", 404},
		{"another", inboxAt("a", "sqlite://{dir}/a.db") + page("inbox b"), "there is no inbox b", 404},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := startSite(t, shortTempDir(t), newBackend(t), test.site)
			got := g.operate(http.MethodGet, "/inbox/api/queues", "")
			if got.status != test.status || !strings.Contains(got.body, test.want) {
				t.Errorf("answered %d %s, want %d %s", got.status, got.body, test.status, test.want)
			}
		})
	}
}

// TestUISurvivesReloads holds that the page goes on with the next configuration,
// whether that has another database or the same.
func TestUISurvivesReloads(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	dir := shortTempDir(t)
	site := func(database string) string {
		return webhookWith("mode store\ndatabase sqlite://{dir}/"+database) + pageAt("/inbox", basicAuth)
	}
	g := startSite(t, dir, b, site("a.db"))
	g.deliver(theEvent)
	g.one("completed")
	for _, c := range []struct {
		database string
		jobs     int
	}{{"a.db", 1}, {"b.db", 0}, {"a.db", 1}} {
		next := startSite(t, dir, b, site(c.database))
		g.stop()
		g = next
		wait(t, "the page is there again", func() bool { return g.operate(http.MethodGet, "/inbox/api/queues", "").status == http.StatusOK })
		if got := len(g.jobs("completed")); got != c.jobs {
			t.Errorf("%s: the page shows %d events, want %d", c.database, got, c.jobs)
		}
	}
}

// TestUIWaitsForDatabase holds that the page says so while PostgreSQL is not
// there, and is there when that is, without a reload.
func TestUIWaitsForDatabase(t *testing.T) {
	t.Parallel()
	server, err := url.Parse(freshPostgres(t))
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	there := server.Host
	server.Host = address
	g := startUI(t, newBackend(t), "database "+server.String())
	if got := g.operate(http.MethodGet, "/inbox/", ""); got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "database is not available") {
		t.Fatalf("answered %d %s", got.status, got.body)
	}
	forward(t, address, func() (net.Conn, error) { return net.Dial("tcp", there) })
	wait(t, "the page is there", func() bool { return g.operate(http.MethodGet, "/inbox/api/queues", "").status == http.StatusOK })
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// forward passes connections on to another server until the test ends.
func forward(t *testing.T, from string, dial func() (net.Conn, error)) {
	t.Helper()
	listener, err := net.Listen("tcp", from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := dial()
			if err != nil {
				in.Close()
				continue
			}
			pass := func(to, from net.Conn) {
				io.Copy(to, from)
				to.Close()
			}
			go pass(in, out)
			go pass(out, in)
		}
	}()
}
