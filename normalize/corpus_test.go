package normalize

import (
	"path/filepath"
	"strings"
	"testing"
)

// corpusFiles are real JSON files: webhook bodies, and those that JSON libraries are usually compared on.
func corpusFiles(tb testing.TB) []string {
	return append(sharedFiles(tb, "corpus/*.json"), sharedFiles(tb, "corpus/github-webhooks/*.json")...)
}

func TestJSONTestSuite(t *testing.T) {
	files := sharedFiles(t, "jsontestsuite/test_parsing/*.json")
	if len(files) < 300 {
		t.Fatalf("only %d files of the suite", len(files))
	}
	for _, name := range files {
		src, base := readFile(t, name), filepath.Base(name)
		_, err := AppendJSON(nil, src, Options{AllowAmbiguous: true})
		if strings.HasPrefix(base, "y_") && err != nil || strings.HasPrefix(base, "n_") && err == nil {
			t.Errorf("%s: %v", base, err)
		}
		for _, o := range allOptions() {
			checkJSON(t, src, o)
		}
	}
}

func TestJSONCorpus(t *testing.T) {
	files := corpusFiles(t)
	if len(files) < 30 {
		t.Fatalf("only %d files", len(files))
	}
	for _, name := range files {
		src := readFile(t, name)
		for _, o := range []Options{{}, {AllowAmbiguous: true}, {NoHTMLEscape: true, RawNumbers: true, LongEscapes: true}} {
			checkJSON(t, src, o)
		}
	}
}
