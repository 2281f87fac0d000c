package klink_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klinkgate/caddy-klink/verifier"
)

var anySignature = strings.Repeat("0123456789abcdef", 4)

// everyReason sends requests for each reason of refusal.
func (a *abused) everyReason(t testing.TB) {
	with := func(target, body, name, value string) *http.Request {
		r := delivery(t, target, body)
		r.Header.Set(name, value)
		return r
	}
	unsigned := func(target, body string) *http.Request { return with(target, body, "X-Signature", anySignature) }
	kinds := []struct {
		reason verifier.Reason
		status int
		make   func() *http.Request
	}{
		{verifier.MethodNotAllowed, 405, func() *http.Request {
			r := unsigned("/hook", testBody)
			r.Method = http.MethodPut
			return r
		}},
		{verifier.AddressNotAllowed, 403, func() *http.Request { return with("/hook", testBody, "X-Forwarded-For", "192.0.2.1") }},
		{verifier.CredentialMissing, 401, func() *http.Request { return delivery(t, "/hook", testBody) }},
		{verifier.CredentialMalformed, 401, func() *http.Request { return with("/hook", testBody, "X-Signature", "none") }},
		{verifier.PathAmbiguous, 400, func() *http.Request {
			r := unsigned("/hook", testBody)
			r.URL.Opaque = "/hook|"
			return r
		}},
		{verifier.QueryAmbiguous, 400, func() *http.Request { return unsigned("/hook?a=b%20c", testBody) }},
		{verifier.BodyTooLarge, 413, func() *http.Request { return unsigned("/hook", strings.Repeat(" ", 1<<20+1)) }},
		{verifier.BodyMalformed, 400, func() *http.Request { return unsigned("/hook", `{"event":`) }},
		{verifier.BodyAmbiguous, 400, func() *http.Request { return unsigned("/hook", `{"a":1,"a":2}`) }},
		{verifier.SignatureMismatch, 401, func() *http.Request { return unsigned("/hook", testBody) }},
	}
	times(scale.rounds*len(kinds), 16, func(i int) {
		kind := kinds[i%len(kinds)]
		a.expect(t, kind.reason, kind.status, kind.make())
	})
	times(scale.rounds, 4, func(int) {
		a.breakOff(t)
		for target, name := range map[string]string{"/basic": "Authorization", "/header": "X-Key"} {
			if answer, err := a.try(with(target, testBody, name, "Basic dXNlcjp3cm9uZw==")); err != nil || answer.status != 401 {
				t.Errorf("%s: status %d, %v", target, answer.status, err)
			}
		}
	})
	for name, reason := range map[string]verifier.Reason{"abused_basic": verifier.BasicMismatch, "abused_header": verifier.HeaderMismatch} {
		if got := statusOf(t, name).Refused[reason]; got < uint64(scale.rounds) {
			t.Errorf("%s: %d are counted, %d were sent", reason, got, scale.rounds)
		}
	}
}

// open begins a delivery whose body is still to come.
func (a *abused) open(head string) (net.Conn, error) {
	c, err := net.Dial("unix", a.socket)
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(c, rawRequest("POST /hook HTTP/1.1", "X-Signature: "+anySignature, head))
	return c, err
}

// breakOff ends a body in its middle.
func (a *abused) breakOff(t testing.TB) {
	a.count(verifier.BodyIncomplete)
	c, err := a.open("Content-Length: 1000")
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, `{"event":`)
	_ = c.(*net.UnixConn).CloseWrite()
	if answer, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Errorf("a body that breaks off: %q, %v", answer, err)
	}
}

// dribble opens connections that send a body byte by byte, half of them without
// an end, until it is told to stop. Nobody waits for what becomes of them here.
func (a *abused) dribble(t testing.TB) (stop func()) {
	done := make(chan struct{})
	var all sync.WaitGroup
	for i := range scale.slow {
		all.Go(func() {
			head, piece := "Content-Length: 1000000", " "
			if i%2 == 1 {
				head, piece = "Transfer-Encoding: chunked", "1\r\n \r\n"
			}
			c, err := a.open(head)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = c.Close() }()
			for {
				select {
				case <-done:
					return
				case <-time.After(10 * time.Millisecond):
					_, _ = io.WriteString(c, piece)
				}
			}
		})
	}
	return func() { close(done); all.Wait() }
}

