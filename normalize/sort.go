package normalize

// shape is the order in which the members of an object were last found. Senders write their objects always the same
// way, so it is tried first on an object of as many members, and used only if it puts them in order.
type shape struct {
	count uint8
	order [shapeMembers]uint8
}

const (
	shapeMembers = 48 // objects with more members have no shape
	shapeSlots   = 256
)

// order appends the members of one object to runs, in the order of their keys. Of members with the same key only the
// last one stays.
func (s *scanner) order(members []member) {
	var p *shape
	if len(members) <= shapeMembers {
		p = s.shapeOf(members)
		if s.fits(p, members) {
			for _, k := range p.order[:len(members)] {
				s.addRun(&members[k])
			}
			return
		}
		p.count = uint8(len(members))
	}
	words := s.sorted(members)
	for k := range words {
		m := &members[words[k].member]
		if k+1 == len(words) || !s.repeated(m, &members[words[k+1].member]) {
			s.addRun(m)
		}
		if p != nil {
			p.order[k] = uint8(words[k].member)
		}
	}
}

// shapeOf returns the place where the order of members like these is kept.
func (s *scanner) shapeOf(members []member) *shape {
	n := len(members)
	h := members[0].prefix*0x9e3779b97f4a7c15 ^ members[n-1].prefix*0xc2b2ae3d27d4eb4f + uint64(n)
	return &s.shapes[(h*0x9e3779b97f4a7c15)>>56%shapeSlots]
}

// fits reports whether p puts members into ascending order, all keys being different.
func (s *scanner) fits(p *shape, members []member) bool {
	if int(p.count) != len(members) {
		return false
	}
	a := &members[p.order[0]]
	for _, k := range p.order[1:len(members)] {
		b := &members[k]
		if a.prefix >= b.prefix && s.compare(a, b) >= 0 {
			return false
		}
		a = b
	}
	return true
}

// repeated reports whether b has the same key as a, which precedes it.
func (s *scanner) repeated(a, b *member) bool {
	if a.prefix != b.prefix || s.compare(a, b) != 0 {
		return false
	}
	s.doubt(int(b.offset), "repeated key")
	return true
}

// sorter is the scratch space for sorting.
type sorter struct {
	words, spare []word
	groups       []group
}

// word stands for a member: seven bytes of its key, see prefixAt.
type word struct {
	bytes  uint64
	member uint32
}

// group is a stretch of words whose keys are alike up to depth bytes.
type group struct {
	lo, hi, depth uint32
}

// sorted returns members in the order of their keys; those with the same key stay in the order they came. It compares
// seven bytes of all keys at a time, and goes deeper only among keys that were alike so far: the work is bounded by the
// keys' total length, whatever they have in common.
func (s *scanner) sorted(members []member) []word {
	q := &s.sorter
	n := uint32(len(members))
	q.words = resized(q.words, len(members))
	q.spare = resized(q.spare, len(members))
	for k := range members {
		q.words[k] = word{members[k].prefix, uint32(k)}
	}
	sortWords(q.words, q.spare)
	q.groups = q.groups[:0]
	q.findGroups(0, n, 7)
	for len(q.groups) > 0 {
		g := q.groups[len(q.groups)-1]
		q.groups = q.groups[:len(q.groups)-1]
		words := q.words[g.lo:g.hi]
		for k := range words {
			m := &members[words[k].member]
			key, from := s.src, m.key
			if m.length&decodedKey != 0 {
				key = s.keys
			}
			words[k].bytes = prefixAt(key, int(from+g.depth), int(from+m.length&^decodedKey))
		}
		sortWords(words, q.spare[g.lo:g.hi])
		q.findGroups(g.lo, g.hi, g.depth+7)
	}
	return q.words
}

// findGroups notes the stretches of words[lo:hi] that are alike and whose keys go on.
func (q *sorter) findGroups(lo, hi, depth uint32) {
	for lo < hi {
		end := lo + 1
		for end < hi && q.words[end].bytes == q.words[lo].bytes {
			end++
		}
		if end-lo > 1 && byte(q.words[lo].bytes) == 8 {
			q.groups = append(q.groups, group{lo, end, depth})
		}
		lo = end
	}
}

// insertionWords is how many words are sorted faster by insertion than by radix.
const insertionWords = 64

// sortWords sorts words by their bytes; those that are alike stay in the order they came. spare is as long as words.
func sortWords(words, spare []word) {
	if len(words) > insertionWords {
		radixSort(words, spare)
		return
	}
	for k := 1; k < len(words); k++ {
		w := words[k]
		j := k
		for ; j > 0 && words[j-1].bytes > w.bytes; j-- {
			words[j] = words[j-1]
		}
		words[j] = w
	}
}

// radixSort sorts words by their bytes; those that are alike stay in the order they came. spare is as long as words.
func radixSort(words, spare []word) {
	var differ uint64
	for k := range words {
		differ |= words[k].bytes ^ words[0].bytes
	}
	from, to := words, spare
	for shift := 0; shift < 64; shift += 8 {
		if byte(differ>>shift) == 0 {
			continue
		}
		var place [256]uint32
		for k := range from {
			place[byte(from[k].bytes>>shift)]++
		}
		sum := uint32(0)
		for c, n := range place {
			place[c] = sum
			sum += n
		}
		for k := range from {
			p := &place[byte(from[k].bytes>>shift)]
			to[*p] = from[k]
			*p++
		}
		from, to = to, from
	}
	if &from[0] != &words[0] {
		copy(words, from)
	}
}

// resized returns scratch with n elements of any content.
func resized(scratch []word, n int) []word {
	if cap(scratch) < n {
		return make([]word, n)
	}
	return scratch[:n]
}
