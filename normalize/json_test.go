package normalize

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// protocolTable is the table of the protocol's description: the bodies that K-LINK may send and what it signs.
var protocolTable = []struct{ what, in, out string }{
	{"white space", " {\t\"a\" :\r\n[ 1 , 2 ] }\n", `{"a":[1,2]}`},
	{
		"an envelope", `{"event":"contact.create","timestamp":"2026-01-09T03:42:38.000000Z","data":{"b":1,"a":2}}`,
		`{"data":{"a":2,"b":1},"event":"contact.create","timestamp":"2026-01-09T03:42:38.000000Z"}`,
	},
	{"members sorted by bytes", `{"b":1,"aa":2,"B":3,"é":4,"a":5,"":6}`, `{"":6,"B":3,"a":5,"aa":2,"b":1,"é":4}`},
	{
		"members sorted by the decoded key", `{"\u0062":1,"a":2,"\n":3,"\u00e9":4,"z":5}`,
		`{"\n":3,"a":2,"b":1,"z":5,"é":4}`,
	},
	{
		"a key and its prefixes", `{"abcdefghi":1,"abcdefgh":2,"abcdefg":3,"abcdefg\u0000":4,"abcdefghh":5}`,
		`{"abcdefg":3,"abcdefg\u0000":4,"abcdefgh":2,"abcdefghh":5,"abcdefghi":1}`,
	},
	{"order inside order", `{"b":{"d":1,"c":[{"f":1,"e":2}]},"a":{}}`, `{"a":{},"b":{"c":[{"e":2,"f":1}],"d":1}}`},
	{"arrays keep their order", `{"a":[3,1,2,[],{},[[]],null,true,false]}`, `{"a":[3,1,2,[],{},[[]],null,true,false]}`},
	{"escapes decoded", `{"a":"\/x\u00e9"}`, `{"a":"/xé"}`},
	{"HTML", `{"a":"<>&\u003C\u003e\u0026"}`, `{"a":"\u003c\u003e\u0026\u003c\u003e\u0026"}`},
	{"line separators", "{\"a\":\"\u2028\u2029\\u2028\\u2029\"}", `{"a":"\u2028\u2029\u2028\u2029"}`},
	{
		"control characters", `{"a":"\b\f\n\r\t\u0008\u000C\u000a\u000D\u0009\u0000\u001F\u007f"}`,
		`{"a":"\b\f\n\r\t\b\f\n\r\t\u0000\u001f` + "\u007f\"}",
	},
	{"quotes", `{"a":"\"\\\u0022\u005c"}`, `{"a":"\"\\\"\\"}`},
	{"a surrogate pair", `{"a":"\ud83d\uDE00"}`, `{"a":"😀"}`},
	{
		"lone surrogates", `{"a":"\ud800","b":"\udc00x","c":"\ud800\ud83d\ude00","d":"\ud800\u0041"}`,
		`{"a":"` + "\ufffd" + `","b":"` + "\ufffd" + `x","c":"` + "\ufffd😀" + `","d":"` + "\ufffd" + `A"}`,
	},
	{
		"halves of a pair with something between", `{"a":"\ud83dxude00","b":"\ud83d\\ude00","c":"\ud83d \ude00"}`,
		`{"a":"` + "\ufffd" + `xude00","b":"` + "\ufffd" + `\\ude00","c":"` + "\ufffd \ufffd" + `"}`,
	},
	{"a lone surrogate in a key", `{"\ud800\u0041":1,"A":2}`, `{"A":2,"` + "\ufffd" + `A":1}`},
	{"U+FFFD itself", "{\"a\":\"\ufffd\\ufffd\"}", "{\"a\":\"\ufffd\ufffd\"}"},
	{"numbers", `[1.0,1e2,-0,1e21,1e-7,12345678901234567890]`, `[1,100,-0,1e+21,1e-7,12345678901234567000]`},
	{
		"more numbers", `[0,-0.0,0e5,1.50,0.000001,0.0000001,0.00000123,1e-6,9.5e-7,1E+2,1.5e300,100000000000000000000]`,
		`[0,-0,0,1.5,0.000001,1e-7,0.00000123,0.000001,9.5e-7,100,1.5e+300,100000000000000000000]`,
	},
	{
		"digits", `[123456789012345,1234567890123456,9007199254740993,0.1234567890123456789,1e-400,4.9e-324]`,
		`[123456789012345,1234567890123456,9007199254740992,0.12345678901234568,0,5e-324]`,
	},
	{
		"digits of a fraction", `[12345678901234.5,-65.613616999999977,0.000000000000001,1.7976931348623157e308]`,
		`[12345678901234.5,-65.61361699999998,1e-15,1.7976931348623157e+308]`,
	},
}

