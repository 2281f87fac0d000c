package sender_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/klinkgate/caddy-klink/sender"
)

func TestDeliveryTo(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"http://127.0.0.1:8080", "http 127.0.0.1:8080 /"},
		{"https://hooks.example.com/klink?b=2&a=1", "https hooks.example.com /klink?b=2&a=1"},
		{"https://hooks.example.com:443/a%2Fb/", "https hooks.example.com:443 /a%2Fb/"},
		{"https://hooks.example.com/?", "https hooks.example.com /?"},
		{"https://[2001:db8::1]/é", "https [2001:db8::1] /%C3%A9"},
	} {
		d := must(sender.DeliveryTo("PUT", tt.url))(t)
		if got := fmt.Sprint(d.Scheme, " ", d.Host, " ", d.Target); got != tt.want || d.Method != "PUT" {
			t.Errorf("%s: %q %q, want %q", tt.url, d.Method, got, tt.want)
		}
	}
}

func TestBadURL(t *testing.T) {
	for _, tt := range []struct{ url, want string }{
		{"", "the URL is not absolute: begin with https:// or http:// and a host"},
		{"/hooks", "the URL is not absolute"},
		{"ftp://hooks.example.com/", "the URL is not absolute"},
		{"hooks.example.com:80/x", "the URL"},
		{"http://:8080/", "the URL is not absolute"},
		{"http://user:s3cret@hooks.example.com/", "the URL holds a user: leave it out and ask for Basic"},
		{"http://user:s3cret@hooks.example.com:port/", "the URL cannot be read: invalid port"},
		{"http://hooks.example.com/#part", "the URL holds a fragment"},
		{"http://hööks.example.com/", "the URL's host is not plain ASCII: write it in its xn-- form"},
		{"http://[fe80::1%25eth0]/", "the URL's host is not plain ASCII"},
		{"http://hooks.example.com/?a=b c", "the URL holds a space"},
		{"http://hooks.example.com/?a=é", "the URL holds a space or a byte outside ASCII: write it percent-encoded"},
	} {
		_, err := sender.DeliveryTo("POST", tt.url)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v\nwant %s…", tt.url, err, tt.want)
		}
	}
}

func TestBadConfig(t *testing.T) {
	token := must(sender.FixedHeader("Authorization", "x"))(t)
	basic := must(sender.BasicAuth("a", "b"))(t)
	for _, tt := range []struct {
		name string
		c    sender.Config
		want string
	}{
		{"URL", sender.Config{URL: "hooks"}, "the URL is not absolute"},
		{"two in one header", sender.Config{Credentials: []sender.Credential{token, basic}}, "two credentials in the header Authorization: move"},
		{"time scale", sender.Config{TimeScale: -1}, "the time scale -1 is not between 0 and 1000"},
		{"large time scale", sender.Config{TimeScale: 1001}, "the time scale 1001 is not between 0 and 1000"},
	} {
		if tt.c.URL == "" {
			tt.c.URL = "http://backend.example"
		}
		_, err := sender.New(tt.c)
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: %v\nwant %s…", tt.name, err, tt.want)
		}
	}
}
