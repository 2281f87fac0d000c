package normalize

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// text reads on from i, inside a string, where something stands that may not be copied as it is. It returns the
// position after the closing quote.
func (s *scanner) text(i int) int {
	src := s.src
	for i >= 0 {
		if i >= len(src) {
			return s.failEnd()
		}
		switch c := src[i]; {
		case plain[c]:
			i = plainEnd(src, i)
		case c == '"':
			return i + 1
		case c == '\\':
			s.coded = true
			if i+1 < len(src) && keptEscape[src[i+1]] {
				i += 2
			} else {
				i = s.escape(i)
			}
		case c >= utf8.RuneSelf:
			i = s.multibyte(i)
		case c < ' ':
			return s.failByte(i, "in a string")
		default: // < > &
			if !s.opts.NoHTMLEscape {
				s.flush(i, i+1)
				s.buf = append(s.buf, '\\', 'u', '0', '0', lowerHex[c>>4], lowerHex[c&15])
			}
			i++
		}
	}
	return i
}

const lowerHex = "0123456789abcdef"

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plainEnd returns the position of the first byte from i on that may not be copied as it is: a quote, a backslash, a
// control character, < > &, or anything outside ASCII; or len(src).
func plainEnd(src []byte, i int) int {
	for ; i+8 <= len(src); i += 8 {
		w := binary.LittleEndian.Uint64(src[i:])
		// Subtracting sets the high bit of bytes that were too small, and maybe of bytes above one of those: the lowest
		// mark is always right. Bytes outside ASCII are marked anyhow, so what else their marks may be does not matter.
		// Setting one bit tells " and & apart from the rest at once, and likewise < and >.
		marks := w | (w - 0x20*ones) | ((w ^ '\\'*ones) - ones)
		marks |= ((w | 0x04*ones) ^ '&'*ones) - ones
		marks |= ((w | 0x02*ones) ^ '>'*ones) - ones
		if marks &= highs; marks != 0 {
			return i + bits.TrailingZeros64(marks)>>3
		}
	}
	for i < len(src) && plain[src[i]] {
		i++
	}
	return i
}

// plain marks the bytes that plainEnd passes over.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
	}
	return t
}()

// keptEscape marks what may stand after a backslash and stays there.
var keptEscape = [256]bool{'"': true, '\\': true, 'n': true, 'r': true, 't': true}

// multibyte reads the bytes outside ASCII from i on and returns their end.
func (s *scanner) multibyte(i int) int {
	src := s.src
	for i < len(src) && src[i] >= utf8.RuneSelf {
		if c := src[i]; c-0xC2 < 0xE0-0xC2 && i+1 < len(src) && isContinuation(src[i+1]) {
			i += 2
			continue
		} else if c-0xE0 < 0xF0-0xE0 && i+2 < len(src) && isContinuation(src[i+1]) && isContinuation(src[i+2]) {
			r := uint(c&0xF)<<12 | uint(src[i+1]&0x3F)<<6 | uint(src[i+2]&0x3F)
			if r >= 0x800 && r&0xF800 != 0xD800 && r&^1 != '\u2028' {
				i += 3
				continue
			}
		}
		i = s.unusualRune(i)
	}
	return i
}

func isContinuation(c byte) bool {
	return c&0xC0 == 0x80
}

// unusualRune reads the rune at i, which may be none or a line separator, and returns its end.
func (s *scanner) unusualRune(i int) int {
	r, size := utf8.DecodeRune(s.src[i:])
	switch {
	case r == utf8.RuneError && size == 1:
		s.doubt(i, "invalid UTF-8")
		s.coded = true
		s.replace(i, i+1, "\uFFFD")
	case r == '\u2028':
		s.replace(i, i+size, `\u2028`)
	case r == '\u2029':
		s.replace(i, i+size, `\u2029`)
	}
	return i + size
}

// replace puts with into the place of src[i:end].
func (s *scanner) replace(i, end int, with string) {
	s.flush(i, end)
	s.buf = append(s.buf, with...)
}

// escape reads the escape at i, which is not a kept one, and returns its end.
func (s *scanner) escape(i int) int {
	if i+1 >= len(s.src) {
		return s.failEnd()
	}
	switch s.src[i+1] {
	case 'b':
		if s.opts.LongEscapes {
			s.replace(i, i+2, `\u0008`)
		}
	case 'f':
		if s.opts.LongEscapes {
			s.replace(i, i+2, `\u000c`)
		}
	case '/':
		s.flush(i, i+1)
	case 'u':
		return s.unicodeEscapes(i)
	default:
		return s.failByte(i+1, "after a backslash")
	}
	return i + 2
}