func TestJSONNormalForm(t *testing.T) {
	for _, row := range protocolTable {
		got, err := AppendJSON(nil, []byte(row.in), Options{AllowAmbiguous: true})
		if err != nil || string(got) != row.out {
			t.Errorf("%s\n in %s\ngot %s %v\nnot %s", row.what, row.in, got, err, row.out)
		}
		for _, o := range allOptions() {
			checkJSON(t, []byte(row.in), o)
			checkJSON(t, []byte(row.out), o)
		}
	}
}

func TestJSONVariants(t *testing.T) {
	const in = `{"b":"<\u003e&\u2028\b\f\u0008\u000c\\b","<":1.0,"a":1e400,"\f":1E2}`
	for _, row := range []struct {
		o   Options
		out string
	}{
		{Options{RawNumbers: true}, `{"\f":1E2,"\u003c":1.0,"a":1e400,"b":"\u003c\u003e\u0026\u2028\b\f\b\f\\b"}`},
		{
			Options{RawNumbers: true, NoHTMLEscape: true},
			`{"\f":1E2,"<":1.0,"a":1e400,"b":"<>&\u2028\b\f\b\f\\b"}`,
		},
		{
			Options{RawNumbers: true, LongEscapes: true},
			`{"\u000c":1E2,"\u003c":1.0,"a":1e400,"b":"\u003c\u003e\u0026\u2028\u0008\u000c\u0008\u000c\\b"}`,
		},
	} {
		got, err := AppendJSON(nil, []byte(in), row.o)
		if err != nil || string(got) != row.out {
			t.Errorf("%+v\ngot %s %v\nnot %s", row.o, got, err, row.out)
		}
	}
}

// ambiguousTable holds well-formed texts with more than one reading, and encoding/json's.
var ambiguousTable = []struct {
	what, in string
	offset   int
	out      string
}{
	{"a repeated key", `{"a":1,"a":2}`, 7, `{"a":2}`},
	{"repeated by an escape", `{"a":1,"b":0,"\u0061":2}`, 13, `{"a":2,"b":0}`},
	{"repeated deep inside", `{"a":[{"b":{"x":1,"x":{}}}]}`, 18, `{"a":[{"b":{"x":{}}}]}`},
	{
		"three times, with objects to drop", `{"b":{"d":1,"c":2},"a":{"z":1,"y":2},"b":3,"b":{"f":1,"e":2},"c":{"h":1,"g":2}}`, 37,
		`{"a":{"y":2,"z":1},"b":{"e":2,"f":1},"c":{"g":2,"h":1}}`,
	},
	{"repeated through U+FFFD", `{"\ud800":1,"\udfff":2}`, 12, "{\"\ufffd\":2}"},
	{"repeated and empty", `{"":1,"":2}`, 6, `{"":2}`},
	{"repeated and long", `{"abcdefgh":1,"abcdefgh":2}`, 14, `{"abcdefgh":2}`},
	{"invalid UTF-8", "{\"a\":\"\xff\"}", 6, "{\"a\":\"\ufffd\"}"},
	{"invalid UTF-8 in a key", "{\"\xc3\":1}", 2, "{\"\ufffd\":1}"},
	{"a surrogate in UTF-8", "{\"a\":\"\xed\xa0\x80\"}", 6, "{\"a\":\"\ufffd\ufffd\ufffd\"}"},
	{"overlong UTF-8", "{\"a\":\"x\xc0\xafy\"}", 7, "{\"a\":\"x\ufffd\ufffdy\"}"},
	{"a cut UTF-8 sequence", "{\"a\":\"\xe2\x80\",\"\xe2\x80\xa8\":0}", 6, "{\"a\":\"\ufffd\ufffd\",\"\\u2028\":0}"},
	{"the first of two", "{\"a\":1,\"a\":\"\xff\"}", 7, "{\"a\":\"\ufffd\"}"},
	{"an array", ` [1]`, 1, `[1]`},
	{"a string", `"a"`, 0, `"a"`},
	{"a number", `1.0`, 0, `1`},
	{"null", `null `, 0, `null`},
}

