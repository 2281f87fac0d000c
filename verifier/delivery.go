package verifier

import (
	"net/netip"
	"strings"
)

// Delivery is one attempt to deliver an event, as it arrived, without its body.
type Delivery struct {
	Method string
	Scheme string              // "http" or "https", as the sender sees it
	Host   string              // host[:port], as the sender sees it
	Target string              // path[?query], byte for byte as sent
	Header map[string][]string // by canonical name
	Client netip.Addr
}

// Path returns the target's path, neither decoded nor cleaned.
func (d *Delivery) Path() string {
	path, _, _ := strings.Cut(d.Target, "?")
	return path
}

// RawQuery returns what follows the target's question mark.
func (d *Delivery) RawQuery() string {
	_, query, _ := strings.Cut(d.Target, "?")
	return query
}

// checkPath refuses a path that is not made of RFC 3986's pchar and slashes:
// other bytes could be read as the beginning of a query or of a body.
func checkPath(path string) *Refusal {
	if path == "" || path[0] != '/' {
		return refuse(PathAmbiguous, "the path does not begin with a slash")
	}
	for i := 0; i < len(path); i++ {
		c := path[i]
		if c == '%' {
			if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
				return refuse(PathAmbiguous, "the path holds a % without two hex digits")
			}
			i += 2
			continue
		}
		if !isAlphanumeric(c) && strings.IndexByte("/-._~!$&'()*+,;=:@", c) < 0 {
			return refuse(PathAmbiguous, "the path holds a byte that RFC 3986 does not allow in one")
		}
	}
	return nil
}

// PlainHost says whether host is a name or an address with an optional port.
// Anything else could make "host/path" read as another URL form: "https:" with
// the path "//a/b" looks like "https://a/b".
func PlainHost(host string) bool {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		port := host[i+1:]
		host = host[:i]
		if !isNumber(port) {
			return false
		}
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		return ok && err == nil && addr.Is6() && addr.Zone() == ""
	}
	for i := range len(host) {
		if c := host[i]; !isAlphanumeric(c) && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return host != ""
}

func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
