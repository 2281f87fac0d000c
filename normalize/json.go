package normalize

const (
	// maxDepth is encoding/json's limit on nested arrays and objects.
	maxDepth = 10000
	// maxInput keeps every offset within 32 bits: no byte of input becomes more than six bytes of output.
	maxInput = 1 << 29
)

// AppendJSON appends the normal form of the JSON text src to dst and returns the extended slice. On an error, which is
// always an *Error, it returns dst as it was given.
//
// src is not modified and the result does not alias it; dst may be nil but must not overlap src. Texts longer than 512
// MiB are refused. Time and memory are linear in len(src), whatever it holds.
func AppendJSON(dst, src []byte, o Options) ([]byte, error) {
	if len(src) > maxInput {
		return dst, &Error{Offset: maxInput, Message: "longer than 512 MiB"}
	}
	s := borrow()
	defer s.giveBack()
	s.src, s.opts = src, o

	end := s.scan()
	if err := s.verdict(); err != nil {
		return dst, err
	}
	text := s.compacted(end)
	if len(s.objects) == 0 {
		return append(dst, text...), nil
	}
	return s.emit(dst, text), nil
}

// scan reads src once, compacting it as it goes and noting the objects whose members are out of order. It returns the
// end of the top-level value, or a negative number once s.fail has been called.
func (s *scanner) scan() int {
	src := s.src
	i := s.space(0)
	if i < len(src) && src[i] != '{' {
		s.doubt(i, "the top level is not an object")
	}
	for {
		if uint(i) >= uint(len(src)) {
			if i < 0 {
				return i
			}
			return s.failEnd()
		}
		closed := true
		switch c := src[i]; c {
		case '"':
			i = plainEnd(src, i+1)
			if i < len(src) && src[i] == '"' {
				i++
			} else {
				i = s.text(i)
			}
		case '{':
			i, closed = s.openObject(i)
		case '[':
			i, closed = s.openArray(i)
		case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
			i = s.number(i)
		case 't':
			i = s.literal(i, "true")
		case 'f':
			i = s.literal(i, "false")
		case 'n':
			i = s.literal(i, "null")
		default:
			return s.failByte(i, "where a value should start")
		}
		if i < 0 {
			return i
		}
		if closed {
			if s.top.kind == inObject && i < len(src) && src[i] == ',' {
				s.members[len(s.members)-1].end = s.at(i)
				i = s.key(i + 1)
				continue
			}
			var more bool
			if i, more = s.after(i); !more {
				return i
			}
		}
	}
}

// after goes on from the end of a value at i: it closes what closes there and returns the start of the next value, or
// the end of the top-level value and false.
func (s *scanner) after(i int) (next int, more bool) {
	src := s.src
	for s.top.kind != inNothing {
		object := s.top.kind == inObject
		if object {
			s.members[len(s.members)-1].end = s.at(i)
		}
		if i < len(src) && src[i] <= ' ' {
			i = s.space(i)
		}
		if i >= len(src) {
			return s.failEnd(), false
		}
		switch c := src[i]; {
		case c == ',':
			if object {
				i = s.key(i + 1)
			} else {
				i = s.space(i + 1)
			}
			return i, i >= 0
		case c == ']' && !object:
			s.pop()
		case c == '}' && object:
			s.closeObject(i)
		case object:
			return s.failByte(i, "where a comma or } should follow"), false
		default:
			return s.failByte(i, "where a comma or ] should follow"), false
		}
		i++
	}
	return s.finish(i), false
}

// finish checks that nothing but white space follows the top-level value, which ends at end.
func (s *scanner) finish(end int) int {
	for i := end; i < len(s.src); i++ {
		if !isSpace(s.src[i]) {
			return s.failByte(i, "after the JSON value")
		}
	}
	return end
}

// openArray starts the array at i. It returns the start of its first value, or its end and true when it is empty.
func (s *scanner) openArray(i int) (next int, closed bool) {
	if len(s.frames) == maxDepth {
		return s.fail(i, "nested deeper than 10000 levels"), false
	}
	i = s.space(i + 1)
	if i < len(s.src) && s.src[i] == ']' {
		return i + 1, true
	}
	s.push(frame{kind: inArray})
	return i, false
}

// openObject starts the object at i. It returns the start of its first value, or its end and true when it is empty.
func (s *scanner) openObject(i int) (next int, closed bool) {
	if len(s.frames) == maxDepth {
		return s.fail(i, "nested deeper than 10000 levels"), false
	}
	start := s.at(i)
	i++
	if i < len(s.src) && s.src[i] <= ' ' {
		i = s.space(i)
	}
	if i < len(s.src) && s.src[i] == '}' {
		return i + 1, true
	}
	s.push(frame{kind: inObject, base: len(s.members), object: len(s.objects)})
	s.objects = append(s.objects, object{start: start})
	return s.key(i), false
}

// key reads the member's key that should follow at i, and the colon. It returns the start of the member's value.
func (s *scanner) key(i int) int {
	src := s.src
	if i < len(src) && src[i] <= ' ' {
		i = s.space(i)
	}
	if i >= len(src) {
		return s.failEnd()
	}
	if src[i] != '"' {
		return s.failByte(i, "where a key should start")
	}
	start := s.at(i)
	end := plainEnd(src, i+1)
	if end < len(src) && src[end] == '"' {
		s.addMember(start, i, uint32(i+1), uint32(end-i-1), prefixAt(src, i+1, end))
		end++
	} else if end = s.unusualKey(start, i, end); end < 0 {
		return end
	}
	if end+1 < len(src) && src[end] == ':' && src[end+1] > ' ' {
		return end + 1
	}
	return s.colon(end)
}

// unusualKey reads the rest of the key at i, whose start in the compact text is start, from plain on. It returns its
// end.
func (s *scanner) unusualKey(start uint32, i, plain int) int {
	s.coded = false
	end := s.text(plain)
	switch {
	case end < 0:
	case s.coded:
		key := len(s.keys)
		s.keys = appendDecoded(s.keys, s.src[i+1:end-1])
		s.addMember(start, i, uint32(key), uint32(len(s.keys)-key)|decodedKey, prefixAt(s.keys, key, len(s.keys)))
	default:
		s.addMember(start, i, uint32(i+1), uint32(end-i-2), prefixAt(s.src, i+1, end-1))
	}
	return end
}

// colon reads the colon that should follow at i, with the white space around it, and returns its end.
func (s *scanner) colon(i int) int {
	i = s.space(i)
	if i >= len(s.src) {
		return s.failEnd()
	}
	if s.src[i] != ':' {
		return s.failByte(i, "where a colon should follow the key")
	}
	return s.space(i + 1)
}

// literal reads word, which should stand at i.
func (s *scanner) literal(i int, word string) int {
	for j := range len(word) {
		if i+j >= len(s.src) {
			return s.failEnd()
		}
		if s.src[i+j] != word[j] {
			return s.failByte(i+j, "in "+word)
		}
	}
	return i + len(word)
}