func TestJSONAmbiguous(t *testing.T) {
	for _, row := range ambiguousTable {
		got, err := AppendJSON(nil, []byte(row.in), Options{})
		if e, ok := err.(*Error); !ok || !e.Ambiguous || e.Offset != row.offset || got != nil {
			t.Errorf("%s, %q: got %q, %v, not ambiguous at %d", row.what, row.in, got, err, row.offset)
		}
		got, err = AppendJSON(nil, []byte(row.in), Options{AllowAmbiguous: true})
		if err != nil || string(got) != row.out {
			t.Errorf("%s, %q, allowed: got %q, %v, not %q", row.what, row.in, got, err, row.out)
		}
		for _, o := range allOptions() {
			checkJSON(t, []byte(row.in), o)
		}
	}
}

var malformedTable = []struct {
	what, in string
	err      string
}{
	{"empty", ``, `offset 0: empty`},
	{"white space alone", " \n", `offset 2: empty`},
	{"a byte-order mark", "\xef\xbb\xbf{}", `offset 0: unexpected byte 0xef where a value should start`},
	{"a leading zero", `{"a":01}`, `offset 6: unexpected 1 after a leading zero`},
	{"trailing text", `{} x`, `offset 3: unexpected x after the JSON value`},
	{"two values", `{}{}`, `offset 2: unexpected { after the JSON value`},
	{"too large a number", `{"a":1e400}`, `offset 5: number too large for a float64`},
	{"too large a number that is dropped", `{"a":-1e400,"a":1}`, `offset 5: number too large for a float64`},
	{"a cut string", `{"a":"b`, `offset 7: ends too early`},
	{"a cut escape", `{"a":"\`, `offset 7: ends too early`},
	{"a cut \\u", `{"a":"\u12`, `offset 10: ends too early`},
	{"a cut object", `{"a":1`, `offset 6: ends too early`},
	{"a cut key", `{`, `offset 1: ends too early`},
	{"a cut colon", `{"a"`, `offset 4: ends too early`},
	{"a cut value", `{"a":`, `offset 5: ends too early`},
	{"a cut array", `{"a":[1,`, `offset 8: ends too early`},
	{"a cut literal", `{"a":tru`, `offset 8: ends too early`},
	{"a cut number", `{"a":-`, `offset 6: ends too early`},
	{"a bad literal", `{"a":nuLl}`, `offset 7: unexpected L in null`},
	{"a bad escape", `{"a":"\x"}`, `offset 7: unexpected x after a backslash`},
	{"a bad \\u", `{"a":"\u00g0"}`, `offset 10: unexpected g where a hexadecimal digit should follow \u`},
	{"a raw control character", "{\"a\":\"\x00\"}", `offset 6: unexpected byte 0x00 in a string`},
	{"no digit after a point", `{"a":1.}`, `offset 7: unexpected } where a digit should follow`},
	{"no digit in an exponent", `{"a":1e+}`, `offset 8: unexpected } where a digit should follow`},
	{"a comma before }", `{"a":1,}`, `offset 7: unexpected } where a key should start`},
	{"a comma before ]", `{"a":[1,]}`, `offset 8: unexpected ] where a value should start`},
	{"no colon", `{"a" 1}`, `offset 5: unexpected 1 where a colon should follow the key`},
	{"no comma", `{"a":1 "b":2}`, `offset 7: unexpected " where a comma or } should follow`},
	{"] for }", `{"a":1]`, `offset 6: unexpected ] where a comma or } should follow`},
	{"} for ]", `{"a":[1}`, `offset 7: unexpected } where a comma or ] should follow`},
	{"malformed after an ambiguity", `{"a":1,"a":2`, `offset 12: ends too early`},
	{"an ambiguity before the end", "[\"\xff\"", `offset 4: ends too early`},
}

func TestJSONMalformed(t *testing.T) {
	for _, row := range malformedTable {
		for _, o := range allOptions() {
			checkJSON(t, []byte(row.in), o)
		}
		_, err := AppendJSON(nil, []byte(row.in), Options{})
		if err == nil || err.Error() != row.err {
			t.Errorf("%s, %q: got %v, not %s", row.what, row.in, err, row.err)
		}
	}
}

// TestJSONCutAnywhere cuts texts off at every byte, with nothing to be read behind it.
func TestJSONCutAnywhere(t *testing.T) {
	for _, row := range protocolTable {
		for end := range len(row.in) {
			src := slices.Clip([]byte(row.in)[:end])
			checkJSON(t, src, Options{})
			checkJSON(t, src, Options{AllowAmbiguous: true, RawNumbers: true})
		}
	}
}

// TestJSONEveryByte puts every byte at several places in keys and values.
func TestJSONEveryByte(t *testing.T) {
	for c := range 256 {
		for _, before := range []int{0, 1, 6, 7, 8, 15, 17} {
			inside := strings.Repeat("x", before) + string([]byte{byte(c)}) + strings.Repeat("y", 20-before)
			for _, format := range []string{`{"a":"%s"}`, `{"%s":0}`, `{"a":"%s`, `{"a":1%s}`, `%s{}`, `{"a":"\%s"}`, `{"a":"\u00%s"}`} {
				src := fmt.Appendf(nil, format, inside)
				checkJSON(t, src, Options{AllowAmbiguous: true})
				checkJSON(t, src, Options{NoHTMLEscape: true, LongEscapes: true})
			}
		}
	}
}

// TestJSONEveryEscape puts all \uXXXX into strings, in upper and lower case, one at a time and several at once.
func TestJSONEveryEscape(t *testing.T) {
	for high := range 256 {
		var alone, together strings.Builder
		for low := range 256 {
			format := `,"\u%02x%02X"`
			if low%2 == 0 {
				format = `,"\u%02x%02x"`
			}
			fmt.Fprintf(&alone, format, high, low)
			fmt.Fprintf(&together, `\u%02X%02x`, high, low)
		}
		for _, o := range allOptions()[:8] {
			checkJSON(t, []byte(`{"all":[""`+alone.String()+`],"":"`+together.String()+`"}`), o)
		}
	}
}

// TestJSONEveryUTF8 puts what begins like a multibyte rune, at all of UTF-8's limits, into strings.
func TestJSONEveryUTF8(t *testing.T) {
	limits := []byte{0x00, 0x22, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xA7, 0xA8, 0xA9, 0xAA, 0xBF, 0xC0}
	for first := 0x80; first < 0x100; first++ {
		for _, second := range limits {
			for _, third := range limits {
				for _, fourth := range []byte{'x', 0x80, 0xBF} {
					src := []byte{'{', '"', 'a', '"', ':', '"', byte(first), second, third, fourth, '"', '}'}
					checkJSON(t, src, Options{AllowAmbiguous: true})
				}
				checkJSON(t, []byte{'{', '"', byte(first), second, third, '"', ':', '0', '}'}, Options{})
			}
		}
	}
}

// TestJSONDepth walks around the limit of 10,000 levels, with arrays, objects, and both.
func TestJSONDepth(t *testing.T) {
	for _, pair := range [][2]string{{"[", "]"}, {`{"a":`, "}"}, {`[{"b":1,"a":`, "}]"}} {
		levels := strings.Count(pair[0], "[") + strings.Count(pair[0], "{")
		for _, inner := range []string{"1", "{}", "[]", "[[]]", `{"":{}}`} {
			for n := maxDepth/levels - 2; n <= maxDepth/levels+1; n++ {
				src := []byte(strings.Repeat(pair[0], n) + inner + strings.Repeat(pair[1], n))
				checkJSON(t, src, Options{AllowAmbiguous: true})
			}
		}
	}
	src := []byte(strings.Repeat(`{"a":`, maxDepth) + "{}")
	_, err := AppendJSON(nil, src, Options{})
	if want := fmt.Sprintf("offset %d: nested deeper than 10000 levels", 5*maxDepth); err == nil || err.Error() != want {
		t.Errorf("got %v, not %s", err, want)
	}
}

// TestJSONManyMembers compares objects of all sizes around the sizes where sorting changes its ways.
func TestJSONManyMembers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	sizes := []int{0, 1, 2, 3, 8, 9, shapeMembers, shapeMembers + 1, insertionWords, insertionWords + 1, 300, 3000}
	for name, key := range keyMakers {
		for _, n := range sizes {
			for _, repeats := range []bool{false, true} {
				keys := make([]string, n)
				for k := range keys {
					keys[k] = key(k)
					if repeats {
						keys[k] = key(random.IntN(n))
					}
				}
				random.Shuffle(n, func(a, b int) { keys[a], keys[b] = keys[b], keys[a] })
				src := objectOf(keys)
				for range 2 { // the second time the order is known
					checkJSON(t, src, Options{AllowAmbiguous: true})
					checkJSON(t, src, Options{})
				}
				if t.Failed() {
					t.Fatal(name, n)
				}
			}
		}
	}
}

// keyMakers make the k-th key, so that keys differ early, late, or in length alone.
var keyMakers = map[string]func(k int) string{
	"early":  func(k int) string { return fmt.Sprint(k*7919%10007, "-key") },
	"late":   func(k int) string { return strings.Repeat("common", 20) + fmt.Sprint(k) },
	"length": func(k int) string { return strings.Repeat("a", k%500) + strings.Repeat("b", k/500) },
	"zeros":  func(k int) string { return "key" + strings.Repeat("\x00", k%20) + strings.Repeat("\x01", k/20) },
	"branches": func(k int) string {
		return strings.NewReplacer("0", "0000000", "1", "0000001").Replace(fmt.Sprintf("%b", k))
	},
	"wide": func(k int) string { return fmt.Sprintf("%c%c", 0x100+k, 0x1F600+k%7) },
}

// objectOf returns an object with the given keys, numbered, with an object inside every third member.
func objectOf(keys []string) []byte {
	b := []byte("{")
	for k, key := range keys {
		if k > 0 {
			b = append(b, ',')
		}
		quoted, err := json.Marshal(key)
		if err != nil {
			panic(err)
		}
		b = append(append(b, quoted...), ':')
		if k%3 == 0 {
			b = fmt.Appendf(b, `{"z":%d,"y":[]}`, k)
		} else {
			b = fmt.Appendf(b, `%d`, k)
		}
	}
	return append(b, '}')
}

// TestJSONKnownOrder sees to it that an order found for one object is never taken for another one's.
func TestJSONKnownOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		keys := []string{"first", "last"}
		for k := range random.IntN(4) {
			keys = append(keys, string(rune('a'+random.IntN(26)))+fmt.Sprint(k%2))
		}
		random.Shuffle(len(keys), func(a, b int) { keys[a], keys[b] = keys[b], keys[a] })
		checkJSON(t, objectOf(keys), Options{})
	}
}

