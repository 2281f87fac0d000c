package verifier

import (
	"slices"
	"strings"
	"testing"
)

func TestReadingsListEachStringOnce(t *testing.T) {
	count := func(target, body string, hosts ...string) int {
		t.Helper()
		list, err := Readings(post(target), hosts, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for i := range list {
			text := string(list[i].StringToSign())
			if seen[text] {
				t.Errorf("%s %s: there twice: %s", target, body, text)
			}
			seen[text] = true
		}
		return len(list)
	}
	for _, tt := range []struct {
		target, body string
		hosts        []string
		want         int
	}{
		// full twice, host_path and path, with and without a slash
		{"/klink", `{}`, nil, 2 * 4},
		{"/klink", `{}`, []string{"hooks.example.com", "not a host"}, 2 * 4},
		{"/klink", `{}`, []string{"b.example"}, 2 * (4 + 3)},
		// with a query there are full_query twice and path_query too
		{"/klink?a=1", `{}`, nil, 2 * 7},
		{"/klink?a=1", diagnosedBody, nil, 2 * 7 * 9},
		{"/klink", `not JSON`, nil, 2 * 4},
	} {
		if got := count(tt.target, tt.body, tt.hosts...); got != tt.want {
			t.Errorf("%s %s %v: %d readings, want %d", tt.target, tt.body, tt.hosts, got, tt.want)
		}
	}
	if _, err := Readings(post("/klink?a=%zz"), nil, nil); err == nil {
		t.Error("a broken query has readings")
	}
}

func TestReadingsAreThoseOfTheForms(t *testing.T) {
	d := post(diagnosedTarget)
	list, err := Readings(d, nil, []byte(diagnosedBody))
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for i := range list {
		if list[i].Own() {
			got = append(got, list[i].Form.String()+" "+string(list[i].StringToSign()))
		}
	}
	for _, f := range (Form{}).Readings() {
		text, err := AppendStringToSign(nil, d, f, []byte(diagnosedBody))
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, f.String()+" "+string(text))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestDiffersAt(t *testing.T) {
	reading := func(head, body string) *Reading { return &Reading{head: []byte(head), body: []byte(body)} }
	for _, tt := range []struct {
		a, b *Reading
		want int
	}{
		{reading("POST/a", "{}"), reading("POST/", "a{}"), -1},
		{reading("POST/a", "{}"), reading("POST/b", "{}"), 5},
		{reading("POST/a", `{"a":1}`), reading("POST/a", `{"a":2}`), 11},
		{reading("POST/a", `{}`), reading("POST/a", `{} `), 8},
		{reading("", ""), reading("x", ""), 0},
	} {
		if got := tt.a.DiffersAt(tt.b); got != tt.want {
			t.Errorf("%s and %s: %d, want %d", tt.a.StringToSign(), tt.b.StringToSign(), got, tt.want)
		}
		if got := tt.b.DiffersAt(tt.a); got != tt.want {
			t.Errorf("%s and %s: %d, want %d", tt.b.StringToSign(), tt.a.StringToSign(), got, tt.want)
		}
	}
}

func TestOtherHosts(t *testing.T) {
	for _, tt := range []struct {
		host      string
		forwarded []string
		want      string
	}{
		{"hooks.example.com", nil, "hooks.example.com"},
		{"hooks.example.com:8443", nil, "hooks.example.com:8443 hooks.example.com"},
		{"inner:80", []string{"a.example, b.example", "c.example"}, "inner:80 inner a.example b.example c.example"},
		{"h", []string{"1,2,3,4,5,6,7,8,9"}, "h 1 2 3 4 5 6 7"},
	} {
		got := strings.Join(OtherHosts(tt.host, map[string][]string{"X-Forwarded-Host": tt.forwarded}), " ")
		if got != tt.want {
			t.Errorf("%s %q: got %s, want %s", tt.host, tt.forwarded, got, tt.want)
		}
	}
}
