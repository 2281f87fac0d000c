package normalize

// at returns the position in the compact text that corresponds to position i of src.
func (s *scanner) at(i int) uint32 {
	return uint32(len(s.buf) + i - s.pend)
}

// flush moves what is pending up to end into buf, and goes on with what is pending from resume.
func (s *scanner) flush(end, resume int) {
	if s.pend < end {
		s.buf = appendPiece(s.buf, s.src, s.pend, end)
	}
	s.pend = resume
}

// appendPiece appends src[from:to]. A short piece is copied with bytes that do not belong to it, where there is room
// in b: that takes less time than to copy its exact length.
func appendPiece(b, src []byte, from, to int) []byte {
	n := len(b)
	if to-from <= 16 && from+16 <= len(src) && n+16 <= cap(b) {
		*(*[16]byte)(b[n : n+16]) = *(*[16]byte)(src[from : from+16])
		return b[:n+to-from]
	}
	return append(b, src[from:to]...)
}

// compacted returns the whole compact text, of a value that ends at end. It aliases src or scratch space.
func (s *scanner) compacted(end int) []byte {
	if len(s.buf) == 0 {
		return s.src[s.pend:end]
	}
	s.flush(end, end)
	return s.buf
}

// space leaves out the white space at i, if any, and returns its end.
func (s *scanner) space(i int) int {
	j := i
	for j < len(s.src) && isSpace(s.src[j]) {
		j++
	}
	if j > i {
		s.flush(i, j)
	}
	return j
}

func isSpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\r' || c == '\t'
}
