package verifier

import (
	"net/netip"
	"strings"
	"testing"
)

func TestAddressList(t *testing.T) {
	const yes, no = true, false
	for _, tt := range []struct {
		list   string
		client string // empty: no IP address
		want   bool
	}{
		{"klink", "51.79.216.180", yes},
		{"klink", "::ffff:51.79.216.180", yes},
		{"klink", "51.79.216.181", no},
		{"klink", "15.235.232.70", no}, // only ever seen in a header
		{"klink", "::51.79.216.180", no},
		{"klink", "", no},
		{"any", "203.0.113.9", yes},
		{"any", "2001:db8::9", yes},
		{"any", "", yes},
		{"klink any", "203.0.113.9", yes},
		{"192.0.2.7", "192.0.2.7", yes},
		{"192.0.2.7", "192.0.2.8", no},
		{"192.0.2.0/24", "192.0.2.255", yes},
		{"192.0.2.0/24", "192.0.3.0", no},
		{"192.0.2.0/24", "::ffff:192.0.2.1", yes},
		{"192.0.2.8/31 198.51.100.4", "198.51.100.4", yes},
		{"192.0.2.8/31 198.51.100.4", "192.0.2.9", yes},
		{"192.0.2.8/31 198.51.100.4", "192.0.2.10", no},
		{"192.0.2.8/31 198.51.100.4", "51.79.216.180", no}, // a list replaces the default
		{"::ffff:192.0.2.7", "192.0.2.7", yes},
		{"::ffff:192.0.2.0/120", "192.0.2.200", yes},
		{"::ffff:192.0.2.0/120", "::ffff:192.0.2.200", yes},
		{"::ffff:192.0.2.0/120", "192.0.3.1", no},
		{"0.0.0.0/1", "9.9.9.9", yes},
		{"0.0.0.0/1", "::1", no},
		{"2001:db8::/32", "2001:db8:ffff::1", yes},
		{"2001:db8::/32", "2001:db9::1", no},
		{"2001:db8::/32", "192.0.2.1", no},
		{"2001:DB8::1", "2001:db8:0:0::1", yes},
		{"fe80::/10", "fe80::1%eth0", yes},
		{"private_ranges", "10.255.0.1", yes},
		{"private_ranges", "172.16.0.1", yes},
		{"private_ranges", "172.31.255.255", yes},
		{"private_ranges", "172.32.0.0", no},
		{"private_ranges", "192.168.1.1", yes},
		{"private_ranges", "127.9.9.9", yes},
		{"private_ranges", "::1", yes},
		{"private_ranges", "fd12::1", yes},
		{"private_ranges", "fc00::1", no},
		{"private_ranges", "169.254.1.1", no},
		{"private_ranges", "51.79.216.180", no},
		{"private_ranges klink", "51.79.216.180", yes},
	} {
		var client netip.Addr
		if tt.client != "" {
			client = netip.MustParseAddr(tt.client)
		}
		if got := mustList(t, strings.Fields(tt.list)...).Contains(client); got != tt.want {
			t.Errorf("allow %s: %q may deliver: %v, want %v", tt.list, tt.client, got, tt.want)
		}
	}
}

func TestBadAddressList(t *testing.T) {
	for _, tt := range []struct{ entry, want string }{
		{"", "is neither klink, any, private_ranges, an IP address nor a CIDR prefix such as 192.0.2.0/24"},
		{"Klink", "is neither klink, any,"},
		{"ANY", "is neither klink, any,"},
		{"klink.cloud", "is neither klink, any,"},
		{"192.0.2.256", "is neither klink, any,"},
		{"192.0.2", "is neither klink, any,"},
		{"192.0.02.1", "is neither klink, any,"},
		{"192.0.2.0/33", "is neither klink, any,"},
		{"192.0.2.0/", "is neither klink, any,"},
		{"192.0.2.0/024", "is neither klink, any,"},
		{"192.0.2.1-192.0.2.9", "is neither klink, any,"},
		{"192.0.2.1:443", "is neither klink, any,"},
		{"[2001:db8::1]", "is neither klink, any,"},
		{" 192.0.2.1", "is neither klink, any,"},
		{"192.0.2.7/24", "has bits set beyond its length: write 192.0.2.0/24, or the single address without a length"},
		{"2001:db8::1/32", "has bits set beyond its length: write 2001:db8::/32"},
		{"::ffff:192.0.2.7/120", "has bits set beyond its length: write ::ffff:192.0.2.0/120"},
		{"fe80::1%eth0", `an address with a zone cannot be matched: leave out "%eth0"`},
		{"0.0.0.0/0", "lets every address in: write any if that is meant"},
		{"::/0", "lets every address in: write any if that is meant"},
		{"::ffff:0.0.0.0/96", "lets every address in: write any if that is meant"},
	} {
		_, err := ParseAddressList([]string{"klink", tt.entry})
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), `"`+tt.entry+`"`) {
			t.Errorf("allow %q: error %v, want %q", tt.entry, err, tt.want)
		}
	}
	if _, err := ParseAddressList(nil); err == nil || !strings.HasPrefix(err.Error(), "no address: name at least one of klink, any,") {
		t.Errorf("an empty list: error %v", err)
	}
}

// TestEveryoneOnlyByAny: nor by prefixes that are the whole Internet together.
func TestEveryoneOnlyByAny(t *testing.T) {
	for _, tt := range []struct{ list, family string }{
		{"0.0.0.0/1 128.0.0.0/1", "IPv4"},
		{"128.0.0.0/1 0.0.0.0/1 klink", "IPv4"},
		{"::ffff:0.0.0.0/97 128.0.0.0/1", "IPv4"},
		{"128.0.0.0/2 192.0.0.0/3 64.0.0.0/2 32.0.0.0/3 16.0.0.0/4 8.0.0.0/5 4.0.0.0/6 2.0.0.0/7 1.0.0.0/8", "IPv4"},
		{"0.0.0.0/2 64.0.0.0/2 64.1.0.0/16 128.0.0.0/1", "IPv4"},
		{"::/1 8000::/1", "IPv6"},
		{"2000::/3", "IPv6"},
		{"2000::/4 3000::/4 192.0.2.1", "IPv6"},

		{"0.0.0.0/1", ""},
		{"0.0.0.0/1 128.0.0.0/2", ""},
		{"0.0.0.0/1 128.0.0.0/2 192.0.0.0/4 208.0.0.0/5 216.0.0.0/6 220.0.0.0/7 222.0.0.0/8", ""}, // all but 223.0.0.0/8
		{"2.0.0.0/7 4.0.0.0/6 8.0.0.0/5 16.0.0.0/4 32.0.0.0/3 64.0.0.0/2 128.0.0.0/1", ""},        // all but 1.0.0.0/8
		{"0.0.0.0/1 128.0.0.0/9 128.128.0.1 128.128.0.2/31 129.0.0.0/8", ""},
		{"2000::/4", ""},
		{"4000::/2 8000::/1", ""},
		{"0.0.0.0/1 8000::/1", ""},
		{"any 0.0.0.0/1 128.0.0.0/1", ""},
		{"private_ranges klink", ""},
	} {
		_, err := ParseAddressList(strings.Fields(tt.list))
		want := "the prefixes together let every " + tt.family + " address in: write any if that is meant"
		if tt.family == "" && err != nil || tt.family != "" && (err == nil || err.Error() != want) {
			t.Errorf("allow %s: %v", tt.list, err)
		}
	}
}
