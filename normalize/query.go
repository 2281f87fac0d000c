package normalize

import (
	"bytes"
	"slices"
	"strings"
)

// maxParams is how many parameters url.ParseQuery takes by default.
const maxParams = 10000

// AppendQuery appends the normal form of a raw query (without the question mark) to dst and returns the extended
// slice: keys and their values percent-decoded and sorted by bytes, key=[v1 v2]&key2=[v]. An empty query appends
// nothing. On an error, which is always an *Error, it returns dst as it was given.
//
// A query is malformed when url.ParseQuery, whose default limit of 10000 parameters holds, returns an error: whatever
// the options are. It is ambiguous when a value holds a space or ], or a key holds =[. Of the options only
// AllowAmbiguous has a meaning here.
func AppendQuery(dst []byte, rawQuery string, o Options) ([]byte, error) {
	if rawQuery == "" {
		return dst, nil
	}
	q := borrowQuery()
	defer q.giveBack()
	q.strict = !o.AllowAmbiguous
	q.read(rawQuery)
	if err := q.verdict(); err != nil {
		return dst, err
	}
	slices.SortFunc(q.params, q.compare)
	return q.emit(dst), nil
}

// query holds one call's state and the scratch space that calls hand on to each other.
type query struct {
	faults
	strict bool
	text   []byte // decoded keys and values
	params []param
}

// param is a parameter: its key is text[key:value], its value text[value:end].
type param struct {
	key, value, end int
}

// read notes all parameters of raw.
func (q *query) read(raw string) {
	if strings.Count(raw, "&")+1 > maxParams {
		q.fail(0, "more than 10000 parameters")
		return
	}
	for i := 0; i < len(raw); {
		end := len(raw)
		if n := strings.IndexByte(raw[i:], '&'); n >= 0 {
			end = i + n
		}
		if end > i && !q.readParam(raw, i, end) {
			return
		}
		i = end + 1
	}
}

// readParam notes the parameter raw[i:end], unless it is malformed.
func (q *query) readParam(raw string, i, end int) bool {
	if n := strings.IndexByte(raw[i:end], ';'); n >= 0 {
		q.fail(i+n, "semicolon")
		return false
	}
	equals, value := end, end
	if n := strings.IndexByte(raw[i:end], '='); n >= 0 {
		equals, value = i+n, i+n+1
	}
	p := param{key: len(q.text)}
	if !q.decode(raw, i, equals) {
		return false
	}
	p.value = len(q.text)
	if !q.decode(raw, value, end) {
		return false
	}
	p.end = len(q.text)
	q.params = append(q.params, p)
	if q.strict && bytes.Contains(q.text[p.key:p.value], []byte("=[")) {
		q.doubtAt(i, "a key with =[")
	}
	if q.strict && bytes.ContainsAny(q.text[p.value:p.end], " ]") {
		q.doubtAt(value, "a value with a space or ]")
	}
	return true
}

// decode appends raw[i:end] percent-decoded to text, unless it is malformed.
func (q *query) decode(raw string, i, end int) bool {
	for i < end {
		switch c := raw[i]; c {
		case '%':
			if i+2 >= end || hexValue[raw[i+1]] < 0 || hexValue[raw[i+2]] < 0 {
				q.fail(i, "bad percent-escape")
				return false
			}
			q.text = append(q.text, byte(hexValue[raw[i+1]]<<4|hexValue[raw[i+2]]))
			i += 3
		case '+':
			q.text = append(q.text, ' ')
			i++
		default:
			q.text = append(q.text, c)
			i++
		}
	}
	return true
}

// compare orders parameters by key, then by value.
func (q *query) compare(a, b param) int {
	if c := bytes.Compare(q.text[a.key:a.value], q.text[b.key:b.value]); c != 0 {
		return c
	}
	return bytes.Compare(q.text[a.value:a.end], q.text[b.value:b.end])
}

// emit appends the sorted parameters.
func (q *query) emit(dst []byte) []byte {
	for k, p := range q.params {
		key := q.text[p.key:p.value]
		switch {
		case k == 0:
			dst = append(append(dst, key...), "=["...)
		case bytes.Equal(key, q.text[q.params[k-1].key:q.params[k-1].value]):
			dst = append(dst, ' ')
		default:
			dst = append(append(append(dst, "]&"...), key...), "=["...)
		}
		dst = append(dst, q.text[p.value:p.end]...)
	}
	if len(q.params) > 0 {
		dst = append(dst, ']')
	}
	return dst
}
