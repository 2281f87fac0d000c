package klink

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestARefusalSaysWhereItCameFrom(t *testing.T) {
	now := time.Now()
	for address, want := range map[netip.Addr]string{
		netip.MustParseAddr("192.0.2.1"): "from 192.0.2.1: ",
		{}:                               "from a client without an address: ",
	} {
		var out strings.Builder
		r := Refusal{Time: now, ClientIP: address, Reason: "address_not_allowed"}
		r.print(&out, now)
		if !strings.Contains(strings.ReplaceAll(out.String(), "\n   ", ""), want) {
			t.Errorf("%q does not say %q", out.String(), want)
		}
	}
}
