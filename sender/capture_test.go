package sender_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/klinkgate/caddy-klink/sender"
)

// show writes a capture on one line: "POST https h /x [A=1 B=2,3] body".
func show(c *sender.Captured) string {
	var header []string
	for _, name := range slices.Sorted(maps.Keys(c.Delivery.Header)) {
		header = append(header, name+"="+strings.Join(c.Delivery.Header[name], ","))
	}
	d := c.Delivery
	return fmt.Sprintf("%s %s %s %s [%s] %s", d.Method, d.Scheme, d.Host, d.Target, strings.Join(header, " "), c.Body)
}

func TestParseRequest(t *testing.T) {
	for _, tt := range []struct{ name, raw, want, note string }{
		{"plain", "POST /x?b=%20&a HTTP/1.1\r\nHost: h.example\r\nx-signature:  abc \r\nContent-Length: 2\r\n\r\n{}", "POST https h.example /x?b=%20&a [Content-Length=2 X-Signature=abc] {}", ""},
		{"line feeds", "\nPOST /x HTTP/1.1\nHost: h:81\n\n{\"a\":\r\n1}", "POST https h:81 /x [] {\"a\":\r\n1}", ""},
		{"HTTP/2", "POST /x HTTP/2\nhost: h\n\n{}", "POST https h /x [] {}", ""},
		{"a header twice", "POST /x HTTP/1.1\nHost: h\nX-A: 1\nX-A: 2\n\n{}", "POST https h /x [X-A=1,2] {}", ""},
		{"no body", "POST /x HTTP/1.1\nHost: h", "POST https h /x [] ", ""},
		{"a whole URL", "POST http://p.example:80/x?a HTTP/1.1\nHost: h\n\n{}", "POST http p.example:80 /x?a [] {}", ""},
		{"chunked", "POST /x HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", "POST https h /x [Transfer-Encoding=chunked] {}", ""},
		{"not chunked any more", "POST /x HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n{}", "POST https h /x [Transfer-Encoding=chunked] {}", "but it is not"},
		{"a line break from an editor", "POST /x HTTP/1.1\nHost: h\nContent-Length: 2\n\n{}\n", "POST https h /x [Content-Length=2] {}", ""},
		{"more than its length", "POST /x HTTP/1.1\nHost: h\nContent-Length: 2\n\n{}POST", "POST https h /x [Content-Length=2] {}", "4 bytes after the body's Content-Length of 2 are left out"},
		{"cut off", "POST /x HTTP/1.1\nHost: h\nContent-Length: 20\n\n{}", "POST https h /x [Content-Length=20] {}", "the body has 2 bytes and its Content-Length is 20"},
		{"a length that is none", "POST /x HTTP/1.1\nHost: h\nContent-Length: -1\n\n{}", "POST https h /x [Content-Length=-1] {}", "no number"},
		{"a line break without a length", "POST /x HTTP/1.1\nHost: h\n\n{}\n", "POST https h /x [] {}\n", "counts as part of the body"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := sender.ParseRequest([]byte(tt.raw))
			if err != nil {
				t.Fatal(err)
			}
			if got := show(c); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if notes := strings.Join(c.Notes, "; "); (tt.note == "") != (notes == "") || !strings.Contains(notes, tt.note) {
				t.Errorf("the notes are %q, want %q", notes, tt.note)
			}
		})
	}
}

func TestParseRequestErrors(t *testing.T) {
	for raw, want := range map[string]string{
		"":                                             "this is no HTTP request",
		"curl -H 's3cret: a' https://h":                "this is no HTTP request",
		"POST /x\nHost: h\n\n{}":                       "this is no HTTP request",
		"HTTP/1.1 200 OK\n\n":                          "this is no HTTP request",
		"POST x HTTP/1.1\nHost: h\n\n":                 "does not begin with a slash",
		"POST ftp://h/ HTTP/1.1\n\n":                   "does not begin with a slash",
		"POST http://h HTTP/1.1\n\n":                   "has no path",
		"POST /x HTTP/1.1\nX-A: 1\n\n{}":               "no Host header",
		"POST /x HTTP/1.1\nHost: h\ns3cret":            "line 3 is no header",
		"POST /x HTTP/1.1\nHost: h\n{\"s3cret\": 1}\n": "line 3 is no header",
	} {
		_, err := sender.ParseRequest([]byte(raw))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: got %v, want %q", raw, err, want)
		}
	}
}

func readTestFile(name string) ([]byte, error) {
	if name == "body.json" {
		return []byte("{\"a\":\r\n1}\n"), nil
	}
	return nil, errors.New("no such file")
}

