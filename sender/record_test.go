package sender_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klinkgate/caddy-klink/sender"
)

func record(t *testing.T) (r *sender.Recorder, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return sender.Record(listener), listener.Addr().String()
}

// raw sends what is written and returns the status.
func raw(t *testing.T, address, request string) int {
	t.Helper()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	_ = connection.SetDeadline(time.Now().Add(20 * time.Second))
	// A server may refuse, and close, before it has read everything.
	go func() { _, _ = io.WriteString(connection, request) }()
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func TestRecorderKeepsWhatArrives(t *testing.T) {
	r, address := record(t)
	defer r.Close()
	got := make(chan string, 1)
	go func() {
		c, err := r.Next(t.Context())
		if err != nil {
			got <- err.Error()
			return
		}
		got <- show(c)
	}()
	if status := raw(t, address, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"); status != http.StatusMethodNotAllowed {
		t.Errorf("GET is answered %d", status)
	}
	status := raw(t, address, "POST /%2f/x/../y?b=2&a=%31 HTTP/1.1\r\nHost: h.example\r\nx-signature: abc\r\nContent-Length: 5\r\n\r\n{ }\r\n")
	if status != http.StatusOK {
		t.Errorf("POST is answered %d", status)
	}
	want := "POST https h.example /%2f/x/../y?b=2&a=%31 [Content-Length=5 X-Signature=abc] { }\r\n"
	if got := <-got; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRecorderIsBounded(t *testing.T) {
	r, address := record(t)
	defer r.Close()
	body := strings.Repeat(" ", sender.MaxRecordedBody+1)
	status := raw(t, address, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1000001\r\n"+body+"\r\n0\r\n\r\n")
	if status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body is answered %d", status)
	}
	status = raw(t, address, "POST / HTTP/1.1\r\nHost: h\r\nX-A: "+strings.Repeat("a", 128<<10)+"\r\n\r\n")
	if status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a large header is answered %d", status)
	}
}

func TestRecorderEnds(t *testing.T) {
	r, address := record(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context: %v", err)
	}
	answered := make(chan int, 1)
	go func() {
		response, err := http.Post("http://"+address, "application/json", http.NoBody)
		if err != nil {
			answered <- 0 // it came too late
			return
		}
		_ = response.Body.Close()
		answered <- response.StatusCode
	}()
	time.Sleep(50 * time.Millisecond) // so that the request is likely to wait for its turn
	r.Close()
	if status := <-answered; status == http.StatusOK {
		t.Error("a request that nobody looks at is answered 200")
	}
	if _, err := r.Next(t.Context()); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("after Close: %v", err)
	}
}
