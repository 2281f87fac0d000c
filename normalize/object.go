package normalize

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// frame is what is open at some point of the text: an array, an object, or nothing.
type frame struct {
	kind     byte
	unsorted bool // some member does not follow the one before it
	base     int  // index of the object's first member
	object   int  // index into objects
}

const (
	inNothing = iota
	inArray
	inObject
)

// push notes that f has been opened.
func (s *scanner) push(f frame) {
	s.frames = append(s.frames, s.top)
	s.top = f
}

// pop notes that what was opened last has been closed.
func (s *scanner) pop() {
	last := len(s.frames) - 1
	s.top = s.frames[last]
	s.frames = s.frames[:last]
}

// member is a member of an open object. Positions are in the compact text unless said otherwise.
type member struct {
	prefix uint64 // the first seven bytes of the key and how many there are, see prefixAt
	start  uint32 // of the key's quote
	end    uint32 // of the value
	key    uint32 // position of the key in src, or in keys if it was coded
	length uint32 // of the key; with decodedKey set if it is in keys
	first  uint32 // how many objects were noted before this member
	offset uint32 // of the key's quote in src
}

const decodedKey = 1 << 31

// object is an object with members out of order, or around one that has (then hi is 0).
type object struct {
	start, end uint32 // its braces in the compact text
	lo, hi     uint32 // its members in order: runs[lo:hi]
	next       uint32 // index of the first object after it that is not inside it
}

// run is a stretch of members that stand one after the other in the compact text and in the normal form.
type run struct {
	start, end uint32 // in the compact text
	first      uint32 // index of the first object inside or after it
}

// prefixAt returns the first seven bytes of b[i:end] as a number, and in its lowest byte how many they are, 8 if more
// follow. Numbers are ordered as the keys are; equal ones with less than 8 mean equal keys.
func prefixAt(b []byte, i, end int) uint64 {
	n := end - i
	var w uint64
	if i+8 <= len(b) {
		w = binary.BigEndian.Uint64(b[i:])
	} else {
		var last [8]byte
		copy(last[:], b[i:])
		w = binary.BigEndian.Uint64(last[:])
	}
	if n > 7 {
		return w&^0xff | 8
	}
	return w&^(^uint64(0)>>(8*n)) | uint64(n)
}

// keyOf returns a member's decoded key.
func (s *scanner) keyOf(m *member) []byte {
	if m.length&decodedKey != 0 {
		n := m.length &^ decodedKey
		return s.keys[m.key : m.key+n]
	}
	return s.src[m.key : m.key+m.length]
}

// compare compares the keys of two members.
func (s *scanner) compare(a, b *member) int {
	switch {
	case a.prefix < b.prefix:
		return -1
	case a.prefix > b.prefix:
		return 1
	case byte(a.prefix) < 8:
		return 0
	}
	return bytes.Compare(s.keyOf(a)[7:], s.keyOf(b)[7:])
}

// addMember notes a member of the innermost object, whose key starts at start in the compact text and at offset in src.
func (s *scanner) addMember(start uint32, offset int, key, length uint32, prefix uint64) {
	n := len(s.members)
	s.members = slices.Grow(s.members, 1)[:n+1]
	m := &s.members[n]
	m.prefix, m.start, m.key, m.length = prefix, start, key, length
	m.first, m.offset = uint32(len(s.objects)), uint32(offset)
	if n > s.top.base && !s.top.unsorted {
		last := &s.members[n-1]
		s.top.unsorted = prefix < last.prefix || prefix == last.prefix && s.compare(last, m) >= 0
	}
}

// closeObject ends the innermost object, whose closing brace is at i.
func (s *scanner) closeObject(i int) {
	f := &s.top
	if f.unsorted {
		lo := len(s.runs)
		s.order(s.members[f.base:])
		o := &s.objects[f.object]
		o.end = s.at(i) + 1
		o.lo, o.hi = uint32(lo), uint32(len(s.runs))
		o.next = uint32(len(s.objects))
	} else if f.object == len(s.objects)-1 {
		s.objects = s.objects[:f.object]
	}
	s.members = s.members[:f.base]
	s.pop()
}

// addRun notes m as the next member in order. What starts just behind the last run can only be the next member of the
// same object.
func (s *scanner) addRun(m *member) {
	if n := len(s.runs); n > 0 && s.runs[n-1].end+1 == m.start {
		s.runs[n-1].end = m.end
		return
	}
	s.runs = append(s.runs, run{m.start, m.end, m.first})
}
