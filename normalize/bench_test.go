package normalize

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// benchmarkInput is one body to measure.
type benchmarkInput struct {
	name string
	src  []byte
}

// benchmarkInputs are a generated event, all real files beside the project, and bodies made to be slow.
func benchmarkInputs(tb testing.TB) []benchmarkInput {
	random := rand.New(rand.NewPCG(9, 10))
	shuffled := func(n int, key func(k int) string) []byte {
		keys := make([]string, n)
		for k := range keys {
			keys[k] = key(k)
		}
		random.Shuffle(n, func(a, b int) { keys[a], keys[b] = keys[b], keys[a] })
		return objectOf(keys)
	}
	inputs := []benchmarkInput{
		{"event", event(1)},
		{"events_16KB", events(14)},
		{"events_1MB", events(850)},
		{"sorted_16KB", normalForm(tb, events(14))},
		{"sorted_1MB", normalForm(tb, events(850))},
		{"levels_1000", nested(1000)},
		{"levels_9999", nested(9999)},
		{"keys_10000", shuffled(10000, func(k int) string { return fmt.Sprintf("key_%06d", k) })},
		{"keys_10000_common_prefix", shuffled(10000, func(k int) string { return strings.Repeat("p", 100) + fmt.Sprint(k) })},
		{"keys_10000_branches", shuffled(10000, keyMakers["branches"])},
		{"objects_of_48", manyObjects(random, 500, 48)},
		{"objects_of_12", manyObjects(random, 2000, 12)},
		{"escapes", []byte(`{"text":"` + strings.Repeat(`\u4f1a\u8b70\u5ba4\u306f\u307e\u3060`, 2000) + `","id":1}`)},
		{"embedded_json", []byte(`{"text":"` + strings.Repeat(`{\"id\":12,\"name\":\"x\"},\n`, 2000) + `","id":1}`)},
		{"escapes_mixed", []byte(`{"b":"` + strings.Repeat(`\u00e9\/\u003c`, 5000) + `","a":"` + strings.Repeat(`<é`, 5000) + `"}`)},
	}
	var webhooks []byte
	for _, name := range corpusFiles(tb) {
		src := readFile(tb, name)
		if strings.Contains(name, "github-webhooks") {
			webhooks = append(append(webhooks, ','), src...)
			continue
		}
		inputs = append(inputs, benchmarkInput{filepath.Base(name), src})
	}
	webhooks = append(append([]byte(`{"all":[`), webhooks[1:]...), "]}"...)
	return append(inputs, benchmarkInput{"github-webhooks", webhooks})
}

// event returns a body of 1.2 KB such as K-LINK sends.
func event(seed int) []byte {
	return fmt.Appendf(nil, `{"event":"message.inbound","timestamp":"2026-01-09T03:42:%02d.000000Z","data":{`+
		`"id":"9b1deb4d-3b7d-4bad-9bdd-%012d","conversation_id":"1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed",`+
		`"channel":{"type":"whatsapp","id":"6ec0bd7f-11c0-43da-975e-2a8ad9ebae0b","name":"Front desk \u2013 sales"},`+
		`"contact":{"id":"f47ac10b-58cc-4372-a567-0e02b2c3d479","first_name":"Zo\u00eb","last_name":"Nguy\u1ec5n",`+
		`"language":"vi","timezone":"Asia\/Ho_Chi_Minh","email":"zoe.nguyen@example.com","phone":"+84901234567","tags":["vip","returning"],"score":87.5,`+
		`"custom_fields":{"plan":"business","seats":25,"renewal":"2026-11-30","source":"https:\/\/example.com\/signup?a=1&b=2"},`+
		`"created_at":"2025-06-01T08:00:00.000000Z","updated_at":"2026-01-08T22:15:09.000000Z"},`+
		`"message":{"id":"7d444840-9dc0-11d1-b245-5ffdce74fad2","type":"text",`+
		`"text":"Hello,\n\nis the \"large\" room still free next week? We would be 12 people & a dog.\n\nBest regards\nZo\u00eb",`+
		`"attachments":[{"url":"https:\/\/cdn.example.com\/files\/2026\/01\/plan.pdf","mime":"application\/pdf","size":182044}],`+
		`"reply_to":null,"labels":["room booking","follow up"],"delivered_at":null,"read_at":null,"is_private":false,"sent_at":"2026-01-09T03:42:37.000000Z"},"assignee":null}}`, seed%60, seed)
}

