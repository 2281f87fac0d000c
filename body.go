package klink

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/klinkgate/caddy-klink/verifier"
)

// buffers are pools of body buffers, each of four times the size of the one
// before. A buffer grows as the body arrives, so that a sender cannot reserve
// much more memory than it fills.
type buffers struct {
	pools []sync.Pool
	max   int64
}

const (
	smallestBuffer = 4 << 10
	firstBuffer    = 64 << 10 // the most that an announced length alone reserves
)

func newBuffers(max int64) buffers {
	n := 1
	for size := int64(smallestBuffer); size < max; size *= 4 {
		n++
	}
	return buffers{pools: make([]sync.Pool, n), max: max}
}

func (b *buffers) size(class int) int64 {
	return min(smallestBuffer<<(2*class), b.max)
}

func (b *buffers) class(length int64) int {
	class := 0
	for b.size(class) < length {
		class++
	}
	return class
}

func (b *buffers) borrow(class int) *buffer {
	if buf, ok := b.pools[class].Get().(*buffer); ok {
		buf.data = buf.data[:0]
		return buf
	}
	return &buffer{data: make([]byte, 0, b.size(class)), class: class}
}

func (b *buffers) giveBack(buf *buffer) { b.pools[buf.class].Put(buf) }

type buffer struct {
	data  []byte
	class int
}

var errTooLarge = caddyhttp.Error(http.StatusRequestEntityTooLarge, errors.New("the body is larger than max_body"))

var errTooSlow = errors.New("the body did not come in time")

// readAll reads a body to its end. The buffer is the caller's, also on an error.
// Who dribbles a body gives up at the deadline; who stops altogether is up to the
// server's own time-out.
func (b *buffers) readAll(r io.Reader, length int64, deadline time.Time) (*buffer, error) {
	buf := b.borrow(b.class(min(max(length, 0), firstBuffer, b.max)))
	for {
		room := min(cap(buf.data), int(b.max)) // a buffer that held too much once has more
		if len(buf.data) == room {
			ended, err := b.grow(&buf, r)
			if ended || err != nil {
				return buf, err
			}
			continue
		}
		n, err := r.Read(buf.data[len(buf.data):room])
		buf.data = buf.data[:len(buf.data)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err == nil && time.Now().After(deadline) {
			err = errTooSlow
		}
		if err != nil {
			return buf, err
		}
	}
}

// grow moves a full buffer into a larger one, unless the body ends here.
func (b *buffers) grow(buf **buffer, r io.Reader) (ended bool, err error) {
	var next [1]byte
	n, err := io.ReadFull(r, next[:])
	if n == 0 {
		return err == io.EOF, ignoreEOF(err)
	}
	small := *buf
	if int64(len(small.data)) == b.max {
		small.data = append(small.data, next[0])
		return false, errTooLarge
	}
	large := b.borrow(small.class + 1)
	large.data = append(append(large.data, small.data...), next[0])
	b.giveBack(small)
	*buf = large
	return false, nil
}

func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// replayBody is a request body in memory that a proxy can send again: closing it
// goes back to its beginning. Reading copies under a lock, and fails once the
// handler has returned, so that the memory can be used for another request even
// while a transport still holds the body.
type replayBody struct {
	mu       sync.Mutex
	buf      *buffer // nil once the handler has returned
	pos      int
	spoilt   bool
	replacer *caddy.Replacer
	answer   any // the backend's last answer when this reading began
}

func (b *replayBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buf == nil || b.spoilt {
		return 0, http.ErrBodyReadAfterClose
	}
	if b.pos == 0 {
		b.answer = b.lastAnswer()
	}
	n := copy(p, b.buf.data[b.pos:])
	b.pos += n
	if b.pos == len(b.buf.data) {
		return n, io.EOF
	}
	return n, nil
}

// Close goes back to the beginning for another try. When the backend answered
// while the body was being read, the transport may close it late, in the middle
// of that other try: then no reading is safe any more, and the next fails.
func (b *replayBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buf == nil || b.pos == 0 {
		return nil
	}
	if b.lastAnswer() != b.answer {
		b.spoilt = true
	}
	b.pos = 0
	return nil
}

// lastAnswer tells the backend's answers apart by their latency.
func (b *replayBody) lastAnswer() any {
	latency, _ := b.replacer.Get("http.reverse_proxy.upstream.latency")
	return latency
}

func (b *replayBody) release(to *buffers) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buf != nil {
		to.giveBack(b.buf)
		b.buf = nil
	}
}

// boundedBody streams a body whose length was not announced.
type boundedBody struct {
	io.ReadCloser
	left     int64
	exceeded atomic.Bool
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.exceeded.Load() {
		return 0, errTooLarge
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		b.exceeded.Store(true)
		return int(b.left), errTooLarge
	}
	b.left -= int64(n)
	return n, err
}

func tooLarge() *verifier.Refusal {
	return &verifier.Refusal{Reason: verifier.BodyTooLarge, Detail: "larger than max_body"}
}
