package normalize

import "fmt"

// Error says what is wrong with an input and where. Its text holds nothing of the input but at most one offending
// byte, so that it can be logged.
type Error struct {
	// Offset is the position in the input, in bytes, counted from 0.
	Offset int
	// Ambiguous is true for a well-formed input that has more than one reading, false for a malformed one.
	Ambiguous bool
	// Message says what is wrong, without the offset.
	Message string
}

// Error returns "offset N: message".
func (e *Error) Error() string {
	return fmt.Sprintf("offset %d: %s", e.Offset, e.Message)
}

// faults holds what a pass over an input has found wrong. A malformed input is malformed wherever it is ambiguous
// besides, so an ambiguity only counts once the end has been reached.
type faults struct {
	malformed bool
	ambiguous bool
	first     Error
}

// verdict returns the error to report, or nil.
func (f *faults) verdict() error {
	if !f.malformed && !f.ambiguous {
		return nil
	}
	e := f.first
	return &e
}

// fail notes that the input is malformed at offset. It returns a negative position, which scanning functions pass on.
func (f *faults) fail(offset int, message string) int {
	f.malformed = true
	f.first = Error{Offset: offset, Message: message}
	return -1
}

// doubtAt notes that the input has more than one reading because of what stands at offset.
func (f *faults) doubtAt(offset int, message string) {
	if !f.ambiguous || offset < f.first.Offset {
		f.ambiguous = true
		f.first = Error{Offset: offset, Ambiguous: true, Message: message}
	}
}

// doubt is doubtAt unless ambiguous texts are allowed.
func (s *scanner) doubt(offset int, message string) {
	if !s.opts.AllowAmbiguous {
		s.doubtAt(offset, message)
	}
}

// failByte fails at the byte at i, which must not stand where it does.
func (s *scanner) failByte(i int, where string) int {
	c := s.src[i]
	if c <= ' ' || c >= 0x7f {
		return s.fail(i, fmt.Sprintf("unexpected byte 0x%02x %s", c, where))
	}
	return s.fail(i, fmt.Sprintf("unexpected %c %s", c, where))
}

// failEnd fails because the text ends too early.
func (s *scanner) failEnd() int {
	if s.pend == len(s.src) && len(s.buf) == 0 {
		return s.fail(len(s.src), "empty")
	}
	return s.fail(len(s.src), "ends too early")
}
