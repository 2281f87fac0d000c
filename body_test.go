package klink

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
)

var never = time.Now().Add(1000 * time.Hour)

func TestReadAll(t *testing.T) {
	const limit = 100_000
	for _, size := range []int{0, 1, smallestBuffer - 1, smallestBuffer, smallestBuffer + 1, 4 * smallestBuffer, firstBuffer, firstBuffer + 1, limit - 1, limit} {
		for name, announced := range map[string]int64{"announced": int64(size), "chunked": -1, "lied about, small": 1, "lied about, large": limit} {
			for style, reader := range map[string]func(io.Reader) io.Reader{
				"at once":         func(r io.Reader) io.Reader { return r },
				"byte by byte":    iotest.OneByteReader,
				"EOF with data":   iotest.DataErrReader,
				"some at a time":  iotest.HalfReader,
				"one byte at EOF": func(r io.Reader) io.Reader { return iotest.DataErrReader(iotest.OneByteReader(r)) },
			} {
				b := newBuffers(limit)
				body := strings.Repeat("0123456789abcdef", limit/16+1)[:size]
				buf, err := b.readAll(reader(strings.NewReader(body)), announced, never)
				if err != nil || string(buf.data) != body {
					t.Fatalf("%d bytes, %s, %s: got %d, %v", size, name, style, len(buf.data), err)
				}
				if _, err := b.readAll(reader(strings.NewReader(body+strings.Repeat("x", limit+1-size))), announced, never); !errors.Is(err, errTooLarge) {
					t.Fatalf("more than the limit, %s, %s: %v", name, style, err)
				}
			}
		}
	}
}

// TestBrokenOff: what has arrived until then is known.
func TestBrokenOff(t *testing.T) {
	for _, size := range []int{0, 10, smallestBuffer, smallestBuffer + 10} {
		b := newBuffers(1 << 20)
		buf, err := b.readAll(io.MultiReader(bytes.NewReader(make([]byte, size)), iotest.ErrReader(io.ErrUnexpectedEOF)), 1<<19, never)
		if !errors.Is(err, io.ErrUnexpectedEOF) || len(buf.data) != size {
			t.Errorf("%d bytes: got %d, %v", size, len(buf.data), err)
		}
	}
}

// TestLimitHoldsForUsedBuffers: a buffer that held too much is no larger for the
// next body.
func TestLimitHoldsForUsedBuffers(t *testing.T) {
	const limit = 3 * smallestBuffer
	b := newBuffers(limit)
	tooMuch := strings.Repeat("x", 2*limit)
	for range 100 {
		buf, err := b.readAll(strings.NewReader(tooMuch), -1, never)
		if !errors.Is(err, errTooLarge) {
			t.Fatalf("%d bytes, %v", len(buf.data), err)
		}
		b.giveBack(buf)
	}
}

// dribble gives a byte a second for ever.
type dribble struct{}

func (dribble) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	return copy(p, "x"), nil
}

// TestADribbledBodyIsGivenUp: nobody waits for its answer any more.
func TestADribbledBodyIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuffers(1 << 20)
		begun := time.Now()
		buf, err := b.readAll(dribble{}, 1<<19, begun.Add(senderTimeout))
		if took := time.Since(begun); !errors.Is(err, errTooSlow) || took != senderTimeout+time.Second {
			t.Errorf("%v after %v, with %d bytes", err, took, len(buf.data))
		}
	})
}

// TestAnnouncedLengthReservesLittle: a sender that announces much and sends
// nothing costs no more than the first buffer.
func TestAnnouncedLengthReservesLittle(t *testing.T) {
	b := newBuffers(512 << 20)
	buf, err := b.readAll(strings.NewReader(""), 512<<20, never)
	if err != nil || cap(buf.data) > firstBuffer {
		t.Errorf("%d bytes reserved, %v", cap(buf.data), err)
	}
	buf, _ = b.readAll(strings.NewReader("x"), 1, never)
	if cap(buf.data) != smallestBuffer {
		t.Errorf("%d bytes for one byte", cap(buf.data))
	}
	if n := newBuffers(3); n.size(0) != 3 {
		t.Errorf("%d bytes where max_body is 3", n.size(0))
	}
}

func newReplay(body string) (*replayBody, *buffers) {
	b := newBuffers(1 << 20)
	buf, _ := b.readAll(strings.NewReader(body), int64(len(body)), never)
	return &replayBody{buf: buf, replacer: caddy.NewReplacer()}, &b
}

func TestReplayBody(t *testing.T) {
	const body = "0123456789"
	b, pool := newReplay(body)
	for range 3 { // from the beginning after each Close, wherever it was
		if got, err := io.ReadAll(b); string(got) != body || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
		if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("after the end: %d, %v", n, err)
		}
		_ = b.Close()
		_, _ = b.Read(make([]byte, 3))
		_ = b.Close()
		_ = b.Close()
	}
	_, _ = b.Read(make([]byte, 3))
	b.release(pool)
	b.release(pool) // gives the buffer back once
	if n, err := b.Read(make([]byte, 1)); n != 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("after the handler has returned: %d, %v", n, err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("closing it late: %v", err)
	}
}

// TestAnswerWhileSending: the backend answers while the body is still being sent,
// and the transport closes it when another try has begun. That try must not get
// a body that begins anew in the middle.
func TestAnswerWhileSending(t *testing.T) {
	b, _ := newReplay("0123456789")
	first := make([]byte, 4)
	_, _ = io.ReadFull(b, first)
	b.replacer.Set("http.reverse_proxy.upstream.latency", time.Millisecond) // the answer
	second := make([]byte, 2)
	_, _ = io.ReadFull(b, second) // the other try begins
	_ = b.Close()                 // the first sending ends
	if rest, err := io.ReadAll(b); len(rest) > 0 || !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("the other try got %q after %q, %v", rest, second, err)
	}

	// Once the body has been sent and closed, an answer says nothing about it.
	b, _ = newReplay("0123456789")
	for i := range 3 {
		if got, err := io.ReadAll(b); string(got) != "0123456789" || err != nil {
			t.Errorf("try %d: %q, %v", i, got, err)
		}
		_ = b.Close()
		b.replacer.Set("http.reverse_proxy.upstream.latency", time.Duration(i+1))
	}
}

func TestBoundedBody(t *testing.T) {
	read := func(size int, limit int64) (string, error, bool) {
		b := &boundedBody{ReadCloser: io.NopCloser(strings.NewReader(strings.Repeat("x", size))), left: limit}
		got, err := io.ReadAll(b)
		if _, again := b.Read(make([]byte, 1)); again == nil {
			t.Errorf("%d of %d bytes: something after the end", size, limit)
		}
		return string(got), err, b.exceeded.Load()
	}
	for _, size := range []int{0, 1, 999, 1000} {
		if got, err, exceeded := read(size, 1000); len(got) != size || err != nil || exceeded {
			t.Errorf("%d of 1000 bytes: %d, %v, exceeded %v", size, len(got), err, exceeded)
		}
	}
	for _, size := range []int{1001, 5000} {
		if got, err, exceeded := read(size, 1000); len(got) > 1000 || !errors.Is(err, errTooLarge) || !exceeded {
			t.Errorf("%d of 1000 bytes: %d, %v, exceeded %v", size, len(got), err, exceeded)
		}
	}
}