// unicodeEscapes reads the \uXXXX at i and those that follow at once, and returns their end.
func (s *scanner) unicodeEscapes(i int) int {
	for i >= 0 && i+1 < len(s.src) && s.src[i] == '\\' && s.src[i+1] == 'u' {
		if len(s.src)-i < 6 {
			return s.failHex(i)
		}
		switch r := hex4(s.src[i+2:]); {
		case r < 0:
			return s.failHex(i)
		case isMultibyte(r):
			i = s.usualEscapes(i)
		default:
			i = s.unusualEscape(i)
		}
	}
	return i
}

// isMultibyte reports whether \uXXXX stands for a rune outside ASCII that the normal form has in UTF-8.
func isMultibyte(r rune) bool {
	return r > '\u2029' && r&0xF800 != 0xD800 || r >= utf8.RuneSelf && r < '\u2028'
}

// usualEscapes reads the \uXXXX from i on that stand for something that isMultibyte, and returns their end.
func (s *scanner) usualEscapes(i int) int {
	s.flush(i, i)
	src, buf := s.src, s.buf
	for len(src)-i >= 6 && src[i] == '\\' && src[i+1] == 'u' {
		r := hex4(src[i+2 : i+6])
		if !isMultibyte(r) {
			break
		}
		if r < 0x800 {
			buf = append(buf, 0xC0|byte(r>>6), 0x80|byte(r)&0xBF)
		} else {
			buf = append(buf, 0xE0|byte(r>>12), 0x80|byte(r>>6)&0xBF, 0x80|byte(r)&0xBF)
		}
		i += 6
	}
	s.buf, s.pend = buf, i
	return i
}

// unusualEscape reads the \uXXXX or the surrogate pair at i, which may have to stay an escape, and returns its end.
func (s *scanner) unusualEscape(i int) int {
	r, size := decodeUnicodeEscape(s.src[i:])
	var b [8]byte
	normal := s.appendNormal(b[:0], r)
	if string(normal) != string(s.src[i:i+size]) {
		s.flush(i, i+size)
		s.buf = append(s.buf, normal...)
	}
	return i + size
}

// failHex fails because the \u at i has not got four hexadecimal digits.
func (s *scanner) failHex(i int) int {
	for i += 2; i < len(s.src); i++ {
		if hexValue[s.src[i]] < 0 {
			return s.failByte(i, `where a hexadecimal digit should follow \u`)
		}
	}
	return s.failEnd()
}

// appendNormal appends r as the normal form writes it inside a string.
func (s *scanner) appendNormal(b []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(b, '\\', byte(r))
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	case '\b', '\f':
		if !s.opts.LongEscapes {
			return append(b, '\\', "b...f"[r-'\b'])
		}
	case '<', '>', '&':
		if s.opts.NoHTMLEscape {
			return append(b, byte(r))
		}
	case '\u2028', '\u2029':
	default:
		if r >= ' ' {
			return utf8.AppendRune(b, r)
		}
	}
	return append(b, '\\', 'u', lowerHex[r>>12], lowerHex[r>>8&15], lowerHex[r>>4&15], lowerHex[r&15])
}

// appendDecoded appends what the inside of a string stands for. The string must have been read before.
func appendDecoded(b, inside []byte) []byte {
	for i := 0; i < len(inside); {
		c := inside[i]
		switch {
		case c == '\\' && inside[i+1] == 'u':
			r, size := decodeUnicodeEscape(inside[i:])
			b = utf8.AppendRune(b, r)
			i += size
		case c == '\\':
			b = append(b, shortEscape(inside[i+1]))
			i += 2
		case c < utf8.RuneSelf:
			b = append(b, c)
			i++
		default:
			r, size := utf8.DecodeRune(inside[i:])
			b = utf8.AppendRune(b, r)
			i += size
		}
	}
	return b
}

// shortEscape returns what a backslash and c stand for.
func shortEscape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}

// decodeUnicodeEscape decodes the \uXXXX or the surrogate pair that b starts with. A surrogate without its other half
// stands for U+FFFD.
func decodeUnicodeEscape(b []byte) (r rune, size int) {
	r = hex4(b[2:])
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
		if pair := utf16.DecodeRune(r, hex4(b[8:])); pair != utf8.RuneError {
			return pair, 12
		}
	}
	return utf8.RuneError, 6
}

// hex4 returns the value of the four hexadecimal digits that b starts with, or a negative number.
func hex4(b []byte) rune {
	_ = b[3]
	return rune(hexValue[b[0]])<<12 | rune(hexValue[b[1]])<<8 | rune(hexValue[b[2]])<<4 | rune(hexValue[b[3]])
}

// hexValue holds the value of each hexadecimal digit, and -1 for any other byte.
var hexValue = func() (t [256]int8) {
	for c := range t {
		switch {
		case '0' <= c && c <= '9':
			t[c] = int8(c - '0')
		case 'a' <= c && c <= 'f':
			t[c] = int8(c - 'a' + 10)
		case 'A' <= c && c <= 'F':
			t[c] = int8(c - 'A' + 10)
		default:
			t[c] = -1
		}
	}
	return t
}()
