package normalize

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// readBack takes the string to sign after method and URL apart again: the query's parameters, and the body's value. It
// tries every reading there could be, and fails unless there is exactly one.
func readBack(text string) (url.Values, any, error) {
	var params url.Values
	var body any
	readings := 0
	for cut := 0; cut <= len(text); cut++ {
		if !strings.HasPrefix(text[cut:], "{") {
			continue
		}
		query, ok := readQuery(text[:cut])
		if !ok {
			continue
		}
		var value map[string]any
		if json.Unmarshal([]byte(text[cut:]), &value) != nil || value == nil {
			continue
		}
		params, body = query, value
		readings++
	}
	if readings != 1 {
		return nil, nil, errors.New("not exactly one reading")
	}
	return params, body, nil
}

// readQuery reads key=[v1 v2]&key2=[v].
func readQuery(text string) (url.Values, bool) {
	values := url.Values{}
	for text != "" {
		key, rest, found := strings.Cut(text, "=[")
		inside, rest, closed := strings.Cut(rest, "]")
		if !found || !closed || values[key] != nil {
			return nil, false
		}
		values[key] = strings.Split(inside, " ")
		if rest == "" {
			break
		}
		text, found = strings.CutPrefix(rest, "&")
		if !found || text == "" {
			return nil, false
		}
	}
	return values, true
}

// checkReadBack looks whether what was signed says what was sent, if it is accepted.
func checkReadBack(t *testing.T, raw string, src []byte, o Options) {
	t.Helper()
	signed, err := AppendQuery(nil, raw, o)
	if err != nil {
		return
	}
	signed, err = AppendJSON(signed, src, o)
	if err != nil {
		return
	}
	want, err := url.ParseQuery(raw)
	if err != nil {
		t.Fatalf("%q was accepted: %v", raw, err)
	}
	for _, values := range want {
		slices.Sort(values)
	}
	var wantBody any
	if err := json.Unmarshal(src, &wantBody); err != nil {
		t.Fatalf("%q was accepted: %v", src, err)
	}
	params, body, err := readBack(string(signed))
	if err != nil {
		t.Fatalf("%q and %q give %q: %v", raw, src, signed, err)
	}
	if !reflect.DeepEqual(params, want) {
		t.Fatalf("%q and %q give %q: query %q, not %q", raw, src, signed, params, want)
	}
	if !reflect.DeepEqual(body, wantBody) {
		t.Fatalf("%q and %q give %q: body %v, not %v", raw, src, signed, body, wantBody)
	}
}

var readBackTable = []struct{ query, body string }{
	{``, `{}`},
	{`a=1`, `{"a":1}`},
	{`b=&a&b=2&b=`, `{"b":[1.0, 2],"a":{"d":"\u003c","c":null}}`},
	{`%7B"a`, `{"":1}`},
	{`{"a=":[1&b`, `{":":1,":":2}`},
	{`{"a=`, `{":1,":2}`},
	{`a]%26b=2`, `{"a=[b]&c=[d]{":"=[]"}`},
	{`a==&==&=`, `{"&a=[]":"{}"}`},
	{`a=%5B&b=[{`, `{"a":"=[b]{}"}`},
}

func TestReadBack(t *testing.T) {
	for _, row := range readBackTable {
		checkReadBack(t, row.query, []byte(row.body), Options{})
	}
	for _, refused := range []string{`a=1 2&b=1]%26c=[2`, `a=1+2`, `a=]`, `a%3D[=1`} {
		if _, err := AppendQuery(nil, refused, Options{}); err == nil {
			t.Errorf("%s was accepted", refused)
		}
	}
}

// TestReadBackNeedsRefusals shows that checkReadBack would notice: what is refused does have two readings.
func TestReadBackNeedsRefusals(t *testing.T) {
	allow := Options{AllowAmbiguous: true}
	for _, pair := range [][2]string{{`a=1+2`, `a=1&a=2`}, {`a=1]%26b=[2`, `a=1&b=2`}, {`a%3D[=1`, `a=%3D[1`}} {
		one, err1 := AppendQuery(nil, pair[0], allow)
		two, err2 := AppendQuery(nil, pair[1], allow)
		if err1 != nil || err2 != nil || !bytes.Equal(one, two) {
			t.Errorf("%q and %q: %q %v, %q %v", pair[0], pair[1], one, err1, two, err2)
		}
	}
	if _, _, err := readBack(`a=[1]{}`); err != nil {
		t.Error(err)
	}
	if _, _, err := readBack(`a=[1]&`); err == nil {
		t.Error("read back without a body")
	}
}

// FuzzReadBack looks for a query and a body that are accepted and whose signature covers something else as well.
func FuzzReadBack(f *testing.F) {
	for _, row := range readBackTable {
		f.Add(row.query, []byte(row.body))
	}
	for _, row := range protocolTable {
		f.Add("a=1", []byte(row.in))
	}
	f.Fuzz(func(t *testing.T, raw string, src []byte) {
		if len(raw) > 300 || len(src) > 300 {
			return // every cut is tried, which takes quadratic time
		}
		checkReadBack(t, raw, src, Options{})
		checkReadBack(t, raw, src, Options{NoHTMLEscape: true, LongEscapes: true})
	})
}
