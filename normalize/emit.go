package normalize

import "slices"

// level is an object that is being emitted.
type level struct {
	run, hi uint32 // its members still to come: runs[run:hi]
	// Where to go on after its last member: its closing brace, the next object, and the end of what is around it.
	brace, next, limit uint32
}

// emit appends the compact text with the members of every object in order. Each byte is copied once, however deep it
// is nested: an object's members move only here, never when an object around them is put in order.
func (s *scanner) emit(dst, text []byte) []byte {
	dst = slices.Grow(dst, len(text))
	whole := dst
	// Short pieces are copied with bytes behind them: they must not end up behind the result.
	dst = dst[: len(dst) : len(dst)+len(text)]
	objects, runs, levels := s.objects, s.runs, s.levels[:0]
	// What is copied next is text[pos:limit]. It starts with the byte before a member, a comma or a brace, and lead is
	// written in its place.
	var pos, next uint32
	lead, limit := text[0], uint32(len(text))
	for {
		if next < uint32(len(objects)) && objects[next].start < limit {
			o := &objects[next]
			if o.hi == 0 {
				next++
				continue
			}
			if pos < o.start { // unless the text starts with this object
				dst = appendLed(dst, text, lead, pos, o.start)
			}
			levels = append(levels, level{o.lo + 1, o.hi, o.end - 1, o.next, limit})
			r := runs[o.lo]
			pos, limit, next, lead = r.start-1, r.end, r.first, '{'
			continue
		}
		dst = appendLed(dst, text, lead, pos, limit)
		if len(levels) == 0 {
			s.levels = levels
			return whole[:len(dst)]
		}
		l := &levels[len(levels)-1]
		if l.run < l.hi {
			r := runs[l.run]
			pos, limit, next, lead = r.start-1, r.end, r.first, ','
			l.run++
			continue
		}
		pos, limit, next, lead = l.brace, l.limit, l.next, '}'
		levels = levels[:len(levels)-1]
	}
}

// appendLed appends text[pos:end] with lead in place of its first byte.
func appendLed(dst, text []byte, lead byte, pos, end uint32) []byte {
	n := len(dst)
	dst = appendPiece(dst, text, int(pos), int(end))
	dst[n] = lead
	return dst
}
