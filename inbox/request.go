package inbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/klinkgate/caddy-klink/inbox/queue"
	"github.com/klinkgate/caddy-klink/normalize"
	"github.com/klinkgate/caddy-klink/verifier"
)

// head is a request as it came to the inbox, without its body: what it takes to
// make it again.
type head struct {
	Method     string      `json:"method"`
	URL        *url.URL    `json:"url"`
	RequestURI string      `json:"request_uri"`
	Original   target      `json:"original"` // before any rewrite
	Host       string      `json:"host"`
	Proto      string      `json:"proto"`
	Header     http.Header `json:"header"`
	RemoteAddr string      `json:"remote_addr"`
	TLS        *secured    `json:"tls,omitempty"`
}

type target struct {
	Method     string   `json:"method"`
	URL        *url.URL `json:"url"`
	RequestURI string   `json:"request_uri"`
}

// secured is what backends are told of a TLS connection.
type secured struct {
	Version     uint16 `json:"version"`
	CipherSuite uint16 `json:"cipher_suite"`
	ServerName  string `json:"server_name"`
}

func headOf(r *http.Request) head {
	h := head{
		Method: r.Method, URL: r.URL, RequestURI: r.RequestURI, Host: r.Host, Proto: r.Proto,
		Header: r.Header, RemoteAddr: r.RemoteAddr,
		Original: target{r.Method, r.URL, r.RequestURI},
	}
	if original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request); ok {
		h.Original = target{original.Method, original.URL, original.RequestURI}
	}
	if r.TLS != nil {
		h.TLS = &secured{r.TLS.Version, r.TLS.CipherSuite, r.TLS.ServerName}
	}
	return h
}

// delivery is a delivery on its way, its request in a form that handlers
// understand.
type delivery struct {
	queue.Delivery
	head head
}

// newDelivery takes a request that klink_webhook has accepted.
func newDelivery(r *http.Request, accepted *verifier.Accepted, body []byte, now time.Time) *delivery {
	return &delivery{
		Delivery: queue.Delivery{
			Key: keyOf(accepted.Endpoint, body), Endpoint: accepted.Endpoint, Event: accepted.Event, Received: now, Body: body,
		},
		head: headOf(r),
	}
}

// storedDelivery takes a delivery out of the database.
func storedDelivery(d *queue.Delivery) (*delivery, error) {
	var h head
	if err := json.Unmarshal(d.Head, &h); err != nil {
		return nil, err
	}
	return &delivery{Delivery: *d, head: h.mapped(narrow)}, nil
}

// encode fills in what goes into the database.
func (d *delivery) encode() error {
	encoded, err := json.Marshal(d.head.mapped(widen))
	d.Head = encoded
	return err
}

// mapped returns a copy in which f was applied to what can hold any bytes.
func (h *head) mapped(f func(string) string) head {
	c := *h
	c.URL, c.RequestURI = mappedURL(h.URL, f), f(h.RequestURI)
	c.Original.URL, c.Original.RequestURI = mappedURL(h.Original.URL, f), f(h.Original.RequestURI)
	c.Header = make(http.Header, len(h.Header))
	for name, values := range h.Header {
		mapped := make([]string, len(values))
		for i, value := range values {
			mapped[i] = f(value)
		}
		c.Header[name] = mapped
	}
	return c
}

func mappedURL(u *url.URL, f func(string) string) *url.URL {
	c := copyURL(u)
	c.Path, c.RawPath, c.RawQuery = f(u.Path), f(u.RawPath), f(u.RawQuery)
	return c
}

// widen makes text of any bytes, each the character with its number: JSON would
// put another character in the place of what is no text.
func widen(s string) string {
	if isASCII(s) {
		return s
	}
	wide := make([]rune, len(s))
	for i := range len(s) {
		wide[i] = rune(s[i])
	}
	return string(wide)
}

// narrow returns the bytes that widen has made text of.
func narrow(s string) string {
	if isASCII(s) {
		return s
	}
	bytes := make([]byte, 0, len(s))
	for _, r := range s {
		bytes = append(bytes, byte(r))
	}
	return string(bytes)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// keyOf tells events apart: by their endpoint and the normal form of their body,
// or the body itself where it has none. Numbers stay as they are written: two that
// are one float64 may be two events.
// Without a body nothing tells them apart, so each is another one.
func keyOf(endpoint string, body []byte) (key queue.Key) {
	if len(body) == 0 {
		rand.Read(key[:])
		return key
	}
	scratch := scratchPool.Get().(*[]byte)
	defer scratchPool.Put(scratch)
	text := append(append((*scratch)[:0], endpoint...), 0, 'n')
	text, err := normalize.AppendJSON(text, body, normalize.Options{AllowAmbiguous: true, RawNumbers: true})
	if err != nil {
		text = append(append(append(text[:0], endpoint...), 0, 'r'), body...)
	}
	*scratch = text
	sum := sha256.Sum256(text)
	copy(key[:], sum[:])
	return key
}

// scratchPool has room for normal forms.
var scratchPool = sync.Pool{New: func() any { return new([]byte) }}

// request makes the request anew, for handlers of this server. Nothing in it is
// shared with another one. It is the same for the first attempt and for later
// ones, but for attempt: 0 in the first one while K-LINK is waiting.
func (d *delivery) request(ctx context.Context, w http.ResponseWriter, server *caddyhttp.Server, attempt int, mark bool) *http.Request {
	h := &d.head
	r := &http.Request{
		Method: h.Original.Method, URL: h.Original.URL, RequestURI: h.Original.RequestURI,
		Host: h.Host, Header: h.Header.Clone(), RemoteAddr: h.RemoteAddr,
		Body: http.NoBody, ContentLength: int64(len(d.Body)),
	}
	r.Proto = h.Proto
	r.ProtoMajor, r.ProtoMinor, _ = http.ParseHTTPVersion(h.Proto)
	if h.TLS != nil {
		r.TLS = &tls.ConnectionState{
			HandshakeComplete: true, Version: h.TLS.Version, CipherSuite: h.TLS.CipherSuite, ServerName: h.TLS.ServerName,
		}
	}
	if len(d.Body) > 0 {
		r.Body = newSentBody(d.Body)
	}
	if mark {
		d.mark(r.Header, attempt)
	}
	replacer := caddy.NewReplacer()
	r = caddyhttp.PrepareRequest(r.WithContext(ctx), replacer, w, server)
	replacer.Set("http.klink_webhook.event", d.Event)
	r.Method, r.URL, r.RequestURI = h.Method, copyURL(h.URL), h.RequestURI
	return r
}

// sentBody is a body on its way to the backend.
type sentBody struct{ bytes.Reader }

func newSentBody(body []byte) *sentBody {
	b := new(sentBody)
	b.Reset(body)
	return b
}

// Close implements io.Closer.
func (*sentBody) Close() error { return nil }

func copyURL(u *url.URL) *url.URL {
	c := *u
	return &c
}

// Headers by which a backend can tell that it has seen a delivery before.
const (
	headerID      = "Klink-Delivery-Id"
	headerAttempt = "Klink-Delivery-Attempt"
)

// mark tells the backend which delivery this is, and in later attempts which one.
func (d *delivery) mark(header http.Header, attempt int) {
	header[headerID] = []string{d.Key.String()}
	delete(header, headerAttempt)
	if attempt > 0 {
		header[headerAttempt] = []string{strconv.Itoa(attempt)}
	}
}

// readBody reads the whole body, whose size klink_webhook has bounded.
func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.ContentLength == 0 {
		return nil, nil
	}
	if r.ContentLength < 0 {
		return io.ReadAll(r.Body)
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, body)
	return body, err
}
