package sender

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// ErrTimeout is why there was no answer when Timeout had passed.
var ErrTimeout = fmt.Errorf("no answer within %v", Timeout)

// newClient returns a client that follows no redirect: for K-LINK that is an answer other than 200.
func newClient(transport http.RoundTripper) (client *http.Client, own *http.Transport) {
	if transport == nil {
		own = http.DefaultTransport.(*http.Transport).Clone()
		own.MaxIdleConns = 0 // no limit: all connections go to one endpoint
		own.MaxIdleConnsPerHost = maxIdleConnections
		own.DisableCompression = true
		transport = own
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, own
}

// maxIdleConnections is how many connections wait for their next request.
const maxIdleConnections = 1024

// attempt makes one request.
func (s *Sender) attempt(ctx context.Context, header http.Header, body []byte) Attempt {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, s.timedOut)
	defer cancel()
	a := Attempt{Start: s.now()}
	response, err := s.post(ctx, header, body)
	a.Latency = s.now().Sub(a.Start)
	if err != nil && errors.Is(context.Cause(ctx), s.timedOut) {
		err = s.timedOut
	}
	if err != nil {
		a.Err = reason(ctx, err)
		return a
	}
	a.Status = response.StatusCode
	// What is left unread costs the connection.
	_, _ = io.CopyN(io.Discard, response.Body, maxDrain)
	_ = response.Body.Close()
	return a
}

// maxDrain is how many bytes of an answer are read.
const maxDrain = 64 << 10

func (s *Sender) post(ctx context.Context, header http.Header, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, s.to.Method, s.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header = header.Clone()
	return s.client.Do(request)
}

// reason leaves out what differs from attempt to attempt, ports for instance, so that equal failures read alike.
func reason(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), ErrTimeout) {
		return ErrTimeout
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("%s: %w", e.Op, e.Err)
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
