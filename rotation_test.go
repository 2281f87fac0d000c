package klink

import "testing"

func TestSplitName(t *testing.T) {
	for _, tt := range []struct {
		s          string
		file       bool
		name, rest string
	}{
		{"new={env.NEW}", false, "new", "{env.NEW}"},
		{"{env.NEW}", false, "7", "{env.NEW}"},
		{"new=/run/secrets/new", true, "new", "/run/secrets/new"},
		{"/run/secrets/a=b", true, "7", "/run/secrets/a=b"},
		// A secret that is written out is a secret from its first byte on.
		{"half=/of a secret", false, "7", "half=/of a secret"},
		{"c2VjcmV0==", false, "7", "c2VjcmV0=="},
		{"=/x", true, "7", "=/x"},
		{"new={env.DIR}/klink", true, "new", "{env.DIR}/klink"},
		{"{env.DIR}/a=b", true, "7", "{env.DIR}/a=b"},
		// A relative path can have a name too; ./ keeps one that is none.
		{"klink", true, "7", "klink"},
		{"new=klink", true, "new", "klink"},
		{"./new=klink", true, "7", "./new=klink"},
	} {
		if name, rest := splitName(tt.s, tt.file, 7); name != tt.name || rest != tt.rest {
			t.Errorf("%s, in a file: %v: %q, %q; want %q, %q", tt.s, tt.file, name, rest, tt.name, tt.rest)
		}
	}
}
