package verifier

import (
	"bytes"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klinkgate/caddy-klink/normalize"
)

// DefaultSignatureHeaders are where a signature is looked for, in this order.
var DefaultSignatureHeaders = []string{"X-Signature", "Authorization"}

// HMACConfig says how a signature is checked.
type HMACConfig struct {
	Secrets []Secret // any of them is good
	Headers []string // tried in this order; empty: DefaultSignatureHeaders
	Form    Form     // the zero Form tries every reading
}

// HMAC checks an HMAC-SHA256 signature over the string to sign. It may be used
// by several goroutines at once.
type HMAC struct {
	keys    []atomic.Pointer[signingKey]
	headers []string
	form    Form
	last    atomic.Pointer[Form] // what matched last, when form is auto
	scratch sync.Pool
}

// HMACMatch is what made a signature acceptable.
type HMACMatch struct {
	Secret int // counted from 1, in the order of the configuration
	Form   Form
}

// NewHMAC fails when there is no secret, and on a header that can hold no
// signature.
func NewHMAC(c HMACConfig) (*HMAC, error) {
	if len(c.Secrets) == 0 {
		return nil, errors.New(`no secret: add "secret {env.KLINK_SECRET}" to hmac`)
	}
	h := &HMAC{form: c.Form, keys: make([]atomic.Pointer[signingKey], len(c.Secrets))}
	h.scratch.New = func() any { return new(workspace) }
	for i, s := range c.Secrets {
		if s.key == nil {
			return nil, errors.New("the secret is empty")
		}
		h.keys[i].Store(s.key)
	}
	names := c.Headers
	if len(names) == 0 {
		names = DefaultSignatureHeaders
	}
	for _, name := range names {
		if err := CheckHeaderName(name); err != nil {
			return nil, fmt.Errorf("header: %w", err)
		}
		h.headers = append(h.headers, textproto.CanonicalMIMEHeaderKey(name))
	}
	return h, nil
}

// SetSecret puts another secret in the place of the one at index, which counts
// from 0 in the order of the configuration.
func (h *HMAC) SetSecret(index int, s Secret) { h.keys[index].Store(s.key) }

// checkTarget refuses a path or a query with more than one reading.
func (h *HMAC) checkTarget(d *Delivery) *Refusal {
	if refusal := checkPath(d.Path()); refusal != nil {
		return refusal
	}
	if h.form.URL.usesHost() && !PlainHost(d.Host) {
		return refuse(PathAmbiguous, "the host is not a name or an address with an optional port")
	}
	if d.RawQuery() == "" {
		return nil
	}
	if strings.IndexByte(d.RawQuery(), '#') >= 0 {
		return refuse(QueryAmbiguous, "the query holds a #, which ends it for some")
	}
	w := h.borrow()
	defer h.giveBack(w)
	var err error
	if w.head, err = normalize.AppendQuery(w.head[:0], d.RawQuery(), normalize.Options{}); err != nil {
		return refuse(QueryAmbiguous, err.Error())
	}
	// "path" with the key "?a=1a" and "path_query" with "?a=1" make one string.
	firstKey, _, _ := bytes.Cut(w.head, []byte("=["))
	if h.form.URL.auto() && bytes.IndexByte(firstKey, '?') >= 0 {
		return refuse(QueryAmbiguous, "the first key holds a question mark, which could be the path's: pin the url form")
	}
	return nil
}

// verify looks for a secret and a form that give the signature.
func (h *HMAC) verify(d *Delivery, signature *Signature, body []byte) (HMACMatch, *Refusal) {
	w := h.borrow()
	defer h.giveBack(w)
	search := search{
		workspace: w, keys: h.keys, delivery: d, signature: signature, body: body,
		jsonRules: h.form.Body.kind != bodyRaw,
	}
	if !h.auto() {
		return search.one(h.form)
	}
	if last := h.last.Load(); last != nil {
		if match, refusal := search.one(*last); refusal == nil {
			return match, nil
		}
	}
	match, refusal := search.all(h.form)
	if refusal == nil {
		matched := match.Form
		h.last.Store(&matched)
	}
	return match, refusal
}

func (h *HMAC) auto() bool { return h.form.URL.auto() || h.form.Body.auto() }

// workspace is what one verification needs besides its input.
type workspace struct {
	head   []byte // method, URL and query
	normal []byte // the body in one form
	other  []byte // the body in another
}

// keep bounds what an idle workspace holds on to.
const keep = 2 << 20

func (h *HMAC) borrow() *workspace { return h.scratch.Get().(*workspace) }

func (h *HMAC) giveBack(w *workspace) {
	if cap(w.head)+cap(w.normal)+cap(w.other) <= keep {
		h.scratch.Put(w)
	}
}
