package normalize

// at returns the position in the compact text that corresponds to position i of src.
func (s *scanner) at(i int) uint32 {
	return uint32(len(s.buf) + i - s.pend)
}

// flush moves what is pending up to end into buf, and goes on with what is pending from resume.
func (s *scanner) flush(end, resume int) {
	s.buf = append(s.buf, s.src[s.pend:end]...)
	s.pend = resume
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
