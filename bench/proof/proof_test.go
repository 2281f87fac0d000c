package main

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klinkgate/caddy-klink/bench/postgres"
)

// short is a run that is over in some seconds. The times are longer in proportion than those of the whole program:
// machines that run tests are busy.
var short = settings{
	events: 200, duration: 10 * time.Second, kills: 2, away: 0.4, scale: 1.0 / 20, seed: 1, healthy: 50, disk: true,
}

// TestProof sends few events, and wants the same of the inboxes as the whole program. It must see that plain
// reverse_proxy loses events, and what a gateway does that lies.
func TestProof(t *testing.T) {
	p, err := newProof(short, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	if os.Getenv(postgres.Variable) == "" {
		p.chosen = slices.DeleteFunc(p.chosen, func(c contender) bool { return c.postgres })
		t.Run("PostgreSQL", missingPostgres)
	}
	if err := p.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Run("all well", func(t *testing.T) { testHealthy(t, p) })
	liar := begin(t, quiet(p), contender{name: "liar", directive: "respond 200"})
	changer := begin(t, quiet(p), contender{name: "changer", directive: "uri query -empty\nreverse_proxy <backend>"})
	var results []func(*testing.T) result
	for _, c := range p.chosen {
		results = append(results, begin(t, p, c))
	}
	t.Run("full disk", func(t *testing.T) { testFullDisk(t, p) })
	t.Run("liar", func(t *testing.T) { testLiar(t, liar(t)) })
	t.Run("changer", func(t *testing.T) { testChanger(t, changer(t)) })
	for i, c := range p.chosen {
		t.Run(c.word(), func(t *testing.T) { testContender(t, c, results[i](t)) })
	}
}

// begin tries a contender beside others, since trials mostly wait. What it returns waits for the result.
func begin(t *testing.T, p *proof, c contender) func(*testing.T) result {
	t.Helper()
	var x result
	var err error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		x, err = p.try(t.Context(), c)
	}()
	t.Cleanup(func() { <-ended })
	return func(t *testing.T) result {
		t.Helper()
		<-ended
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
}

func testContender(t *testing.T, c contender, x result) {
	r := newReport(short)
	r.add(c, x)
	t.Log(r.text())
	if c.inbox() {
		testInbox(t, r)
	} else {
		testPlain(t, r)
	}
}

func missingPostgres(t *testing.T) {
	const remedy = "set " + postgres.Variable + " to the URL of a PostgreSQL whose user may create databases"
	if os.Getenv("CI") == "true" {
		t.Fatal(remedy)
	}
	t.Skip(remedy)
}

func testInbox(t *testing.T, r *report) {
	for _, missed := range r.Missed {
		t.Error(missed)
	}
	if x := r.Results[0]; x.Order.Later == 0 || x.Kills != short.kills {
		t.Errorf("%d events came from the inbox, and the gateway was killed %d times: nothing is proven", x.Order.Later, x.Kills)
	}
}

func testPlain(t *testing.T, r *report) {
	x := r.Results[0]
	if x.Lost == 0 || !x.Deactivated || x.LostUnsent == 0 || x.LostAfter200 > 0 || x.Lost+x.Processed != x.Events {
		t.Error("plain reverse_proxy must lose events, and the endpoint, but none after a 200")
	}
	if x.Altered > 0 || x.Repeats.Unexplained > 0 {
		t.Error("the program sees things that plain reverse_proxy does not do")
	}
	if len(r.Missed) > 0 {
		t.Errorf("of plain reverse_proxy nothing is wanted: %q", r.Missed)
	}
}

// testLiar is about a gateway that answers 200 and does nothing.
func testLiar(t *testing.T, x result) {
	if x.LostAfter200 != x.Events || x.Processed != 0 {
		t.Errorf("%d of %d lost after a 200, %d processed", x.LostAfter200, x.Events, x.Processed)
	}
	wants(t, x, "events lost after a 200", "events lost in all")
}

// testChanger is about a gateway that does not leave the target as it is.
func testChanger(t *testing.T, x result) {
	if x.Altered == 0 || x.Processed != 0 || len(x.Details) != maxChanges || !strings.HasPrefix(x.Details[0], "target is ") {
		t.Errorf("%d altered, %d processed: %q", x.Altered, x.Processed, x.Details)
	}
	wants(t, x, "events lost in all", "requests were not as they had been sent", "the endpoint was deactivated")
}

// quiet is a proof with few events and no trouble.
func quiet(p *proof) *proof {
	q := *p
	q.events, q.duration, q.kills, q.away = 20, time.Second, 0, 0
	return &q
}

// wants says what would be missed if the result were an inbox's.
func wants(t *testing.T, x result, missed ...string) {
	t.Helper()
	r := newReport(short)
	r.want(x.Contender, x)
	if len(r.Missed) != len(missed) {
		t.Errorf("missed %q, want %q", r.Missed, missed)
		return
	}
	for i, text := range missed {
		if !strings.HasSuffix(r.Missed[i], text) {
			t.Errorf("missed %q, want %q", r.Missed[i], text)
		}
	}
}

func testHealthy(t *testing.T, p *proof) {
	latencies, err := p.healthyLatencies(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range p.chosen {
		if l := latencies[c.name]; l.P50.Duration <= 0 || l.P99.Duration < l.P50.Duration || !c.inbox() && l.AddedP50.Duration != 0 {
			t.Errorf("%s: %+v", c.name, l)
		}
	}
}

func testFullDisk(t *testing.T, p *proof) {
	r := newReport(p.settings)
	if err := p.fillDisks(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if len(r.Disk) == 0 {
		t.Skip(p.missing)
	}
	t.Log(r.text())
	for _, missed := range r.Missed {
		t.Error(missed)
	}
}

func TestReportAsJSON(t *testing.T) {
	r := newReport(short)
	r.add(contenders()[1], result{Contender: "rescue, SQLite", Lost: 1, Drained: &seconds{1500 * time.Millisecond}})
	var out bytes.Buffer
	if err := r.write(&out, true); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Scale   float64
		Results []struct {
			Lost    int
			Drained float64
		}
		Missed []string
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Results) != 1 || got.Results[0].Lost != 1 || got.Results[0].Drained != 1.5 || got.Scale != 0.05 || len(got.Missed) != 1 {
		t.Errorf("%s", out.Bytes())
	}
}
