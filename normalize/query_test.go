package normalize

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

var queryTable = []struct{ what, in, out string }{
	{"empty", ``, ``},
	{"keys and values sorted", `b=2&a=3&b=1`, `a=[3]&b=[1 2]`},
	{"percent-decoded", `%61=1&a=2`, `a=[1 2]`},
	{"sorted once decoded", `%7a=%41&b=%5B`, `b=[[]&z=[A]`},
	{"no value", `a`, `a=[]`},
	{"an empty value", `a=`, `a=[]`},
	{"two empty values", `a=&a=`, `a=[ ]`},
	{"an empty value among others", `a=x&a`, `a=[ x]`},
	{"an empty key", `=1&b=2`, `=[1]&b=[2]`},
	{"nothing but an equals sign", `=`, `=[]`},
	{"empty parameters", `&&a=1&&b=2&`, `a=[1]&b=[2]`},
	{"nothing but ampersands", `&&`, ``},
	{"an equals sign in a value", `a=b=c`, `a=[b=c]`},
	{"a plus in a key", `a+b=1`, `a b=[1]`},
	{"a key and its prefixes", `ab=1&a=2&abc=3&a=1`, `a=[1 2]&ab=[1]&abc=[3]`},
	{"bytes, not letters", `%ff=1&%C3%A9=%00&z=2`, "z=[2]&\u00e9=[\x00]&\xff=[1]"},
	{"a question mark, a slash", `?a=/&b=%2F%3f`, `?a=[/]&b=[/?]`},
	{"brackets in a key", `a[]=1&a[]=2&b]=3`, `a[]=[1 2]&b]=[3]`},
}

func TestQueryNormalForm(t *testing.T) {
	for _, row := range queryTable {
		got, err := AppendQuery(nil, row.in, Options{})
		if err != nil || string(got) != row.out {
			t.Errorf("%s, %q: got %q, %v, not %q", row.what, row.in, got, err, row.out)
		}
		for _, o := range allOptions() {
			checkQuery(t, row.in, o)
		}
	}
}

var refusedQueries = []struct {
	what, in string
	err      string
	allowed  string // the normal form when ambiguous queries are allowed; - for malformed ones
}{
	{"a plus", `a=1&b=x+y`, `offset 6: a value with a space or ]`, `a=[1]&b=[x y]`},
	{"a space", `a=x%20y`, `offset 2: a value with a space or ]`, `a=[x y]`},
	{"a closing bracket", `b=%5D&a=]`, `offset 2: a value with a space or ]`, `a=[]]&b=[]]`},
	{"a key like another's end", `a%3D[=1`, `offset 0: a key with =[`, `a=[=[1]`},
	{"a bad percent-escape", `a=%zz`, `offset 2: bad percent-escape`, `-`},
	{"a bad percent-escape in a key", `a&%4=1`, `offset 2: bad percent-escape`, `-`},
	{"a cut percent-escape", `a=1%4`, `offset 3: bad percent-escape`, `-`},
	{"an escape across the end of a value", `a=%4&1=1`, `offset 2: bad percent-escape`, `-`},
	{"a semicolon", `a=1;b=2`, `offset 3: semicolon`, `-`},
	{"malformed after an ambiguity", `a=+&%`, `offset 4: bad percent-escape`, `-`},
	{"too many parameters", strings.Repeat("&", maxParams), `offset 0: more than 10000 parameters`, `-`},
}

func TestQueryRefused(t *testing.T) {
	for _, row := range refusedQueries {
		_, err := AppendQuery(nil, row.in, Options{})
		if err == nil || err.Error() != row.err {
			t.Errorf("%s, %.99q: got %v, not %s", row.what, row.in, err, row.err)
		}
		got, err := AppendQuery(nil, row.in, Options{AllowAmbiguous: true})
		if (err != nil) != (row.allowed == "-") || err == nil && string(got) != row.allowed {
			t.Errorf("%s, %.99q, allowed: got %q, %v, not %q", row.what, row.in, got, err, row.allowed)
		}
		for _, o := range allOptions() {
			checkQuery(t, row.in, o)
		}
	}
}

func TestQueryManyParameters(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	for _, n := range []int{2, 20, 1000, maxParams} {
		parts := make([]string, n)
		for k := range parts {
			parts[k] = fmt.Sprintf("key%d=%d", random.IntN(n/2), random.IntN(3))
		}
		checkQuery(t, strings.Join(parts, "&"), Options{})
	}
}
