package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/klinkgate/caddy-klink/bench/postgres"
	"github.com/klinkgate/caddy-klink/bench/process"
)

// inboxDirective has the database, the mode, and the proxy.
const inboxDirective = `klink_inbox {
		database %s
		mode %s
		max_stored 100000000 64GiB
		deliver {
			%s
		}
	}`

// database returns the URL of a database for a contender in its own folder.
type database func(dir string) (string, error)

func sqlite(dir string) (string, error) { return "sqlite://" + filepath.Join(dir, "inbox.db"), nil }

// startInbox runs this program again as Caddy, with an inbox behind the pinned gateway and directives that pass on, which
// have the backend. When the backend is away, its address is one that nobody listens on.
func startInbox(mode string, d database, proxy string, away bool) starter {
	return func(p place) (*process.Process, error) {
		url, err := d(p.dir)
		if err != nil {
			return nil, err
		}
		if away {
			p.backend = process.FreeAddress()
		}
		handlers := gatewayPinned + "\n\t" + fmt.Sprintf(inboxDirective, url, mode, fmt.Sprintf(proxy, p.backend))
		return startCaddyfile(p.dir, fmt.Sprintf(caddyfile, p.listen, handlers), p.profile)
	}
}

// measureRescue measures what an inbox costs before a backend that does nothing, and before PHP.
func (b *bench) measureRescue(ctx context.Context) ([]goal, error) {
	goals, err := b.compareRescue(ctx, "a backend that does nothing", b.startBackend, proxy)
	if err != nil {
		return nil, err
	}
	php := findPHP(b.dir)
	if php == nil {
		b.printf("\nrescue before PHP: MISSING, PHP-FPM is not installed (Debian's package php-fpm)\n")
		return goals, nil
	}
	more, err := b.compareRescue(ctx, "PHP-FPM", php.start, php.proxy())
	return append(goals, more...), err
}

// compareRescue loads a gateway with an inbox and one without in turn.
func (b *bench) compareRescue(ctx context.Context, name string, backend backendStarter, proxy string) ([]goal, error) {
	contests, err := b.contest(ctx, backend, []contender{
		{name: "no inbox", start: startCaddyWith(gatewayPinned, proxy), sign: signedForm, verifies: true, unique: true},
		{name: "rescue, SQLite", start: startInbox("rescue", sqlite, proxy, false), sign: signedForm, verifies: true, unique: true},
	}, bodies(1, smallBody))
	if err != nil {
		return nil, err
	}
	b.printContests("An inbox while all is well, before "+name+", every event another one", contests)
	kept := median(ratios(contests[1].samples, contests[0].samples, throughputOf))
	return []goal{{"throughput that rescue costs, " + name, 1 - kept, 0.03}}, nil
}

const (
	storeConnections = 64
	// storeGoal is how many events should be stored in a second.
	storeGoal = 5000
)

// measureStore loads one inbox after the other, not in turns: each goes on delivering what it has stored.
func (b *bench) measureStore(ctx context.Context) ([]goal, error) {
	loaded := *b
	loaded.connections = storeConnections
	databases := map[string]database{"SQLite": sqlite}
	server, err := postgres.Find(ctx, b.dir, false)
	if err == nil {
		defer server.Close()
		databases["PostgreSQL"] = func(string) (string, error) { return server.Create(ctx) }
	} else {
		b.printf("\nstore, PostgreSQL: MISSING, %v\n", err)
	}
	var contests []*contest
	var goals []goal
	for _, name := range []string{"SQLite", "PostgreSQL"} {
		if databases[name] == nil {
			continue
		}
		for _, away := range []bool{false, true} {
			c := contender{name: "store, " + name, start: startInbox("store", databases[name], proxy, away), sign: signedForm, verifies: true, unique: true}
			if away {
				c.name += ", away"
			}
			one, err := loaded.contest(ctx, b.startBackend, []contender{c}, bodies(1, smallBody))
			if err != nil {
				return nil, err
			}
			contests = append(contests, one...)
			rate := median(values(one[0].samples, throughputOf))
			goals = append(goals, goal{fmt.Sprintf("seconds to take %d events, %s", storeGoal, c.name), storeGoal / rate, 1})
		}
	}
	loaded.printStores(contests)
	return goals, nil
}
