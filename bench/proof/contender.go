package main

import (
	"fmt"
	"strings"
	"time"
)

// contender is one way to stand between klink_webhook and a backend.
type contender struct {
	name      string
	directive string // with angle brackets for what is put in
	mode      string // of klink_inbox; "" without one
	postgres  bool
}

func contenders() []contender {
	return []contender{
		{name: "plain reverse_proxy", directive: "reverse_proxy <backend>"},
		{name: "rescue, SQLite", directive: inboxDirective, mode: "rescue"},
		{name: "store, SQLite", directive: inboxDirective, mode: "store"},
		{name: "rescue, PostgreSQL", directive: inboxDirective, mode: "rescue", postgres: true},
		{name: "store, PostgreSQL", directive: inboxDirective, mode: "store", postgres: true},
	}
}

func (c contender) inbox() bool { return c.mode != "" }

// word is the name as it is written in a flag: rescue-sqlite.
func (c contender) word() string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(c.name), ",", ""), " ", "-")
}

func words() string {
	all := contenders()
	names := make([]string, len(all))
	for i, c := range all {
		names[i] = c.word()
	}
	return strings.Join(names, ", ")
}

// chosen returns the contenders that a flag names, all of them without any.
func chosen(list string) ([]contender, error) {
	if list == "" {
		return contenders(), nil
	}
	var some []contender
	for word := range strings.SplitSeq(list, ",") {
		c, ok := named(strings.TrimSpace(word))
		if !ok {
			return nil, fmt.Errorf("no contender %q: name any of %s", word, words())
		}
		some = append(some, c)
	}
	return some, nil
}

func named(word string) (contender, bool) {
	for _, c := range contenders() {
		if c.word() == word {
			return c, true
		}
	}
	return contender{}, false
}

// concurrency is how many deliveries the inbox makes at once.
const concurrency = 8

const secret = "a-secret-for-the-proof-only-0123456789"

// inboxName is the label of the inbox's metrics.
const inboxName = "proof"

// caddyfile is what every contender runs with. What is in angle brackets is put in.
const caddyfile = `{
	admin off
	auto_https off
	persist_config off
	grace_period 1s
	storage file_system "<dir>/storage"
	log {
		level WARN
	}
}

http://<listen> {
	bind 127.0.0.1
	route {
		klink_webhook {
			allow 127.0.0.1
			hmac <secret> {
				url full
				body go
			}
		}
		<passes on>
	}
}

http://<metrics> {
	bind 127.0.0.1
	metrics
}
`

// The times are the defaults, or the examples, at the scale of the run.
const inboxDirective = `klink_inbox {
			name <inbox>
			database <database>
			mode <mode>
			deadline <8s>
			retry <5s> <30s> <2m> <10m> <1h>
			give_up <72h>
			timeout <60s>
			concurrency <concurrency>
			dedupe <24h>
			retention <168h>
			deliver {
				reverse_proxy <backend>
			}
		}`

// place is where a contender runs.
type place struct {
	dir, listen, metrics, backend, database string
	scale                                   scale
}

// caddyfile returns the contender's configuration.
func (c contender) caddyfile(p place) string {
	text := strings.ReplaceAll(caddyfile, "<passes on>", c.directive)
	for _, name := range []string{"8s", "5s", "30s", "2m", "10m", "1h", "72h", "60s", "24h", "168h"} {
		d, _ := time.ParseDuration(name) // these can be parsed
		text = strings.ReplaceAll(text, "<"+name+">", p.scale.of(d).String())
	}
	return strings.NewReplacer(
		"<dir>", p.dir, "<listen>", p.listen, "<metrics>", p.metrics, "<backend>", p.backend, "<secret>", secret,
		"<inbox>", inboxName, "<database>", p.database, "<mode>", c.mode, "<concurrency>", fmt.Sprint(concurrency),
	).Replace(text)
}
