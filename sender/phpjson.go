package sender

import (
	"strconv"
	"unicode/utf16"
)

// member is a member of an object.
type member struct {
	name  string
	value any
}

// object is a JSON object whose members keep their order.
type object []member

// list is a JSON array.
type list []any

// appendPHP appends v as PHP's json_encode writes it without options: slashes escaped, everything outside ASCII as
// \uXXXX. v is made of object, list, string, int, float64, bool and nil.
func appendPHP(dst []byte, v any) []byte {
	switch v := v.(type) {
	case object:
		return appendObject(dst, v)
	case list:
		return appendList(dst, v)
	case string:
		return appendString(dst, v)
	case int:
		return strconv.AppendInt(dst, int64(v), 10)
	case float64:
		return strconv.AppendFloat(dst, v, 'f', -1, 64)
	case bool:
		return strconv.AppendBool(dst, v)
	default:
		return append(dst, "null"...)
	}
}

// appendObject writes an empty object as PHP does, to whom it is an empty array.
func appendObject(dst []byte, o object) []byte {
	if len(o) == 0 {
		return append(dst, "[]"...)
	}
	for i, m := range o {
		dst = append(dst, "{,"[min(i, 1)])
		dst = append(appendString(dst, m.name), ':')
		dst = appendPHP(dst, m.value)
	}
	return append(dst, '}')
}

func appendList(dst []byte, l list) []byte {
	dst = append(dst, '[')
	for i, v := range l {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendPHP(dst, v)
	}
	return append(dst, ']')
}

func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\' || r == '/':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case ' ' <= r && r <= 0x7f:
			dst = append(dst, byte(r))
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			dst = appendUnit(appendUnit(dst, high), low)
		default:
			dst = appendUnit(dst, r)
		}
	}
	return append(dst, '"')
}

// appendUnit appends a UTF-16 code unit as \uXXXX.
func appendUnit(dst []byte, unit rune) []byte {
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', digits[unit>>12&15], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
}
