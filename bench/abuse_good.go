package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	klinkAddress = "51.79.216.180"
	digestHeader = "X-Digest"
)

// playChecker is a backend that answers 200 to a body whose digest is the one in the header, and 500 to all else: to a
// delivery that was changed, and to one that should have been refused.
func playChecker(address string) error {
	handle := func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		if _, err := io.Copy(hash, r.Body); err != nil || hex.EncodeToString(hash.Sum(nil)) != r.Header.Get(digestHeader) {
			http.Error(w, "not the body that was sent", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
		_, _ = io.WriteString(w, answer)
	}
	return serveUntilStopped(address, handle)
}

// goodRequest is a delivery that must be answered with 200.
func goodRequest(t *target, endpoint int, body []byte) ([]byte, error) {
	path := endpointPath(endpoint)
	signature, err := signedForm(t.address, path, body)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(body)
	return rawRequest("POST", path, t.address, klinkAddress, body,
		"X-Signature: "+signature, digestHeader+": "+hex.EncodeToString(digest[:])), nil
}

// rawRequest returns the bytes that go over the wire.
func rawRequest(method, target, host, from string, body []byte, headers ...string) []byte {
	raw := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nX-Forwarded-For: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n",
		method, target, host, from, len(body))
	for _, h := range headers {
		raw = append(append(raw, h...), "\r\n"...)
	}
	return append(append(raw, "\r\n"...), body...)
}

// goodSenders deliver events to all endpoints in turn, on a few connections, each with a pause after its answer.
type goodSenders struct {
	address  string
	requests [][]byte
}

const (
	goodConnections = 4
	goodPause       = 5 * time.Millisecond
)

func newGoodSenders(t *target) (*goodSenders, error) {
	g := &goodSenders{address: t.address}
	for i := range max(t.endpoints, 16) {
		request, err := goodRequest(t, i%t.endpoints, event(i, smallBody))
		if err != nil {
			return nil, err
		}
		g.requests = append(g.requests, request)
	}
	return g, nil
}

// run delivers for as long as during takes.
func (g *goodSenders) run(during func()) load {
	gen := &generator{address: g.address, workers: make([]worker, goodConnections)}
	defer gen.close()
	done, result := make(chan struct{}), make(chan load)
	for i := range gen.workers {
		gen.workers[i].next = inTurn(g.requests, i*len(g.requests)/goodConnections)
	}
	go func() { result <- gen.each(func(w *worker) load { return gen.deliver(w, done) }) }()
	during()
	close(done)
	return <-result
}

// deliver sends one request after the other. An answer may take as long as K-LINK waits for it, not longer.
func (g *generator) deliver(w *worker, done <-chan struct{}) load {
	l := load{failures: map[string]int{}}
	for {
		began := time.Now()
		if w.conn != nil {
			_ = w.conn.SetDeadline(began.Add(klinkPatience)) // a closed one fails at the next write
		}
		if err := g.one(w, began.Add(klinkPatience)); err != nil {
			l.failures[err.Error()]++
		} else {
			l.latencies = append(l.latencies, time.Since(began))
		}
		select {
		case <-done:
			return l
		case <-time.After(goodPause):
		}
	}
}

const klinkPatience = 10 * time.Second
