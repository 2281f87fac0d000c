package verifier

import (
	"strings"
	"testing"
)

func TestStringToSign(t *testing.T) {
	const (
		query = "/in/klink?b=2&a=x&b=1"
		body  = ` { "z" : 1.0, "a" : "<\/\u00e9\b", "big":12345678901234567890 } `
		goes  = `{"a":"\u003c/é\b","big":12345678901234567000,"z":1}`
	)
	for _, tt := range []struct{ form, target, body, want string }{
		{"full go", "/in", body, `POSThttps://hooks.example.com/in` + goes},
		{"full_query go", "/in", body, `POSThttps://hooks.example.com/in` + goes},
		{"path go", "/in", body, `POST/in` + goes},
		{"path_query go", "/in", body, `POST/in` + goes},
		{"host_path go", "/in", body, `POSThooks.example.com/in` + goes},
		{"https://Other.example/ go", "/in", body, `POSThttps://Other.example/` + goes},

		{"full go", query, body, `POSThttps://hooks.example.com/in/klinka=[x]&b=[1 2]` + goes},
		{"full_query go", query, body, `POSThttps://hooks.example.com/in/klink?b=2&a=x&b=1a=[x]&b=[1 2]` + goes},
		{"path go", query, body, `POST/in/klinka=[x]&b=[1 2]` + goes},
		{"path_query go", query, body, `POST/in/klink?b=2&a=x&b=1a=[x]&b=[1 2]` + goes},
		{"host_path go", query, body, `POSThooks.example.com/in/klinka=[x]&b=[1 2]` + goes},
		{"http://h/?q go", query, body, `POSThttp://h/?qa=[x]&b=[1 2]` + goes},

		{"path go", "/%7Ea//b%2fc", "{}", `POST/%7Ea//b%2fc{}`}, // never decoded and encoded again
		{"path go", "/in?", "{}", `POST/in{}`},
		{"path_query go", "/in?", "{}", `POST/in?{}`},
		{"path go", "/in?a", "{}", `POST/ina=[]{}`},
		{"path go", "/in?a=", "{}", `POST/ina=[]{}`},
		{"path go", "/in?a=&a=", "{}", `POST/ina=[ ]{}`},
		{"path go", "/in?%61=1&a=2", "{}", `POST/ina=[1 2]{}`},
		{"path go", "/in?a=x+y", "{}", `POST/ina=[x y]{}`},

		{"path no_html_escape", "/", body, `POST/{"a":"</é\b","big":12345678901234567000,"z":1}`},
		{"path raw_numbers", "/", body, `POST/{"a":"\u003c/é\b","big":12345678901234567890,"z":1.0}`},
		{"path long_escapes", "/", body, `POST/{"a":"\u003c/é\u0008","big":12345678901234567000,"z":1}`},
		{"path no_html_escape raw_numbers", "/", body, `POST/{"a":"</é\b","big":12345678901234567890,"z":1.0}`},
		{"path no_html_escape long_escapes", "/", body, `POST/{"a":"</é\u0008","big":12345678901234567000,"z":1}`},
		{"path raw_numbers long_escapes", "/", body, `POST/{"a":"\u003c/é\u0008","big":12345678901234567890,"z":1.0}`},
		{"path long_escapes raw_numbers no_html_escape", "/", body, `POST/{"a":"</é\u0008","big":12345678901234567890,"z":1.0}`},
		{"path raw", "/", body, `POST/` + body},
		{"path raw", "/", "no JSON \x00\xff", "POST/no JSON \x00\xff"},
		{"path raw", "/", "", "POST/"},

		{"path go", "/", `[1,{"a":1,"a":2}]`, `POST/[1,{"a":2}]`}, // as the sender would print it, though a gateway refuses it
	} {
		got, err := AppendStringToSign([]byte("before "), post(tt.target), form(t, tt.form), []byte(tt.body))
		if err != nil || string(got) != "before "+tt.want {
			t.Errorf("%s of %s:\ngot  %s, %v\nwant before %s", tt.form, tt.target, got, err, tt.want)
		}
	}
}

func TestNoStringToSign(t *testing.T) {
	for _, tt := range []struct{ form, target, body, want string }{
		{"auto go", "/", "{}", "needs one URL form and one body form"},
		{"path auto", "/", "{}", "needs one URL form and one body form"},
		{"path go", "/?a=%", "{}", "percent"},
		{"path go", "/?a;b", "{}", "semicolon"},
		{"path go", "/", "", "empty"},
		{"path go", "/", "{", "ends too early"},
		{"path go", "/", `{"a":1e400}`, "offset 5"},
	} {
		got, err := AppendStringToSign([]byte("before"), post(tt.target), form(t, tt.form), []byte(tt.body))
		if err == nil || !strings.Contains(err.Error(), tt.want) || string(got) != "before" {
			t.Errorf("%s of %s %s: %q, %v, want an error with %q", tt.form, tt.target, tt.body, got, err, tt.want)
		}
	}
}

func TestParseForms(t *testing.T) {
	for _, text := range []string{
		"auto auto", "full go", "full_query raw", "path no_html_escape", "path_query raw_numbers", "host_path long_escapes",
		"https://a.example/hook?x=1 no_html_escape raw_numbers long_escapes", "http://a.example raw_numbers long_escapes",
	} {
		if got := form(t, text).String(); got != text {
			t.Errorf("%q was read as %q", text, got)
		}
	}
	if got := (Form{}).String(); got != "auto auto" {
		t.Errorf("the zero Form is %q", got)
	}
	if form(t, "path long_escapes raw_numbers") != form(t, "path raw_numbers long_escapes") {
		t.Error("the variants' order makes a difference")
	}
}

func TestBadForms(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", `unknown URL form "": write auto, full, full_query, path, path_query, host_path, or the URL that is typed in K-LINK, beginning with https:// or http://`},
		{"Full", `unknown URL form "Full"`},
		{"query", `unknown URL form "query"`},
		{"/hook", `unknown URL form "/hook"`},
		{"ftp://a.example", `unknown URL form "ftp://a.example"`},
		{"hooks.example.com/in", `unknown URL form`},
	} {
		if _, err := ParseURLForm(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("url %q: error %v, want %q", tt.text, err, tt.want)
		}
	}
	for _, tt := range []struct{ text, want string }{
		{"", "no body form: write auto, go, raw, or variants of go"},
		{"json", `unknown body form "json": write auto, go, raw, or any of no_html_escape, raw_numbers, long_escapes`},
		{"Go", `unknown body form "Go"`},
		{"raw go", `body form "raw" stands alone`},
		{"go raw_numbers", `body form "go" stands alone`},
		{"raw_numbers raw", `body form "raw" stands alone`},
		{"no_html_escape auto", `body form "auto" stands alone`},
		{"auto auto", `body form "auto" stands alone`},
		{"go go", `body form "go" stands alone`},
		{"raw_numbers raw_numbers", `body variant "raw_numbers" is there twice`},
		{"long_escapes raw_numbers long_escapes", `body variant "long_escapes" is there twice`},
	} {
		if _, err := ParseBodyForm(strings.Fields(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("body %q: error %v, want %q", tt.text, err, tt.want)
		}
	}
}