// events returns n events in one body.
func events(n int) []byte {
	b := []byte(`{"events":[`)
	for k := range n {
		if k > 0 {
			b = append(b, ',')
		}
		b = append(b, event(k)...)
	}
	return append(b, "]}"...)
}

// nested returns objects inside each other, each out of order.
func nested(levels int) []byte {
	return []byte(strings.Repeat(`{"id":12,"data":`, levels) + "null" + strings.Repeat(`,"at":"now"}`, levels))
}

// manyObjects returns n objects of random members whose keys differ late.
func manyObjects(random *rand.Rand, n, members int) []byte {
	b := []byte(`{"all":[`)
	for k := range n {
		if k > 0 {
			b = append(b, ',')
		}
		keys := make([]string, members)
		for m := range keys {
			keys[m] = fmt.Sprint("attribute_", random.Uint32())
		}
		b = append(b, objectOf(keys)...)
	}
	return append(b, "]}"...)
}

func normalForm(tb testing.TB, src []byte) []byte {
	tb.Helper()
	out, err := AppendJSON(nil, src, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func BenchmarkAppendJSON(b *testing.B) {
	for _, input := range benchmarkInputs(b) {
		b.Run(input.name, func(b *testing.B) {
			b.SetBytes(int64(len(input.src)))
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				var err error
				if dst, err = AppendJSON(dst[:0], input.src, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRatio measures how many times as fast AppendJSON is as encoding/json's round trip. Both take turns and their
// medians are compared, so that the ratio holds on a busy machine, where absolute figures do not.
func BenchmarkRatio(b *testing.B) {
	for _, input := range benchmarkInputs(b) {
		b.Run(input.name, func(b *testing.B) {
			var dst []byte
			var ours, theirs []time.Duration
			for b.Loop() {
				start := time.Now()
				for range 8 {
					var err error
					if dst, err = AppendJSON(dst[:0], input.src, Options{}); err != nil {
						b.Fatal(err)
					}
					now := time.Now()
					ours, start = append(ours, now.Sub(start)), now
				}
				var v any
				if err := json.Unmarshal(input.src, &v); err != nil {
					b.Fatal(err)
				}
				if _, err := json.Marshal(v); err != nil {
					b.Fatal(err)
				}
				theirs = append(theirs, time.Since(start))
			}
			slices.Sort(ours)
			slices.Sort(theirs)
			us, them := ours[len(ours)/2], theirs[len(theirs)/2]
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(them)/float64(us), "times")
			b.ReportMetric(float64(len(input.src))*1e3/float64(us), "MB/s")
			b.ReportMetric(float64(len(input.src))*1e3/float64(them), "MB/s-encoding/json")
		})
	}
}

func BenchmarkAppendQuery(b *testing.B) {
	for _, raw := range []string{"token=abc", "b=2&a=3&b=1&source=klink%20x%2Fy&id=9b1deb4d-3b7d"} {
		b.Run(fmt.Sprint(len(raw)), func(b *testing.B) {
			b.ReportAllocs()
			var dst []byte
			for b.Loop() {
				var err error
				if dst, err = AppendQuery(dst[:0], raw, Options{AllowAmbiguous: true}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestNeverSlow asks for far less than what the benchmarks show: being faster than encoding/json on bodies of every kind,
// those that are made to take long included.
func TestNeverSlow(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector slows this package down, and the standard library not")
	}
	fastest := func(f func() error) time.Duration {
		best := time.Hour
		for range 4 {
			start := time.Now()
			if err := f(); err != nil {
				t.Fatal(err)
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	for _, input := range benchmarkInputs(t) {
		ours := fastest(func() error {
			_, err := AppendJSON(nil, input.src, Options{})
			return err
		})
		theirs := fastest(func() error {
			_, err := referenceJSON(input.src, Options{})
			return err
		})
		if ours > theirs {
			t.Errorf("%s: %v, encoding/json %v", input.name, ours, theirs)
		}
	}
}

// TestBenchmarkInputs sees to it that what is measured is right, and what it is called.
func TestBenchmarkInputs(t *testing.T) {
	for _, input := range benchmarkInputs(t) {
		checkJSON(t, input.src, Options{})
		if strings.HasPrefix(input.name, "sorted") && !bytes.Equal(normalForm(t, input.src), input.src) {
			t.Errorf("%s is not sorted", input.name)
		}
	}
	if n := len(event(0)); n < 1200 || n > 1500 {
		t.Errorf("the event has %d bytes", n)
	}
}
