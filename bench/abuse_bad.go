package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// tally is what became of bad requests.
type tally struct {
	answered int
	wrong    map[string]int // by what was wrong with the answer
}

// badRequest is a request that must be answered with a status.
type badRequest struct {
	name   string
	raw    []byte
	status int
	ends   bool // nothing more comes on this connection
}

var someSignature = "X-Signature: " + strings.Repeat("0123456789abcdef", 4)

// everyReason has a request for each reason of refusal.
func everyReason(t *target) []badRequest {
	path, body := endpointPath(0), event(1, smallBody)
	from := func(method, target, address string, body []byte, headers ...string) []byte {
		return rawRequest(method, target, t.address, address, body, headers...)
	}
	klink := func(target string, body []byte, headers ...string) []byte {
		return from("POST", target, klinkAddress, body, headers...)
	}
	basic := "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("user:wrong"))
	whole := klink(path, body, someSignature)
	large := fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nX-Forwarded-For: %s\r\n%s\r\nContent-Length: %d\r\n\r\n",
		path, t.address, klinkAddress, someSignature, 2*heldBody)
	return []badRequest{
		{"method_not_allowed", from("GET", path, klinkAddress, nil), 405, false},
		{"address_not_allowed", from("POST", path, "192.0.2.1", body, someSignature), 403, false},
		{"credential_missing", klink(path, body), 401, false},
		{"credential_malformed", klink(path, body, "X-Signature: none"), 401, false},
		{"basic_mismatch", klink("/basic", body, basic), 401, false},
		{"header_mismatch", klink("/header", body, "X-Key: wrong"), 401, false},
		{"path_ambiguous", klink(path+"|", body, someSignature), 400, false},
		{"query_ambiguous", klink(path+"?a=b%20c", body, someSignature), 400, false},
		{"body_too_large", large, 413, true},
		{"body_incomplete", whole[:len(whole)-100], 400, true},
		{"body_malformed", klink(path, []byte(`{"event":`), someSignature), 400, false},
		{"body_ambiguous", klink(path, []byte(`{"a":1,"a":2}`), someSignature), 400, false},
		{"signature_mismatch", whole, 401, false},
	}
}

// storm sends what next returns, on each connection one request after the other, until that is nil.
func storm(t *target, connections int, next func(connection int) *badRequest) tally {
	total := tally{wrong: map[string]int{}}
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range connections {
		all.Go(func() {
			var c *connection
			for bad := next(i); bad != nil; bad = next(i) {
				err := bad.send(&c, t.address)
				mu.Lock()
				total.answered++
				if err != nil {
					total.wrong[bad.name+": "+err.Error()]++
				}
				mu.Unlock()
			}
			if c != nil {
				c.close()
			}
		})
	}
	all.Wait()
	return total
}

func (r *badRequest) send(c **connection, address string) (err error) {
	if *c == nil {
		if *c, err = dial(address, time.Time{}); err != nil {
			return err
		}
	}
	_ = (*c).SetDeadline(time.Now().Add(2 * grace)) // a closed one fails at the next write
	status, err := (*c).exchangeLast(r.raw, r.ends)
	if err != nil || r.ends {
		(*c).close()
		*c = nil
	}
	if err == nil && status != r.status {
		err = fmt.Errorf("status %d", status)
	}
	return err
}

// exchangeLast is exchange; after the last request nothing more is sent, and only the answer's status is read.
func (c *connection) exchangeLast(request []byte, last bool) (status int, err error) {
	if !last {
		return c.exchange(request)
	}
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		return 0, err
	}
	_, err = fmt.Fscanf(c.answers, "HTTP/1.1 %d", &status)
	return status, err
}

// inTurn returns the requests one after the other until the time is over.
func (b *bench) inTurn(ctx context.Context, all []badRequest) func(int) *badRequest {
	end := time.Now().Add(b.abuseFor)
	var n atomic.Int64
	return func(int) *badRequest {
		if ctx.Err() != nil || time.Now().After(end) {
			return nil
		}
		return &all[int(n.Add(1))%len(all)]
	}
}

func (b *bench) calm(context.Context, *target) tally {
	time.Sleep(b.abuseFor)
	return tally{}
}

func (b *bench) everyRefusal(ctx context.Context, t *target) tally {
	return storm(t, 64, b.inTurn(ctx, everyReason(t)))
}

// manyAddresses sends from each address once.
func (b *bench) manyAddresses(ctx context.Context, t *target) tally {
	body := event(1, smallBody)
	var n atomic.Int64
	return storm(t, 64, func(int) *badRequest {
		i := n.Add(1)
		if ctx.Err() != nil || i > int64(b.addresses) {
			return nil
		}
		address := fmt.Sprintf("2001:db8::%x:%x", i>>16, i&0xffff)
		return &badRequest{"stranger", rawRequest("POST", endpointPath(0), t.address, address, body, someSignature), 403, false}
	})
}

func (b *bench) manyHeaders(ctx context.Context, t *target) tally {
	headers := make([]string, 1000)
	for i := range headers {
		headers[i] = fmt.Sprintf("X%x: ", i)
	}
	raw := rawRequest("POST", endpointPath(0), t.address, "192.0.2.1", nil, headers...)
	return storm(t, 64, b.inTurn(ctx, []badRequest{{"headers", raw, 403, false}}))
}

