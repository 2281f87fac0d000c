package sender

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/klinkgate/caddy-klink/verifier"
)

// DeliveryTo returns the part of a delivery that method and URL decide, as they go over the wire. It fails on a URL
// that is not absolute, carries a password, or could be sent in more than one way.
func DeliveryTo(method, rawURL string) (*verifier.Delivery, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the URL, which may hold a password
		}
		return nil, fmt.Errorf("the URL cannot be read: %w", err)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return nil, errors.New("the URL is not absolute: begin with https:// or http:// and a host")
	case u.User != nil:
		return nil, errors.New("the URL holds a user: leave it out and ask for Basic credentials instead")
	case u.Fragment != "":
		return nil, errors.New("the URL holds a fragment, which HTTP does not carry: leave out the # and what follows")
	case !plain(u.Host) || strings.Contains(u.Host, "%"):
		return nil, errors.New("the URL's host is not plain ASCII: write it in its xn-- form")
	case !plain(u.RequestURI()):
		return nil, errors.New("the URL holds a space or a byte outside ASCII: write it percent-encoded")
	}
	return &verifier.Delivery{Method: method, Scheme: u.Scheme, Host: u.Host, Target: u.RequestURI()}, nil
}

// plain says whether s is made of printable ASCII without space.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
