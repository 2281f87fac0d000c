package normalize

import "sync"

// scanner holds one call's state and the scratch space that calls hand on to each other.
type scanner struct {
	faults
	src  []byte
	opts Options

	// The compact text is buf followed by what is pending of src: src[pend:i], where i is how far the scan has come.
	// Text that is normal as it stands stays pending and is copied in one piece, only when something differs.
	buf  []byte
	pend int
	// coded is set when a text holds an escape or invalid UTF-8, so that its bytes are not those it stands for.
	coded bool

	top     frame    // what is open at this point, innermost
	frames  []frame  // what is open around it, innermost last
	members []member // members of the open objects, innermost last
	keys    []byte   // decoded keys of members that were coded
	objects []object // objects out of order and those around them, by start
	runs    []run    // members of objects out of order, in order
	levels  []level  // objects that are being emitted
	sorter  sorter
	shapes  [shapeSlots]shape
}

// Scratch space beyond these capacities, in elements, is not kept: one large input must not hold memory forever.
const (
	keepBytes = 4 << 20
	keepItems = 1 << 16
)

var pool = sync.Pool{New: func() any { return new(scanner) }}

// borrow returns a scanner with empty scratch space.
func borrow() *scanner {
	return pool.Get().(*scanner)
}

// giveBack empties s and hands it to later calls.
func (s *scanner) giveBack() {
	s.faults = faults{}
	s.src = nil
	s.pend = 0
	s.top = frame{}
	s.buf = kept(s.buf, keepBytes)
	s.keys = kept(s.keys, keepBytes)
	s.frames = kept(s.frames, keepItems)
	s.members = kept(s.members, keepItems)
	s.objects = kept(s.objects, keepItems)
	s.runs = kept(s.runs, keepItems)
	s.levels = kept(s.levels, keepItems)
	s.sorter.words = kept(s.sorter.words, keepItems)
	s.sorter.spare = kept(s.sorter.spare, keepItems)
	s.sorter.groups = kept(s.sorter.groups, keepItems)
	pool.Put(s)
}

// kept returns scratch emptied, or nil if it is too large to keep.
func kept[T any](scratch []T, limit int) []T {
	if cap(scratch) > limit {
		return nil
	}
	return scratch[:0]
}

var queryPool = sync.Pool{New: func() any { return new(query) }}

// borrowQuery returns a query with empty scratch space.
func borrowQuery() *query {
	return queryPool.Get().(*query)
}

// giveBack empties q and hands it to later calls.
func (q *query) giveBack() {
	q.faults = faults{}
	q.text = kept(q.text, keepBytes)
	q.params = kept(q.params, keepItems)
	queryPool.Put(q)
}