// slowBodies sends the beginning of a body and then a byte every now and then, until the answer comes. Half of them
// announce a length, the others never end.
func (b *bench) slowBodies(ctx context.Context, t *target) tally {
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: %s\r\nX-Forwarded-For: %s\r\n%s\r\n",
		endpointPath(0), t.address, klinkAddress, someSignature)
	end := time.Now().Add(b.abuseFor)
	total := tally{wrong: map[string]int{}}
	var mu sync.Mutex
	var all sync.WaitGroup
	for i := range b.slow {
		all.Go(func() {
			start, piece := head+"Content-Length: 1048576\r\n\r\n{", " "
			if i%2 == 1 {
				start, piece = head+"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", "1\r\n \r\n"
			}
			for ctx.Err() == nil && time.Now().Before(end) {
				err := dribble(t.address, start, piece)
				mu.Lock()
				total.answered++
				if err != nil {
					total.wrong[err.Error()]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return total
}

const (
	dribblePause = 200 * time.Millisecond
	dribbleLimit = 20 * time.Second // the gateway should have lost its patience long before
)

func dribble(address, start, piece string) error {
	began := time.Now()
	c, err := dial(address, began.Add(dribbleLimit))
	if err != nil {
		return err
	}
	defer c.close()
	status := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(c).ReadString('\n')
		if err != nil {
			line = "no answer"
		}
		status <- line
	}()
	if _, err := io.WriteString(c, start); err != nil {
		return err
	}
	for {
		select {
		case line := <-status:
			if !strings.HasPrefix(line, "HTTP/1.1 400") {
				return fmt.Errorf("dribbled: %s", strings.TrimSpace(line))
			}
			return nil
		case <-time.After(dribblePause):
			_, _ = io.WriteString(c, piece) // the answer says whether it is of use
		}
	}
}

// fullBodies are good and as large as they may be.
func (b *bench) fullBodies(ctx context.Context, t *target) tally {
	var all []badRequest
	for i, body := range bodies(4, heldBody) {
		raw, err := goodRequest(t, 0, body)
		if err != nil {
			return tally{wrong: map[string]int{err.Error(): 1}}
		}
		all = append(all, badRequest{fmt.Sprintf("body %d", i), raw, 200, false})
	}
	return storm(t, 256, b.inTurn(ctx, all))
}

func (b *bench) forgedBodies(ctx context.Context, t *target) tally {
	raw := rawRequest("POST", endpointPath(0), t.address, klinkAddress, event(1, heldBody), someSignature)
	return storm(t, 256, b.inTurn(ctx, []badRequest{{"forged", raw, 401, false}}))
}

// hardBodies take the most work and scratch space to bring into their normal form.
func (b *bench) hardBodies(ctx context.Context, t *target) tally {
	raw := rawRequest("POST", endpointPath(0), t.address, klinkAddress, shuffled(heldBody), someSignature)
	return storm(t, 256, b.inTurn(ctx, []badRequest{{"shuffled", raw, 401, false}}))
}

// shuffled returns an object of as many members as there is room for, in no order.
func shuffled(size int) []byte {
	const alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+*"
	order := rand.New(rand.NewSource(1)).Perm(len(alphabet) * len(alphabet) * len(alphabet)) //nolint:gosec // the same each time
	body := []byte("{")
	for _, n := range order {
		if len(body)+len(`"abc":0,}`) > size {
			break
		}
		n0, n1, n2 := n%len(alphabet), n/len(alphabet)%len(alphabet), n/len(alphabet)/len(alphabet)
		body = append(body, '"', alphabet[n0], alphabet[n1], alphabet[n2], '"', ':', '0', ',')
	}
	body[len(body)-1] = '}'
	return body
}

// diagnoses sends signatures that do not match, each with as much to look into as a diagnosis takes on.
func (b *bench) diagnoses(ctx context.Context, t *target) tally {
	headers := append(make([]string, 0, 61), someSignature)
	for i := range 30 {
		headers = append(headers, fmt.Sprintf("X-Signature-%d: %064x", i, i), fmt.Sprintf("X-Forwarded-Host: %d.example.com", i))
	}
	all := make([]badRequest, t.endpoints)
	for i := range all {
		raw := rawRequest("POST", endpointPath(i)+"?a=1", t.address, klinkAddress, event(1, largeBody), headers...)
		all[i] = badRequest{"mismatch", raw, 401, false}
	}
	return storm(t, 32, b.inTurn(ctx, all))
}

// fullState fills what endpoints keep of refusals and events: each has more refusals than it keeps, with more and
// longer header names than it keeps, and more events.
func (b *bench) fullState(ctx context.Context, t *target) tally {
	headers := make([]string, 0, 40)
	for i := range 40 {
		headers = append(headers, fmt.Sprintf("X-%02d-%s: value", i, strings.Repeat("n", 80)))
	}
	var n atomic.Int64
	refused := storm(t, 32, func(int) *badRequest {
		i := int(n.Add(1)) - 1
		if ctx.Err() != nil || i >= 60*t.endpoints {
			return nil
		}
		path := endpointPath(i % t.endpoints)
		return &badRequest{"stranger", rawRequest("POST", path, t.address, "192.0.2.1", nil, headers...), 403, false}
	})
	n.Store(0)
	events := storm(t, 32, func(int) *badRequest {
		i := int(n.Add(1)) - 1
		if ctx.Err() != nil || i >= 40*t.endpoints {
			return nil
		}
		body := fmt.Appendf(nil, `{"event":"%s.%02d"}`, strings.Repeat("e", 60), i/t.endpoints)
		raw, err := goodRequest(t, i%t.endpoints, body)
		if err != nil {
			return nil
		}
		return &badRequest{"event", raw, 200, false}
	})
	refused.answered += events.answered
	for reason, n := range events.wrong {
		refused.wrong[reason] += n
	}
	return refused
}
