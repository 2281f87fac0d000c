package normalize

import (
	"os"
	"testing"
)

// addTexts seeds a fuzz test with the tables of this package and the suite beside the project, if it is there.
func addTexts(f *testing.F, add func(src []byte)) {
	for _, row := range protocolTable {
		add([]byte(row.in))
	}
	for _, row := range ambiguousTable {
		add([]byte(row.in))
	}
	for _, row := range malformedTable {
		add([]byte(row.in))
	}
	for _, name := range globShared(f, "jsontestsuite/test_parsing/*.json") {
		if info, err := os.Stat(name); err == nil && info.Size() < 1000 {
			add(readFile(f, name))
		}
	}
}

// FuzzJSON compares verdicts and bytes with encoding/json's, with and without ambiguous texts.
func FuzzJSON(f *testing.F) {
	addTexts(f, func(src []byte) { f.Add(src) })
	f.Fuzz(func(t *testing.T, src []byte) {
		checkJSON(t, src, Options{AllowAmbiguous: true})
		checkJSON(t, src, Options{})
	})
}

// FuzzJSONVariants does the same for all combinations of options.
func FuzzJSONVariants(f *testing.F) {
	all := allOptions()
	addTexts(f, func(src []byte) { f.Add(src, byte(len(src))) })
	f.Fuzz(func(t *testing.T, src []byte, bits byte) {
		checkJSON(t, src, all[bits%16])
	})
}

// FuzzQuery compares verdicts and bytes with net/url's and fmt's.
func FuzzQuery(f *testing.F) {
	for _, row := range queryTable {
		f.Add(row.in)
	}
	for _, row := range refusedQueries {
		f.Add(row.in)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		checkQuery(t, raw, Options{AllowAmbiguous: true})
		checkQuery(t, raw, Options{})
	})
}
