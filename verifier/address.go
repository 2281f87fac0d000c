package verifier

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
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
	if list.any {
		return list, nil
	}
	for _, i := range internet {
		if list.covers(i.first, i.last) {
			return nil, fmt.Errorf("the prefixes together let every %s address in: write any if that is meant", i.name)
		}
	}
	return list, nil
}

// internet is where a public sender's address can be.
var internet = []struct {
	name        string
	first, last netip.Addr
}{
	{"IPv4", netip.MustParseAddr("1.0.0.0"), netip.MustParseAddr("223.255.255.255")},
	{"IPv6", netip.MustParseAddr("2000::"), netip.MustParseAddr("3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")},
}

// covers says whether every address from first to last is in a prefix.
func (l *AddressList) covers(first, last netip.Addr) bool {
	prefixes := slices.SortedFunc(slices.Values(l.prefixes), func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	missing := first
	for _, p := range prefixes {
		if p.Addr().BitLen() != first.BitLen() || missing.Less(p.Addr()) {
			continue
		}
		if end := lastOf(p); !end.Less(missing) {
			missing = end.Next()
		}
		if !missing.IsValid() || last.Less(missing) {
			return true
		}
	}
	return false
}

// lastOf returns a prefix's last address.
func lastOf(p netip.Prefix) netip.Addr {
	bytes := p.Addr().AsSlice()
	for i := range bytes {
		host := min(max((i+1)*8-p.Bits(), 0), 8) // its bits in this byte
		bytes[i] |= byte(1<<host - 1)
	}
	addr, _ := netip.AddrFromSlice(bytes)
	return addr
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
