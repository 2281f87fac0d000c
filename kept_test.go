package klink

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestHeaderNamesAreTheFirstInOrder(t *testing.T) {
	header := http.Header{}
	for i := range 100 {
		header[fmt.Sprintf("X-%02d", i)] = nil
	}
	names := headerNames(header)
	if len(names) != keptHeaderNames || !slices.IsSorted(names) || names[0] != "X-00" || names[31] != "X-31" {
		t.Errorf("%d names: %v", len(names), names)
	}
	if names := headerNames(http.Header{strings.Repeat("X", 1000): nil}); len(names) != 1 || len(names[0]) != 64 {
		t.Errorf("a long name: %v", names)
	}
}

// A refusal is kept for as long as the process runs, so it must not hold on to
// the request.
func TestHeaderNamesHoldNothingElse(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var kept [][]string
	for range keptRefusals {
		header := http.Header{}
		for i := range 10000 {
			header[fmt.Sprintf("X-%d", i)] = nil
		}
		kept = append(kept, headerNames(header))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 1<<20 {
		t.Errorf("%d lists of names hold %d bytes", len(kept), grown)
	}
	runtime.KeepAlive(kept)
}
