package inbox

import (
	"errors"
	"net"
	"net/http"
	"net/netip"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// admission says who may use the page.
type admission struct {
	everybody   bool // allow_unauthenticated
	local       bool // the site can be reached from this machine only
	forwardAuth bool // a forward_auth stands before the page
}

var (
	errUnguarded = errors.New("anybody could open this page: put basic_auth, forward_auth or another authenticating directive before it, " +
		"let the whole site listen on this machine only (bind 127.0.0.1), or write allow_unauthenticated if something else protects it")
	errUnauthenticated = errors.New("nobody has authenticated this request: let the authenticating directive cover the path of the page")
	errNotLocal        = errors.New("without an authenticating directive before it, the page is for localhost and loopback addresses")
)

// admit looks at the server that the page is on, and fails where anybody could
// use the page.
func (ui *UI) admit(server *caddyhttp.Server) (admission, error) {
	if ui.AllowUnauthenticated {
		return admission{everybody: true}, nil
	}
	if server == nil { // not in a server's routes, so who knows where
		return admission{}, errUnguarded
	}
	s := surveyOf(server)
	local := localOnly(server.Listen)
	if !local && (s.unguarded > 0 || s.guarded == 0) {
		return admission{}, errUnguarded
	}
	return admission{local: local, forwardAuth: s.forwardAuth}, nil
}

// check refuses a request that nobody has authenticated. An authenticating
// handler may stand before the page and yet not cover its path.
func (a admission) check(r *http.Request) error {
	switch {
	case a.everybody || a.authenticated(r):
		return nil
	case !a.local:
		return errUnauthenticated
	case !localName(r.Host): // a name that an attacker's DNS may point to this machine, or that of a proxy in front
		return errNotLocal
	}
	return nil
}

// authenticated says whether a handler before this one has let the request
// through: Caddy's authentication handlers then set the user, and forward_auth
// the status of the server that it asked.
func (a admission) authenticated(r *http.Request) bool {
	replacer, ok := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	if !ok {
		return false
	}
	if _, ok := replacer.Get("http.auth.user.id"); ok {
		return true
	}
	if !a.forwardAuth {
		return false
	}
	value, _ := replacer.Get("http.reverse_proxy.status_code")
	status, _ := value.(int)
	return status >= 200 && status <= 299
}

// localOnly says whether all addresses can be reached from this machine only.
func localOnly(addresses []string) bool {
	for _, address := range addresses {
		parsed, err := caddy.ParseNetworkAddress(address)
		if err != nil || !parsed.IsUnixNetwork() && (parsed.IsFdNetwork() || !localName(parsed.Host)) {
			return false
		}
	}
	return len(addresses) > 0
}

// localName says whether a host, with a port or without, is this machine.
func localName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if len(host) > 2 && host[0] == '[' {
		host = host[1 : len(host)-1]
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
