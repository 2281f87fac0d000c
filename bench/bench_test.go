package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klinkgate/caddy-klink/bench/postgres"
)

// TestMain lets the program start itself for its roles from a test too.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		exit(play(role, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// TestRun makes all measurements with the contenders that need nothing but Go, too briefly to say anything.
func TestRun(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("CPU times and memory come from Linux's /proc")
	}
	t.Setenv("GORACE", "atexit_sleep_ms=0") // the race detector's processes end without a pause
	s := settings{
		rounds: 1, duration: 100 * time.Millisecond, warmup: 10 * time.Millisecond, connections: 4,
		held: 8, heldRuns: 1, only: "gateway-pinned,gateway-auto,naive-handler", profiles: t.TempDir(), skip: "rescue,store",
	}
	var out bytes.Buffer
	if err := run(t.Context(), s, &out); err != nil {
		t.Fatal(err)
	}
	report := out.String()
	t.Log(report)
	for _, name := range []string{plainName, gatewayName, "gateway, auto", "naive handler"} {
		row := regexp.MustCompile(`(?m)^\| ` + name + ` .*\|\s+0 \|$`) // failed: 0
		if n := len(row.FindAllString(report, -1)); n != 3 {
			t.Errorf("%s has %d rows without failures, not 3", name, n)
		}
	}
	if n := strings.Count(report, "| met ") + strings.Count(report, "| MISSED "); n != 7 {
		t.Errorf("%d targets, not 7", n)
	}
	if strings.Contains(report, "NaN") || strings.Contains(report, "Inf") {
		t.Error("a figure is no number")
	}
}

// TestInbox loads every inbox that there is here, too briefly to say anything.
func TestInbox(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("CPU times and memory come from Linux's /proc")
	}
	t.Setenv("GORACE", "atexit_sleep_ms=0")
	s := settings{
		rounds: 2, duration: 100 * time.Millisecond, warmup: 10 * time.Millisecond, connections: 4,
		held: 1, heldRuns: 1, skip: "1KB,64KB,held,handler",
	}
	var out bytes.Buffer
	if err := run(t.Context(), s, &out); err != nil {
		t.Fatal(err)
	}
	report := out.String()
	t.Log(report)
	ci := os.Getenv("CI") == "true"
	rows := map[string]int{"no inbox": 1, "rescue, SQLite": 1, "store, SQLite": 1, "store, SQLite, away": 1}
	if ci || findPHP("") != nil {
		rows["no inbox"], rows["rescue, SQLite"] = 2, 2
	}
	if ci || os.Getenv(postgres.Variable) != "" {
		rows["store, PostgreSQL"], rows["store, PostgreSQL, away"] = 1, 1
	}
	for name, want := range rows {
		row := regexp.MustCompile(`(?m)^\| ` + name + ` +\|.*\|\s+0 \|$`) // failed: 0
		if n := len(row.FindAllString(report, -1)); n != want {
			t.Errorf("%s has %d rows without failures, not %d", name, n, want)
		}
	}
}

// TestStamperNeverRepeats holds what it sends against what it signs.
func TestStamperNeverRepeats(t *testing.T) {
	s := newStamper("127.0.0.1:1", webhookPath)
	seen := map[string]bool{}
	for range 100 {
		head, body, _ := bytes.Cut(s.next(), []byte("\r\n\r\n"))
		signature, err := signedForm("127.0.0.1:1", webhookPath, body)
		if err != nil || !bytes.Contains(head, []byte("X-Signature: "+signature)) {
			t.Fatalf("not signed with %s, %v: %s", signature, err, head)
		}
		if seen[string(body)] || len(body) != len(event(0, smallBody)) {
			t.Fatalf("an event comes again, or has changed its length: %s", body)
		}
		seen[string(body)] = true
	}
}

// TestAbuse makes one kind of bad traffic, briefly.
func TestAbuse(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("memory comes from Linux's /proc")
	}
	s := settings{
		rounds: 1, duration: time.Second, warmup: 10 * time.Millisecond, connections: 4, held: 8, heldRuns: 1,
		abuse: true, abuseFor: 200 * time.Millisecond, addresses: 100, slow: 4, endpoints: 3, only: "every reason",
	}
	var out bytes.Buffer
	if err := run(t.Context(), s, &out); err != nil {
		t.Fatal(err)
	}
	t.Log(out.String())
	if rows := regexp.MustCompile(`(?m)^\| every reason .*\|\s+0 \|\s+[1-9]\d* \|\s+0 \|`).FindAllString(out.String(), -1); len(rows) != 1 {
		t.Errorf("%d rows with nothing wrong, deliveries, and none lost", len(rows))
	}
}

func TestEventSize(t *testing.T) {
	for _, size := range []int{largeBody, heldBody} {
		for seed := range 100 {
			if n := len(event(seed, size)); n != size {
				t.Errorf("event(%d, %d) has %d bytes", seed, size, n)
			}
		}
	}
	if n := len(event(1, smallBody)); n < 1000 || n > 1400 {
		t.Errorf("the small event has %d bytes", n)
	}
}

func TestQuantile(t *testing.T) {
	for _, c := range []struct {
		values  []float64
		q, want float64
	}{
		{nil, 0.5, 0},
		{[]float64{7}, 0.99, 7},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{4, 1, 2, 3}, 0.5, 2.5},
		{[]float64{1, 2, 3, 4, 5}, 0.25, 2},
		{[]float64{1, 2, 3, 4, 5}, 1, 5},
	} {
		if got := quantile(c.values, c.q); got != c.want {
			t.Errorf("quantile(%v, %v) = %v, not %v", c.values, c.q, got, c.want)
		}
	}
}

// BenchmarkHandler is the handler alone, for profiles.
func BenchmarkHandler(b *testing.B) {
	handlers, stop, err := provisioned()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(stop)
	for _, size := range []int{smallBody, largeBody} {
		c, err := newCall(event(1, size))
		if err != nil {
			b.Fatal(err)
		}
		benchmark := func(name string, call func() error) {
			b.Run(fmt.Sprintf("%d/%s", size, name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := call(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		benchmark("pooled HMAC", c.sign)
		for _, h := range handlers {
			benchmark(h.name, func() error { return c.serve(h.handler) })
		}
	}
}