// manyAddresses sends one request from each of many addresses.
func (a *abused) manyAddresses(t testing.TB) {
	if grown := largestHeap(func() {
		times(scale.addresses, 16, func(i int) {
			r := delivery(t, "/hook", testBody)
			r.Header.Set("X-Forwarded-For", fmt.Sprintf("2001:db8::%x", i))
			a.expect(t, verifier.AddressNotAllowed, 403, r)
		})
	}); grown > 16<<20 {
		t.Errorf("%d addresses took %d bytes", scale.addresses, grown)
	}
}

const almostTooLarge = 1<<20 - 1

// largeBodies sends good bodies just below the limit, all at once.
func (a *abused) largeBodies(t testing.TB) {
	body := `{"text":"` + strings.Repeat("0123456789", almostTooLarge/10-10) + `"}`
	checkHeap(t, scale.large, func(n int) {
		times(n, n, func(int) {
			a.large.Add(1)
			if answer, err := a.try(hashed(t, body)); err != nil || answer.status != 200 {
				t.Errorf("a large delivery: status %d, %v", answer.status, err)
			}
		})
	})
}

// hardBodies sends bodies that take the most work and scratch space to bring into
// their normal form, all at once.
func (a *abused) hardBodies(t testing.TB) {
	body := shuffledMembers(almostTooLarge)
	checkHeap(t, scale.large/4, func(n int) {
		times(n, n, func(int) {
			r := delivery(t, "/hook", body)
			r.Header.Set("X-Signature", anySignature)
			a.expect(t, verifier.SignatureMismatch, 401, r)
		})
	})
}

// checkHeap says that n large bodies take no more than a buffer each, with what
// it was copied from, and scratch space for each processor; and this test's
// clients and the backend as much again.
func checkHeap(t testing.TB, n int, traffic func(n int)) {
	most := int64(n)<<20*5/2 + int64(runtime.GOMAXPROCS(0))*32<<20 + 64<<20
	grown := largestHeap(func() { traffic(n) })
	t.Logf("%d large bodies took %d MB; the bound is %d MB", n, grown>>20, most>>20)
	if grown > most {
		t.Error("that is too much")
	}
}

// shuffledMembers returns an object of as many members as there is room for.
func shuffledMembers(size int) string {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+*"
	var b strings.Builder
	for _, n := range rand.New(rand.NewPCG(1, 2)).Perm(len(letters) * len(letters) * len(letters)) { //nolint:gosec // the same each time
		if b.Len() > size-len(`,"abc":0}`) {
			break
		}
		key := []byte{letters[n%len(letters)], letters[n/len(letters)%len(letters)], letters[n/len(letters)/len(letters)]}
		fmt.Fprintf(&b, `,"%s":0`, key)
	}
	return "{" + b.String()[1:] + "}"
}

// diagnoses sends signatures to look into, each with more of them and of hosts
// than a diagnosis takes on.
func (a *abused) diagnoses(t testing.TB) {
	body := `{"text":"` + strings.Repeat("<1.0>", 12000) + `"}`
	times(scale.rounds*10, 16, func(int) {
		r := delivery(t, "/hook", body)
		for i := range 30 {
			r.Header.Set(fmt.Sprintf("X-Signature-%d", i), anySignature)
			r.Header.Add("X-Forwarded-Host", fmt.Sprintf("%d.example.com", i))
		}
		r.Header.Set("X-Signature", anySignature)
		a.expect(t, verifier.SignatureMismatch, 401, r)
	})
}

// manyEndpoints fills what each endpoint keeps of refusals.
func (a *abused) manyEndpoints(t testing.TB) {
	const each = 55
	names := make([]string, 40)
	for i := range names {
		names[i] = fmt.Sprintf("X-%02d-%s", i, strings.Repeat("n", 80))
	}
	times(each*scale.endpoints, 16, func(i int) {
		r := delivery(t, fmt.Sprintf("/many%03d", i%scale.endpoints), "")
		for _, name := range names {
			r.Header[name] = []string{"value"}
		}
		if answer, err := a.try(r); err != nil || answer.status != 401 {
			t.Errorf("status %d, %v", answer.status, err)
		}
	})
	for i := range scale.endpoints {
		status := statusOf(t, fmt.Sprintf("many%03d", i))
		if status.Refused[verifier.CredentialMissing] < each || len(status.Refusals) != 50 {
			t.Fatalf("%s: %v refused, %d kept", status.Name, status.Refused, len(status.Refusals))
		}
	}
}
