package normalize

import (
	"bytes"
	"strings"
	"sync"
	"testing"
)

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools allocate")
	}
	for _, input := range benchmarkInputs(t) {
		dst := make([]byte, 0, 2*len(input.src))
		for range 3 {
			dst, _ = AppendJSON(dst[:0], input.src, Options{})
		}
		if n := testing.AllocsPerRun(20, func() { dst, _ = AppendJSON(dst[:0], input.src, Options{}) }); n != 0 {
			t.Errorf("%s: %v allocations", input.name, n)
		}
	}
	dst := make([]byte, 0, 1000)
	for _, raw := range []string{"", "token=abc", "b=2&a=3&b=1&source=x%2Fy+&a", strings.Repeat("a=1&b=2&", 40)} {
		allow := Options{AllowAmbiguous: true}
		if n := testing.AllocsPerRun(100, func() { dst, _ = AppendQuery(dst[:0], raw, allow) }); n != 0 {
			t.Errorf("%q: %v allocations", raw, n)
		}
	}
}

// TestScratchIsBounded sees to it that scratch space grows in proportion to the input, whatever it holds, and that what
// a large input needed is not kept.
func TestScratchIsBounded(t *testing.T) {
	for name, makeText := range map[string]func(n int) string{
		"members":       func(n int) string { return `{"b":0` + strings.Repeat(`,"":0`, n/5) + `}` },
		"coded members": func(n int) string { return `{"b":0` + strings.Repeat(`,"\u0000":0`, n/11) + `}` },
		"objects":       func(n int) string { return `[` + strings.Repeat(`{"b":0,"a":0},`, n/14) + `0]` },
		"levels": func(n int) string {
			k := min(n/15, maxDepth)
			return strings.Repeat(`{"b":0,"a":`, k) + "0" + strings.Repeat("}", k)
		},
		"growth":  func(n int) string { return `["` + strings.Repeat("<", n) + `"]` },
		"numbers": func(n int) string { return `[` + strings.Repeat("1e20,", n/5) + `0]` },
	} {
		src := []byte(makeText(1 << 20))
		s := &scanner{src: src, opts: Options{AllowAmbiguous: true}}
		end := s.scan()
		if err := s.verdict(); err != nil {
			t.Fatal(name, err)
		}
		out := s.emit(nil, s.compacted(end))
		if n := s.scratchBytes(); n > 30*len(src) {
			t.Errorf("%s: %d bytes of scratch for %d of input", name, n, len(src))
		}
		if len(out) > 6*len(src) {
			t.Errorf("%s: %d bytes became %d", name, len(src), len(out))
		}
		s.giveBack()
		if n := s.scratchBytes(); n > 20<<20 || s.src != nil {
			t.Errorf("%s: %d bytes of scratch are kept", name, n)
		}
	}
}

// scratchBytes returns about how much memory s holds.
func (s *scanner) scratchBytes() int {
	return cap(s.buf) + cap(s.keys) + 24*cap(s.frames) + 32*cap(s.members) + 20*cap(s.objects) + 12*cap(s.runs) +
		20*cap(s.levels) + 16*cap(s.sorter.words) + 16*cap(s.sorter.spare) + 12*cap(s.sorter.groups)
}

// TestEmittedOnce counts what is noted to be moved when objects are out of order on every level: a fixed number of
// stretches for each of them, and nothing twice. Members that move each time an object around them closes would take
// quadratic time.
func TestEmittedOnce(t *testing.T) {
	for _, levels := range []int{10, 1000, 9999} {
		src := nested(levels)
		s := &scanner{src: src}
		end := s.scan()
		if err := s.verdict(); err != nil {
			t.Fatal(err)
		}
		text := s.compacted(end)
		if n := len(s.emit(nil, text)); n != len(text) {
			t.Errorf("%d levels: %d bytes became %d", levels, len(text), n)
		}
		if len(s.objects) != levels || len(s.runs) != 3*levels {
			t.Errorf("%d levels: %d objects, %d runs", levels, len(s.objects), len(s.runs))
		}
	}
}

// TestNormalInputIsCopied sees to it that what is normal already is neither compacted nor put in order.
func TestNormalInputIsCopied(t *testing.T) {
	for _, row := range protocolTable {
		src := []byte(row.out)
		s := &scanner{src: src, opts: Options{AllowAmbiguous: true}}
		text := s.compacted(s.scan())
		if len(s.buf) != 0 || len(s.objects) != 0 || len(s.runs) != 0 || &text[0] != &src[0] {
			t.Errorf("%s: %s is not recognised as normal", row.what, src)
		}
	}
}

// TestConcurrent lets calls share scratch space, for the race detector to watch.
func TestConcurrent(t *testing.T) {
	var group sync.WaitGroup
	for k := range 4 {
		group.Go(func() {
			src := event(k)
			want, err := referenceJSON(src, Options{})
			if err != nil {
				t.Error(err)
			}
			for range 200 {
				got, err := AppendJSON(nil, src, Options{})
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s, %v", got, err)
				}
				query, err := AppendQuery(nil, "b=2&a=1&b=1", Options{})
				if err != nil || string(query) != "a=[1]&b=[1 2]" {
					t.Errorf("%s, %v", query, err)
				}
			}
		})
	}
	group.Wait()
}

func TestTooLong(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector would touch all of the memory")
	}
	_, err := AppendJSON(nil, make([]byte, maxInput+1), Options{})
	if err == nil || err.Error() != "offset 536870912: longer than 512 MiB" {
		t.Error(err)
	}
}
