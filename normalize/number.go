package normalize

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
)

const (
	// exactDigits is how many significant decimal digits a float64 always keeps: a literal of no more than these comes
	// back as it was written.
	exactDigits = 15
	// wordDigits is how many decimal digits a uint64 always holds.
	wordDigits = 19
)

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
	point, digits, normal := i, i-first, true
	if i < len(src) && src[i] == '.' {
		i = digitsEnd(src, i+1)
		if i == point+1 {
			return s.failDigit(i)
		}
		digits += i - point - 1
		normal = src[i-1] != '0' && (src[first] != '0' || !tiny(src[point+1:i]))
	}
	if i < len(src) && src[i]|0x20 == 'e' {
		if i = s.exponent(i); i < 0 || s.opts.RawNumbers {
			return i
		}
		f, err := strconv.ParseFloat(string(src[start:i]), 64)
		return s.float(start, i, f, err)
	}
	switch {
	case s.opts.RawNumbers || normal && digits <= exactDigits:
		return i
	case digits <= wordDigits:
		return s.float(start, i, decimal(src, start, point, i), nil)
	}
	f, err := strconv.ParseFloat(string(src[start:i]), 64)
	return s.float(start, i, f, err)
}

// exponent reads the exponent at i and returns its end.
func (s *scanner) exponent(i int) int {
	i++
	if i < len(s.src) && (s.src[i] == '+' || s.src[i] == '-') {
		i++
	}
	end := digitsEnd(s.src, i)
	if end == i {
		return s.failDigit(i)
	}
	return end
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

// float writes f, which the number src[start:end] stands for, in Go's form. It fails if there was an err.
func (s *scanner) float(start, end int, f float64, err error) int {
	if err != nil {
		return s.fail(start, "number too large for a float64")
	}
	var b [32]byte
	normal := appendFloat(b[:0], f)
	if string(normal) != string(s.src[start:end]) {
		s.flush(start, end)
		s.buf = append(s.buf, normal...)
	}
	return end
}

// decimal returns the float64 nearest to the number src[start:end], whose decimal point or end is at point, and which
// has no exponent and no more than wordDigits digits. It does what strconv.ParseFloat does, in less time.
func decimal(src []byte, start, point, end int) float64 {
	first := start
	if src[start] == '-' {
		first++
	}
	m, scale := appendDigits(0, src, first, point), 0
	if point < end {
		scale = end - point - 1
		m = appendDigits(m, src, point+1, end)
	}
	f := quotient(m, scale)
	if first > start {
		return -f
	}
	return f
}

// appendDigits returns the number whose digits are those of m and then src[i:end].
func appendDigits(m uint64, src []byte, i, end int) uint64 {
	for ; i+8 <= end; i += 8 {
		m = m*1e8 + eightDigits(binary.LittleEndian.Uint64(src[i:]))
	}
	for ; i < end; i++ {
		m = m*10 + uint64(src[i]-'0')
	}
	return m
}

// eightDigits returns the number that eight digits stand for, the first of them in the lowest byte. It adds up pairs of
// digits, then pairs of those, then both halves.
func eightDigits(w uint64) uint64 {
	w -= '0' * ones
	w = w*10 + w>>8
	const low = 0x000000ff000000ff
	return ((w&low)*(100+1000000<<32) + (w>>16&low)*(1+10000<<32)) >> 32
}

// quotient returns the float64 nearest to m / 10^scale, with ties to even; scale is at most wordDigits.
func quotient(m uint64, scale int) float64 {
	if scale == 0 || m == 0 {
		return float64(m)
	}
	shift := bits.LeadingZeros64(m)
	m <<= shift
	divisor := powersOfTen[scale]
	divisorShift := bits.LeadingZeros64(divisor)
	// The quotient has 63 or 64 bits: ten more than a float64 keeps, so its lowest one can stand for whatever remains,
	// and converting rounds as it should.
	q, rest := bits.Div64(m>>1, m<<63, divisor<<divisorShift)
	if rest != 0 {
		q |= 1
	}
	// The exponent is far from either end of its range: scaling is exact.
	return float64(q) * math.Float64frombits(uint64(1023-63+divisorShift-shift)<<52)
}

var powersOfTen = func() (t [wordDigits + 1]uint64) {
	t[0] = 1
	for k := 1; k < len(t); k++ {
		t[k] = t[k-1] * 10
	}
	return t
}()

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
