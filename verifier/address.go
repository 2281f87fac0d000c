package verifier

import (
	"errors"
	"fmt"
	"net/netip"
)

// klinkAddresses is where the vendor says its deliveries come from.
var klinkAddresses = []string{"51.79.216.180"}

// privateRanges are RFC 1918, RFC 4193 (the half in use) and loopback.
var privateRanges = []string{
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fd00::/8", "::1",
}

// AddressList says which client addresses may deliver.
type AddressList struct {
	any      bool
	prefixes []netip.Prefix
}

// ParseAddressList reads addresses, CIDR prefixes and the names "klink" (the
// vendor's documented addresses), "private_ranges" and "any". Everyone is let
// in only by the word "any", not by a prefix of no bits. IPv4-mapped IPv6
// addresses are taken as IPv4.
func ParseAddressList(entries []string) (*AddressList, error) {
	if len(entries) == 0 {
		return nil, errors.New("no address: name at least one of klink, any, private_ranges, an address or a CIDR prefix")
	}
	list := &AddressList{}
	for _, entry := range entries {
		if err := list.add(entry); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (l *AddressList) add(entry string) error {
	switch entry {
	case "any":
		l.any = true
		return nil
	case "klink":
		return l.addAll(klinkAddresses)
	case "private_ranges":
		return l.addAll(privateRanges)
	}
	prefix, err := parsePrefix(entry)
	if err != nil {
		return err
	}
	l.prefixes = append(l.prefixes, prefix)
	return nil
}

func (l *AddressList) addAll(entries []string) error {
	for _, entry := range entries {
		if err := l.add(entry); err != nil {
			return err
		}
	}
	return nil
}

func parsePrefix(entry string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(entry); err == nil {
		if addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q: an address with a zone cannot be matched: leave out %q", entry, "%"+addr.Zone())
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(entry)
	if err != nil {
		return prefix, fmt.Errorf("%q is neither klink, any, private_ranges, an IP address nor a CIDR prefix such as 192.0.2.0/24", entry)
	}
	if prefix != prefix.Masked() {
		return prefix, fmt.Errorf("%q has bits set beyond its length: write %s, or the single address without a length", entry, prefix.Masked())
	}
	if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
		prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
	}
	if prefix.Bits() == 0 {
		return prefix, fmt.Errorf("%q lets every address in: write any if that is meant", entry)
	}
	return prefix, nil
}

// Contains says whether addr may deliver. The zero Addr, a client without an IP
// address, is let in by "any" alone.
func (l *AddressList) Contains(addr netip.Addr) bool {
	if l.any {
		return true
	}
	addr = addr.Unmap().WithZone("")
	for _, prefix := range l.prefixes {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}