// TestJSONRandom compares random texts in all variants.
func TestJSONRandom(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 3000 {
		src := appendRandom(nil, random, 6)
		for _, o := range allOptions() {
			checkJSON(t, src, o)
		}
	}
}

// appendRandom appends a random value, no more than depth levels deep, with random white space.
func appendRandom(b []byte, random *rand.Rand, depth int) []byte {
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	space := func() string { return pick("", "", "", "", " ", "\n\t\t", "\r\n            ") }
	kind := random.IntN(8)
	if depth == 0 {
		kind = 2 + random.IntN(6)
	}
	switch kind {
	case 0, 1:
		brackets := pick("[]", "{}", "{}", "{}")
		b = append(append(b, brackets[0]), space()...)
		for k := range random.IntN(9) {
			if k > 0 {
				b = append(append(append(b, space()...), ','), space()...)
			}
			if brackets == "{}" {
				b = append(appendRandomString(b, random), space()+":"+space()...)
			}
			b = appendRandom(b, random, depth-1)
		}
		return append(append(b, space()...), brackets[1])
	case 2, 3:
		return fmt.Appendf(b, "%s%d%s%s", pick("", "-"), random.Uint64()>>random.IntN(64),
			pick("", "", ".0", ".5", ".25000", fmt.Sprint(".", random.Uint32())), pick("", "", "e2", "E-9", "e+20", "e-25"))
	case 4, 5:
		return appendRandomString(b, random)
	}
	return append(b, pick("true", "false", "null", "[]", "{}", "0", "0.0000001", "-0")...)
}

