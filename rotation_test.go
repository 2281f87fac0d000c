package klink

import "testing"

func TestSplitName(t *testing.T) {
	for _, tt := range []struct {
		s          string
		mark       byte
		name, rest string
	}{
		{"new={env.NEW}", beforePlaceholder, "new", "{env.NEW}"},
		{"{env.NEW}", beforePlaceholder, "7", "{env.NEW}"},
		{"new=/run/secrets/new", beforePath, "new", "/run/secrets/new"},
		{"/run/secrets/a=b", beforePath, "7", "/run/secrets/a=b"},
		// A secret that is written out is a secret from its first byte on.
		{"half=/of a secret", beforePlaceholder, "7", "half=/of a secret"},
		{"c2VjcmV0==", beforePlaceholder, "7", "c2VjcmV0=="},
		{"=/x", beforePath, "7", "=/x"},
		{"new={env.NEW}", beforePath, "7", "new={env.NEW}"},
	} {
		if name, rest := splitName(tt.s, tt.mark, 7); name != tt.name || rest != tt.rest {
			t.Errorf("%s before %c: %q, %q; want %q, %q", tt.s, tt.mark, name, rest, tt.name, tt.rest)
		}
	}
}
