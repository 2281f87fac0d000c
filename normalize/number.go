package normalize

import (
	"math"
	"strconv"
)

// exactDigits is how many significant decimal digits a float64 always keeps: a literal of no more than these comes
// back as it was written.
const exactDigits = 15

// number reads the number at i and returns its end.
func (s *scanner) number(i int) int {
	src := s.src
	start := i
	if src[i] == '-' {
		i++
	}
	first := i
	i = digitsEnd(src, i)
	if i == first {
		return s.failDigit(i)
	}
	if src[first] == '0' && i > first+1 {
		return s.failByte(first+1, "after a leading zero")
	}
	digits, normal := i-first, true
	if i < len(src) && src[i] == '.' {
		i++
		point := i
		i = digitsEnd(src, i)
		if i == point {
			return s.failDigit(i)
		}
		digits += i - point
		normal = src[i-1] != '0' && (src[first] != '0' || !tiny(src[point:i]))
	}
	if i < len(src) && src[i]|0x20 == 'e' {
		normal = false
		i++
		if i < len(src) && (src[i] == '+' || src[i] == '-') {
			i++
		}
		exponent := i
		i = digitsEnd(src, i)
		if i == exponent {
			return s.failDigit(i)
		}
	}
	if s.opts.RawNumbers || normal && digits <= exactDigits {
		return i
	}
	return s.float(start, i)
}

// digitsEnd returns the end of the digits from i on.
func digitsEnd(src []byte, i int) int {
	for i < len(src) && src[i]-'0' <= 9 {
		i++
	}
	return i
}

// tiny reports whether 0.fraction is below 0.000001, where Go's form has an exponent. Its last digit is not 0.
func tiny(fraction []byte) bool {
	return len(fraction) > 6 && string(fraction[:6]) == "000000"
}

// failDigit fails because no digit stands at i.
func (s *scanner) failDigit(i int) int {
	if i >= len(s.src) {
		return s.failEnd()
	}
	return s.failByte(i, "where a digit should follow")
}

// float puts the number src[start:end] into Go's form.
func (s *scanner) float(start, end int) int {
	literal := s.src[start:end]
	f, err := strconv.ParseFloat(string(literal), 64)
	if err != nil {
		return s.fail(start, "number too large for a float64")
	}
	var b [32]byte
	normal := appendFloat(b[:0], f)
	if string(normal) != string(literal) {
		s.flush(start, end)
		s.buf = append(s.buf, normal...)
	}
	return end
}

// appendFloat appends f as encoding/json writes it: the shortest digits that stand for f, with an exponent only below
// 1e-6 and from 1e21 on, and no zero at the start of the exponent.
func appendFloat(b []byte, f float64) []byte {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	b = strconv.AppendFloat(b, f, format, -1, 64)
	if n := len(b); format == 'e' && n >= 4 && b[n-4] == 'e' && b[n-3] == '-' && b[n-2] == '0' {
		b[n-2] = b[n-1]
		b = b[:n-1]
	}
	return b
}
