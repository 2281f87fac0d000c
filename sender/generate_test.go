package sender_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/klinkgate/caddy-klink/normalize"
	"github.com/klinkgate/caddy-klink/sender"
)

const manyEvents = 2000

func TestEqualSeedsGiveEqualEvents(t *testing.T) {
	g := must(sender.NewGenerator(1))(t)
	var events []byte
	for n := range 4 {
		events = append(append(events, g.Event(n).Body...), '\n')
	}
	golden := must(os.ReadFile(filepath.Join("testdata", "events.jsonl")))(t)
	if !bytes.Equal(events, golden) {
		t.Errorf("the events of seed 1 have changed:\n%s\nwant\n%s", events, golden)
	}
	if other := must(sender.NewGenerator(2))(t).Event(0); bytes.Equal(other.Body, g.Event(0).Body) {
		t.Error("another seed gives the same event")
	}
}

func TestEventsComeInTurn(t *testing.T) {
	for _, tt := range []struct {
		kinds []string
		want  string
	}{
		{nil, "contact.create contact.update message.inbound message.outbound contact.create"},
		{[]string{"message.inbound"}, strings.TrimSpace(strings.Repeat("message.inbound ", 5))},
		{[]string{"message.outbound", "contact.update"}, "message.outbound contact.update message.outbound contact.update message.outbound"},
	} {
		g := must(sender.NewGenerator(1, tt.kinds...))(t)
		var got []string
		for n := range 5 {
			e := g.Event(n)
			got = append(got, e.Name)
			if again := sender.ReadEvent(e.Body); again.Name != e.Name {
				t.Errorf("the body of %s says %q", e.Name, again.Name)
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%q: %s, want %s", tt.kinds, got, tt.want)
		}
	}
	if _, err := sender.NewGenerator(1, "contact.delete"); err == nil || !strings.Contains(err.Error(), "name any of contact.create, contact.update") {
		t.Errorf("an unknown kind: %v", err)
	}
}

// TestEventsAreWhatASenderWrites holds every event against what is known of the vendor's.
func TestEventsAreWhatASenderWrites(t *testing.T) {
	stamp := regexp.MustCompile(`^2026-01-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$`)
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	g := must(sender.NewGenerator(3))(t)
	bodies := map[string]bool{}
	for n := range manyEvents {
		body := g.Event(n).Body
		bodies[string(body)] = true
		if _, err := normalize.AppendJSON(nil, body, normalize.Options{}); err != nil {
			t.Fatalf("event %d: %v", n, err)
		}
		var envelope struct {
			Event, Timestamp string
			Data             map[string]any
		}
		if err := json.Unmarshal(body, &envelope); err != nil {
			t.Fatal(err)
		}
		if !stamp.MatchString(envelope.Timestamp) {
			t.Fatalf("event %d: time stamp %q", n, envelope.Timestamp)
		}
		id, _ := envelope.Data["id"].(string)
		if !uuid.MatchString(id) {
			t.Fatalf("event %d: id %q", n, id)
		}
		if !bytes.HasPrefix(body, []byte(`{"event":"`)) || bytes.ContainsFunc(body, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Fatalf("event %d is not written as PHP writes: %s", n, body)
		}
	}
	// PHP writes an empty object as the empty array that it is there.
	empty := 0
	for body := range bodies {
		if strings.Contains(body, `"custom_fields":[]`) {
			empty++
		}
		if strings.Contains(body, "{}") {
			t.Fatalf("PHP does not write {}: %s", body)
		}
	}
	if empty == 0 {
		t.Error("no event has an empty object")
	}
	if len(bodies) != manyEvents {
		t.Errorf("%d different events of %d", len(bodies), manyEvents)
	}
}

// TestPHPWritesTheSame has PHP read and write the events: not a byte may change.
func TestPHPWritesTheSame(t *testing.T) {
	php, err := exec.LookPath("php")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("php is missing: install php-cli")
		}
		t.Skip("php is missing: install php-cli to run this test")
	}
	g := must(sender.NewGenerator(5))(t)
	var events bytes.Buffer
	for n := range manyEvents {
		events.Write(append(g.Event(n).Body, '\n'))
	}
	cmd := exec.Command(php, "-d", "serialize_precision=-1", "-r",
		`while (($line = fgets(STDIN)) !== false) echo json_encode(json_decode($line)), "\n";`)
	cmd.Stdin = bytes.NewReader(events.Bytes())
	got := must(cmd.Output())(t)
	wantLines, gotLines := bytes.Split(events.Bytes(), []byte("\n")), bytes.Split(got, []byte("\n"))
	if len(wantLines) != len(gotLines) {
		t.Fatalf("%d lines of %d", len(gotLines), len(wantLines))
	}
	for n := range wantLines {
		if !bytes.Equal(wantLines[n], gotLines[n]) {
			t.Fatalf("event %d\n ours %s\nPHP's %s", n, wantLines[n], gotLines[n])
		}
	}
}

func TestReadEvent(t *testing.T) {
	for body, want := range map[string]string{
		`{"data":{"event":"inner"},"event":"contact\u002ecreate"}`: "contact.create",
		`{"data":{}}`: "",
		`no JSON`:     "",
		``:            "",
	} {
		e := sender.ReadEvent([]byte(body))
		if e.Name != want || string(e.Body) != body {
			t.Errorf("%s: %q with body %q", body, e.Name, e.Body)
		}
	}
}
