package normalize

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// allOptions are all combinations of the named variants.
func allOptions() []Options {
	var all []Options
	for bits := range 16 {
		all = append(all, Options{
			AllowAmbiguous: bits&1 != 0,
			NoHTMLEscape:   bits&2 != 0,
			RawNumbers:     bits&4 != 0,
			LongEscapes:    bits&8 != 0,
		})
	}
	return all
}

// referenceJSON is what the standard library makes of src.
func referenceJSON(src []byte, o Options) ([]byte, error) {
	if !json.Valid(src) {
		return nil, errors.New("not valid")
	}
	d := json.NewDecoder(bytes.NewReader(src))
	if o.RawNumbers {
		d.UseNumber()
	}
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(!o.NoHTMLEscape)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	out := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if o.LongEscapes {
		out = lengthen(out)
	}
	return out, nil
}

// lengthen writes \b and \f of a JSON text as Go before 1.22 did.
func lengthen(text []byte) []byte {
	var out []byte
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			out = append(out, text[i])
			continue
		}
		i++
		switch text[i] {
		case 'b':
			out = append(out, `\u0008`...)
		case 'f':
			out = append(out, `\u000c`...)
		default:
			out = append(out, '\\', text[i])
		}
	}
	return out
}

// ambiguousJSON reports whether a text that encoding/json accepts has more than one reading.
func ambiguousJSON(src []byte) bool {
	if !utf8.Valid(src) || !bytes.HasPrefix(bytes.TrimLeft(src, " \t\r\n"), []byte("{")) {
		return true
	}
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	return repeatsKey(d)
}

// repeatsKey reads one value and reports whether an object in it repeats a key.
func repeatsKey(d *json.Decoder) bool {
	token, err := d.Token()
	if err != nil {
		panic(err)
	}
	open, _ := token.(json.Delim)
	if open == 0 {
		return false
	}
	repeats, seen := false, map[string]bool{}
	for d.More() {
		if open == '{' {
			key, err := d.Token()
			if err != nil {
				panic(err)
			}
			repeats = repeats || seen[key.(string)]
			seen[key.(string)] = true
		}
		repeats = repeatsKey(d) || repeats
	}
	if _, err := d.Token(); err != nil && err != io.EOF {
		panic(err)
	}
	return repeats
}

// checkJSON compares AppendJSON with the reference under o: verdict, kind of error and bytes.
func checkJSON(t *testing.T, src []byte, o Options) {
	t.Helper()
	before := bytes.Clone(src)
	want, wantErr := referenceJSON(src, o)
	ambiguous := wantErr == nil && !o.AllowAmbiguous && ambiguousJSON(src)
	got, err := AppendJSON([]byte("kept "), src, o)
	if !bytes.Equal(src, before) {
		t.Fatalf("%+v %q: the input was modified", o, before)
	}
	rest, found := bytes.CutPrefix(got, []byte("kept "))
	if !found {
		t.Fatalf("%+v %q: what dst held is gone: %q", o, short(src), short(got))
	}
	if (err != nil) != (wantErr != nil || ambiguous) {
		t.Fatalf("%+v %q: error %v; encoding/json: %v, ambiguous: %v", o, short(src), err, wantErr, ambiguous)
	}
	if err != nil {
		checkError(t, err, len(src), ambiguous)
		if len(rest) != 0 {
			t.Fatalf("%+v %q: an error and %q", o, short(src), short(rest))
		}
		return
	}
	if !bytes.Equal(rest, want) {
		t.Fatalf("%+v\n in %q\ngot %q\nnot %q", o, short(src), short(rest), short(want))
	}
	again, err := AppendJSON(nil, rest, o)
	if err != nil || !bytes.Equal(again, rest) {
		t.Fatalf("%+v: the normal form %q is not its own normal form: %q, %v", o, short(rest), short(again), err)
	}
}

func checkError(t *testing.T, err error, size int, ambiguous bool) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("error of type %T", err)
	}
	if e.Offset < 0 || e.Offset > size || e.Message == "" || e.Ambiguous != ambiguous {
		t.Fatalf("%#v; ambiguous: %v", e, ambiguous)
	}
	if want := fmt.Sprintf("offset %d: %s", e.Offset, e.Message); e.Error() != want {
		t.Fatalf("%q, not %q", e.Error(), want)
	}
}

// referenceQuery is what net/url and fmt make of raw.
func referenceQuery(raw string) (string, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return "", err
	}
	var parts []string
	for key := range values {
		slices.Sort(values[key])
	}
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		parts = append(parts, key+"="+fmt.Sprint(values[key]))
	}
	return strings.Join(parts, "&"), nil
}

// ambiguousQuery reports whether a query that url.ParseQuery accepts has more than one reading.
func ambiguousQuery(raw string) bool {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return false
	}
	for key, all := range values {
		if strings.Contains(key, "=[") || strings.ContainsAny(strings.Join(all, ""), " ]") {
			return true
		}
	}
	return false
}

// checkQuery compares AppendQuery with the reference: verdict, kind of error and bytes.
func checkQuery(t *testing.T, raw string, o Options) {
	t.Helper()
	want, wantErr := referenceQuery(raw)
	ambiguous := wantErr == nil && !o.AllowAmbiguous && ambiguousQuery(raw)
	got, err := AppendQuery([]byte("kept "), raw, o)
	if (err != nil) != (wantErr != nil || ambiguous) {
		t.Fatalf("%+v %q: error %v; net/url: %v, ambiguous: %v", o, raw, err, wantErr, ambiguous)
	}
	if err != nil {
		checkError(t, err, len(raw), ambiguous)
		want = ""
	}
	if string(got) != "kept "+want {
		t.Fatalf("%+v\n in %q\ngot %q\nnot %q", o, raw, got, want)
	}
}

// short makes long inputs printable.
func short(b []byte) []byte {
	if len(b) > 2000 {
		return append(b[:2000:2000], "..."...)
	}
	return b
}

// sharedFiles returns the files that match pattern in the folder of test data beside the project. Without any, the test
// is skipped, but never in CI.
func sharedFiles(tb testing.TB, pattern string) []string {
	tb.Helper()
	files := globShared(tb, pattern)
	if len(files) == 0 {
		if os.Getenv("CI") != "" {
			tb.Fatalf("CI needs ../shared/%s beside the project, and there is nothing", pattern)
		}
		tb.Skipf("not tested: there is no ../shared/%s beside the project", pattern)
	}
	return files
}

func globShared(tb testing.TB, pattern string) []string {
	tb.Helper()
	root, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for !isFile(filepath.Join(root, "go.mod")) {
		if filepath.Dir(root) == root {
			tb.Fatal("no go.mod above the test's folder")
		}
		root = filepath.Dir(root)
	}
	files, err := filepath.Glob(filepath.Join(root, "..", "shared", pattern))
	if err != nil {
		tb.Fatal(err)
	}
	return files
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

func readFile(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