func TestParseCurl(t *testing.T) {
	const json = "[Content-Type=application/json]"
	const form = "[Content-Type=application/x-www-form-urlencoded]"
	for _, tt := range []struct{ name, command, want string }{
		{"plain", `curl -H 'content-type: application/json' -d '{"a": "b"}' https://h.example/x?a=1`, `POST https h.example /x?a=1 ` + json + ` {"a": "b"}`},
		{"as browsers copy it", "curl 'https://h/x' \\\n  -X 'POST' \\\r\n  -H $'content-type: application/json' --data-raw $'{\"a\":\"\\u0021\\'\\n\\x41\\101\\q\"}' --compressed --insecure", "POST https h /x " + json + " {\"a\":\"!'\nAA\\q\"}"},
		{"short options together", `curl -sSXPUT -d{} h/x`, `PUT http h /x ` + form + ` {}`},
		{"options without a meaning here", `/usr/bin/curl -o out -m 5 --retry 3 -v --max-time 1 --url https://h/x -d ''`, `POST https h /x ` + form + ` `},
		{"pieces", `curl https://h/x -d a=1 --data-ascii b=2`, `POST https h /x ` + form + ` a=1&b=2`},
		{"a file without its line breaks", `curl https://h/x -d @body.json`, `POST https h /x ` + form + ` {"a":1}`},
		{"a file as it is", `curl https://h/x --data-binary @body.json`, "POST https h /x " + form + " {\"a\":\r\n1}\n"},
		{"no file", `curl https://h/x --data-raw @body.json`, `POST https h /x ` + form + ` @body.json`},
		{"JSON", `curl https://h/x --json '{}'`, `POST https h /x [Accept=application/json Content-Type=application/json] {}`},
		{"credentials", `curl https://h/x -H 'Content-Type:' -u user:pass -d {}`, `POST https h /x [Authorization=Basic dXNlcjpwYXNz] {}`},
		{"a header before credentials", `curl https://h/x -u user:pass -H 'Authorization: abc'`, `GET https h /x [Authorization=abc] `},
		{"another host", `curl https://127.0.0.1/x -H 'Host: h.example' -H 'X-Empty;' -A ua -e ref -b a=1`, `GET https h.example /x [Cookie=a=1 Referer=ref User-Agent=ua X-Empty=] `},
		{"double quotes", `curl "https://h/x" --json "{\"a\":\"\\\\ \$ \n\"}"`, `POST https h /x [Accept=application/json Content-Type=application/json] {"a":"\\ $ \n"}`},
		{"comment, words without quotes", "# captured\ncurl https://h/x?a --json {\\\"a\\\":1}", `POST https h /x?a [Accept=application/json Content-Type=application/json] {"a":1}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := sender.ParseCurl(tt.command, readTestFile)
			if err != nil {
				t.Fatal(err)
			}
			if got := show(c); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestParseCurlErrors(t *testing.T) {
	for command, want := range map[string]string{
		"":                                     "begin with curl",
		"wget https://h/x":                     "begin with curl",
		"curl -d s3cret":                       "the command has no URL",
		"curl https://h/x https://h/y":         "two URLs",
		"curl https://h/x -H s3cret":           "a header of the command is none",
		"curl https://h/x -d @missing":         "the body of the command: no such file",
		"curl https://h/x --data":              "--data is the last word",
		"curl https://h/x --output":            "--output is the last word",
		"curl https://h/x -sH":                 "-H is the last word",
		"curl https://h/x -F a=s3cret":         "option -F is not understood",
		"curl https://h/x --form a=s3cret":     "option --form is not understood",
		"curl https://h/x --data=s3cret":       "option with a value in the same word is not understood",
		"curl https://u:s3cret@h/x":            "the URL holds a user",
		"curl 'https://h/x":                    "in word 2 of the command: a quote is not closed",
		`curl "https://h/x`:                    "a quote is not closed",
		"curl $'https://h/x":                   "a quote is not closed",
		"curl https://h/x?a=1&b=2":             "would not pass '&' on",
		"curl https://h/x | jq":                "would not pass '|' on",
		"curl https://h/x -d {} > s3cret":      "would not pass '>' on",
		"curl https://h/x -H \"X-A: $s3cret\"": "put something in for $",
		"curl https://h/x -H X-A:${s3cret}":    "put something in for $",
		"curl https://h/x -d \"$(s3cret)\"":    "put something in for $",
		"curl https://h/x -d `s3cret`":         "put something in for $",
	} {
		_, err := sender.ParseCurl(command, readTestFile)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got %v, want %q", command, err, want)
		}
	}
}

// Neither parser may panic, and an accepted request has what a diagnosis needs.
func FuzzCaptures(f *testing.F) {
	f.Add("POST /x HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n0\r\n\r\n")
	f.Add("POST http://p/x HTTP/1.1\nContent-Length: 1\n\n{}")
	f.Add(`curl -sXPOST "https://h/\"x" -H $'a: \u00e9\x41\7' --json \{\}`)
	f.Fuzz(func(t *testing.T, text string) {
		var captures []*sender.Captured
		if c, err := sender.ParseRequest([]byte(text)); err == nil {
			captures = append(captures, c)
		}
		if c, err := sender.ParseCurl(text, readTestFile); err == nil {
			captures = append(captures, c)
		}
		for _, c := range captures {
			d := c.Delivery
			if d.Method == "" || d.Host == "" || d.Target == "" || d.Target[0] != '/' || d.Scheme != "http" && d.Scheme != "https" {
				t.Errorf("%q: %s", text, show(c))
			}
		}
	})
}