func appendRandomString(b []byte, random *rand.Rand) []byte {
	b = append(b, '"')
	pieces := []string{
		"a", "b", "key", "name of it", "<b>", "&", "é", "日本語", "\u2028", "😀", "\x7f", `\n`, `\/`, `\"`, `\\`, `\b`, `\f`,
		`\u0041`, `\u00e9`, `\ud83d\ude00`, `\ud83d`, `\u003C`, `\u003c`, `\u0000`, "\xff", "\xe2\x80",
	}
	for range random.IntN(4) {
		b = append(b, pieces[random.IntN(len(pieces))]...)
	}
	return append(b, '"')
}

// TestJSONDoesNotAlias changes the input and other results, and looks whether a result changes with them.
func TestJSONDoesNotAlias(t *testing.T) {
	for _, in := range []string{`{"a":1}`, ` {"a":1}`, `{"b":1,"a":2}`, `{"b":"<","a":2}`} {
		src := []byte(in)
		out, err := AppendJSON(nil, src, Options{})
		if err != nil {
			t.Fatal(err)
		}
		before := string(out)
		for k := range src {
			src[k] = 'x'
		}
		if _, err := AppendJSON(nil, []byte(`{"zzz":1,"yyy":[1, 2]}`), Options{}); err != nil {
			t.Fatal(err)
		}
		if string(out) != before {
			t.Errorf("%s became %s", before, out)
		}
	}
}

// TestJSONUsesCapacity appends into a buffer with room, and expects what is behind the result to be left alone.
func TestJSONUsesCapacity(t *testing.T) {
	for _, in := range []string{`{"a":1}`, `{"b" : "<", "a" : 2}`, `{"b":0,"a":"long enough to be behind b"}`} {
		buffer := []byte("kept" + strings.Repeat(".", 70))
		want, err := referenceJSON([]byte(in), Options{})
		if err != nil {
			t.Fatal(err)
		}
		out, err := AppendJSON(buffer[:4], []byte(in), Options{})
		if err != nil || string(out) != "kept"+string(want) {
			t.Fatalf("%q, %v", out, err)
		}
		if &out[0] != &buffer[0] || strings.Trim(string(buffer[len(out):]), ".") != "" {
			t.Errorf("%s: the buffer was not used, or too much of it: %q", in, buffer)
		}
	}
}
