package sender_test

import (
	"strings"
	"testing"

	"github.com/klinkgate/caddy-klink/sender"
)

func TestReadings(t *testing.T) {
	for _, tt := range []struct {
		name, url, body string
		form            []string // URL form and words of the body form
		want            string
	}{
		{"one form", "http://a.example/x?b=2&a=1", `{"b":1, "a":2}`, []string{"path", "go"}, `
			path go: POST/xa=[1]&b=[2]{"a":2,"b":1}`},
		{"every URL form", "https://a.example/x?a=1", `{"b":1}`, []string{"auto", "go"}, `
			full go: POSThttps://a.example/xa=[1]{"b":1}
			full_query go: POSThttps://a.example/x?a=1a=[1]{"b":1}
			path go: POST/xa=[1]{"b":1}
			path_query go: POST/x?a=1a=[1]{"b":1}
			host_path go: POSTa.example/xa=[1]{"b":1}`},
		{"what does not differ is there once", "http://a.example/", `{"b":1}`, []string{"auto", "auto"}, `
			full go: POSThttp://a.example/{"b":1}
			path go: POST/{"b":1}
			host_path go: POSTa.example/{"b":1}`},
		{"every body form", "http://a.example/", `{"n":1.0,"a":"<\b"}`, []string{"path", "auto"}, `
			path go: POST/{"a":"\u003c\b","n":1}
			path no_html_escape: POST/{"a":"<\b","n":1}
			path raw_numbers: POST/{"a":"\u003c\b","n":1.0}
			path no_html_escape raw_numbers: POST/{"a":"<\b","n":1.0}
			path long_escapes: POST/{"a":"\u003c\u0008","n":1}
			path no_html_escape long_escapes: POST/{"a":"<\u0008","n":1}
			path raw_numbers long_escapes: POST/{"a":"\u003c\u0008","n":1.0}
			path no_html_escape raw_numbers long_escapes: POST/{"a":"<\u0008","n":1.0}
			path raw: POST/{"n":1.0,"a":"<\b"}`},
		{"a number that go refuses", "http://a.example/", `{"n":1e400}`, []string{"path", "auto"}, `
			path raw_numbers: POST/{"n":1e400}`},
		{"no JSON", "http://a.example/", `a=b`, []string{"path", "auto"}, `
			path raw: POST/a=b`},
		{"no JSON, pinned", "http://a.example/", `a=b`, []string{"path", "go"}, `offset 0: `},
		{"a query that cannot be read", "http://a.example/?a=%zz", `{}`, []string{"auto", "auto"}, `offset 2: `},
	} {
		t.Run(tt.name, func(t *testing.T) {
			to := must(sender.DeliveryTo("POST", tt.url))(t)
			readings, err := sender.Readings(to, form(t, tt.form[0], tt.form[1:]...), []byte(tt.body))
			if err != nil {
				if !strings.HasPrefix(err.Error(), tt.want) {
					t.Errorf("error %v, want %s…", err, tt.want)
				}
				return
			}
			var got strings.Builder
			for _, r := range readings {
				got.WriteString("\n\t\t\t" + r.Form.String() + ": " + string(r.StringToSign))
			}
			if got.String() != tt.want {
				t.Errorf("got %s\nwant %s", got.String(), tt.want)
			}
		})
	}
}
