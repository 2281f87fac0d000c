package normalize

import "bytes"

// smallObject is how many members are sorted by insertion; more are sorted by radix.
const smallObject = 48

// shape is the order in which the members of an object were last found. Senders write their objects always the same
// way, so it is tried first on an object of as many members, and used only if it puts them in order.
type shape struct {
	count uint8
	order [smallObject]uint8
}

const shapeSlots = 256

// order appends the members of one object to runs, which start at lo, in the order of their keys. Of members with the
// same key only the last one stays.
func (s *scanner) order(members []member, lo int) {
	if len(members) > smallObject {
		s.orderLarge(members, lo)
		return
	}
	p := s.shapeOf(members)
	if !s.fits(p, members) && !s.insertionSort(p, members) {
		s.dropRepeated(p, members, lo)
		return
	}
	for _, k := range p.order[:len(members)] {
		s.addRun(&members[k], lo)
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

// insertionSort sets p to the order of members; those with the same key stay in the order they came. It reports whether
// all keys are different.
func (s *scanner) insertionSort(p *shape, members []member) bool {
	p.count = uint8(len(members))
	different := true
	for k := range members {
		m := &members[k]
		j := k
		for ; j > 0; j-- {
			before := &members[p.order[j-1]]
			if before.prefix <= m.prefix {
				c := s.compare(before, m)
				different = different && c != 0
				if c <= 0 {
					break
				}
			}
			p.order[j] = p.order[j-1]
		}
		p.order[j] = uint8(k)
	}
	return different
}

// dropRepeated is the end of order for members whose keys repeat.
func (s *scanner) dropRepeated(p *shape, members []member, lo int) {
	for k, this := range p.order[:len(members)] {
		if k+1 == len(members) || !s.repeated(&members[this], &members[p.order[k+1]]) {
			s.addRun(&members[this], lo)
		}
	}
}

// repeated reports whether b has the same key as a, which precedes it.
func (s *scanner) repeated(a, b *member) bool {
	if s.compare(a, b) != 0 {
		return false
	}
	s.doubt(int(b.offset), "repeated key")
	return true
}

// sorter is the scratch space for sorting many members.
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

// orderLarge is order for many members. It compares seven bytes of all keys at a time, and goes deeper only among keys
// that were alike so far: the work is bounded by the keys' total length, whatever they have in common.
func (s *scanner) orderLarge(members []member, lo int) {
	q := &s.sorter
	q.words = resized(q.words, len(members))
	q.spare = resized(q.spare, len(members))
	for k := range members {
		q.words[k] = word{members[k].prefix, uint32(k)}
	}
	radixSort(q.words, q.spare)
	q.groups = q.groups[:0]
	q.findGroups(0, uint32(len(members)), 7)
	for len(q.groups) > 0 {
		g := q.groups[len(q.groups)-1]
		q.groups = q.groups[:len(q.groups)-1]
		s.sortGroup(g, members)
	}
	for k := range q.words {
		m := &members[q.words[k].member]
		if k+1 == len(q.words) || !s.repeated(m, &members[q.words[k+1].member]) {
			s.addRun(m, lo)
		}
	}
}

// sortGroup sorts a group by what follows in its keys.
func (s *scanner) sortGroup(g group, members []member) {
	words := s.sorter.words[g.lo:g.hi]
	if len(words) <= smallObject {
		for k := range words {
			w := words[k]
			key := s.keyOf(&members[w.member])[g.depth:]
			j := k
			for j > 0 && bytes.Compare(s.keyOf(&members[words[j-1].member])[g.depth:], key) > 0 {
				words[j] = words[j-1]
				j--
			}
			words[j] = w
		}
		return
	}
	for k := range words {
		key := s.keyOf(&members[words[k].member])
		words[k].bytes = prefixAt(key, int(g.depth), len(key))
	}
	radixSort(words, s.sorter.spare[g.lo:g.hi])
	s.sorter.findGroups(g.lo, g.hi, g.depth+7)
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
