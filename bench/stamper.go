package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math/rand/v2"
	"strings"
)

// stamper makes requests of which no two are alike, as an inbox would know an event again: a number stands where a
// message's id ends, and each is signed anew.
type stamper struct {
	request   []byte
	text      []byte // that is signed
	mac       hash.Hash
	number    uint64
	numbers   [2][]byte // the number's digits, in request and in text
	signature []byte    // its digits in request
}

// numbered is how the ids in event(0, …) end.
const numbered = "-0000-000000000000"

func newStamper(host, target string) *stamper {
	body := event(0, smallBody)
	text, err := stringToSign(host, target, body)
	if err != nil {
		panic(fmt.Sprintf("the event of the program itself cannot be signed: %v", err))
	}
	unsigned := strings.Repeat("0", hex.EncodedLen(sha256.Size))
	s := &stamper{
		request: request(host, target, unsigned, body), text: text, mac: hmac.New(sha256.New, []byte(secret)),
		number: rand.Uint64(), //nolint:gosec // need not be a secret
	}
	s.numbers = [2][]byte{digits(s.request, numbered, 12), digits(s.text, numbered, 12)}
	s.signature = digits(s.request, unsigned, len(unsigned))
	return s
}

// digits returns the last n bytes of what is marked in text.
func digits(text []byte, mark string, n int) []byte {
	end := bytes.Index(text, []byte(mark)) + len(mark)
	return text[end-n : end]
}

// next is a source.
func (s *stamper) next() []byte {
	s.number++
	var number [8]byte
	binary.BigEndian.PutUint64(number[:], s.number)
	for _, place := range s.numbers {
		hex.Encode(place, number[2:])
	}
	s.mac.Reset()
	s.mac.Write(s.text)
	hex.Encode(s.signature, s.mac.Sum(nil))
	return s.request
}
