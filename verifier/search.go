package verifier

import (
	"bytes"
	"errors"
	"sync/atomic"

	"github.com/klinkgate/caddy-klink/normalize"
)

// search tries forms and secrets on one delivery.
type search struct {
	*workspace
	keys      []atomic.Pointer[signingKey]
	delivery  *Delivery
	signature *Signature
	body      []byte
	jsonRules bool // even for the raw form, unless that one is pinned
}

// one checks a single form, neither part of which is auto.
func (s *search) one(f Form) (HMACMatch, *Refusal) {
	body, err := s.normalBody(f.Body)
	if err != nil {
		return HMACMatch{}, refuseBody(err)
	}
	if match, found := s.tryURL(f, body); found {
		return match, nil
	}
	return HMACMatch{}, refuse(SignatureMismatch, "no secret gives this signature with the form "+f.String())
}

// all checks every reading that f leaves open and whose string to sign differs
// from the others'.
func (s *search) all(f Form) (HMACMatch, *Refusal) {
	if f.Body.auto() {
		return s.tryBodies(f.URL)
	}
	body, err := s.normalBody(f.Body)
	if err != nil {
		return HMACMatch{}, refuseBody(err)
	}
	if match, found := s.tryURLs(f.URL, f.Body, body); found {
		return match, nil
	}
	return HMACMatch{}, mismatch()
}

// tryBodies goes through the variants that change this body at all. Each
// variant touches other tokens, so one that changes nothing alone changes
// nothing in company.
func (s *search) tryBodies(url URLForm) (HMACMatch, *Refusal) {
	plain := BodyForm{kind: bodyJSON}
	normal, err := s.normalBody(plain)
	if err != nil {
		first := err
		plain.variant = rawNumbers // a number beyond float64 has this form alone
		if normal, err = s.normalBody(plain); err != nil {
			return HMACMatch{}, refuseBody(first)
		}
	}
	if match, found := s.tryURLs(url, plain, normal); found {
		return match, nil
	}
	effective := s.effectiveVariants(plain)
	for v := variant(1); v <= allVariants; v++ {
		if v&^effective != 0 {
			continue
		}
		form := BodyForm{kind: bodyJSON, variant: plain.variant | v}
		if s.other, err = s.appendJSON(s.other[:0], form); err != nil {
			continue
		}
		if match, found := s.tryURLs(url, form, s.other); found {
			return match, nil
		}
	}
	if !bytes.Equal(normal, s.body) {
		if match, found := s.tryURLs(url, BodyForm{kind: bodyRaw}, s.body); found {
			return match, nil
		}
	}
	return HMACMatch{}, mismatch()
}

// effectiveVariants returns those that change the body's normal form.
func (s *search) effectiveVariants(plain BodyForm) variant {
	var effective, single variant
	for single = 1; single <= allVariants; single <<= 1 {
		if plain.variant&single != 0 {
			continue
		}
		form := BodyForm{kind: bodyJSON, variant: plain.variant | single}
		var err error
		s.other, err = s.appendJSON(s.other[:0], form)
		if err == nil && !bytes.Equal(s.other, s.normal) {
			effective |= single
		}
	}
	return effective
}

func (s *search) tryURLs(url URLForm, form BodyForm, body []byte) (HMACMatch, bool) {
	if !url.auto() {
		return s.tryURL(Form{url, form}, body)
	}
	for _, name := range urlForms {
		candidate := URLForm{name: name}
		if s.sameAsAnother(candidate) {
			continue
		}
		if match, found := s.tryURL(Form{candidate, form}, body); found {
			return match, true
		}
	}
	return HMACMatch{}, false
}

// sameAsAnother says whether the form gives what a shorter one gives.
func (s *search) sameAsAnother(url URLForm) bool {
	withQuery := url.name == "full_query" || url.name == "path_query"
	return withQuery && len(s.delivery.Path()) == len(s.delivery.Target)
}

func (s *search) tryURL(f Form, body []byte) (HMACMatch, bool) {
	if f.URL.usesHost() && !PlainHost(s.delivery.Host) {
		return HMACMatch{}, false
	}
	var err error
	s.head, err = appendHead(s.head[:0], s.delivery, f.URL, normalize.Options{})
	if err != nil {
		return HMACMatch{}, false // checkTarget has refused such a query before
	}
	for i := range s.keys {
		if s.keys[i].Load().verify(s.signature, s.head, body) {
			return HMACMatch{Secret: i + 1, Form: f}, true
		}
	}
	return HMACMatch{}, false
}

// normalBody returns the body in one form: in the workspace, or the body itself.
func (s *search) normalBody(f BodyForm) ([]byte, error) {
	if f.kind != bodyRaw {
		var err error
		s.normal, err = s.appendJSON(s.normal[:0], f)
		return s.normal, err
	}
	if s.jsonRules {
		if _, err := s.normalBody(BodyForm{kind: bodyJSON, variant: rawNumbers}); err != nil {
			return nil, err
		}
	}
	return s.body, nil
}

func (s *search) appendJSON(dst []byte, f BodyForm) ([]byte, error) {
	return normalize.AppendJSON(dst, s.body, f.options(false))
}

func refuseBody(err error) *Refusal {
	var e *normalize.Error
	if errors.As(err, &e) && e.Ambiguous {
		return refuse(BodyAmbiguous, err.Error())
	}
	return refuse(BodyMalformed, err.Error())
}

func mismatch() *Refusal {
	return refuse(SignatureMismatch, "no secret and no documented reading of the string to sign give this signature")
}
