package verifier

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"sync"
)

// Secret is a signing secret. It can be neither printed nor marshalled, and it
// does not compile with ==.
type Secret struct {
	_   [0]func()
	key *signingKey
}

// NewSecret returns the secret whose key is the bytes of s. An empty s is an error.
func NewSecret(s string) (Secret, error) {
	if s == "" {
		return Secret{}, errors.New("the secret is empty")
	}
	return Secret{key: newSigningKey([]byte(s))}, nil
}

// Sign returns the HMAC-SHA256 of message.
func (s Secret) Sign(message []byte) Signature {
	state := s.key.borrow()
	defer s.key.giveBack(state)
	return state.sign(message, nil)
}

const redacted = "[secret]"

// Format implements fmt.Formatter: every verb prints the same placeholder.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// String implements fmt.Stringer.
func (s Secret) String() string { return redacted }

var errMarshal = errors.New("a secret cannot be marshalled")

// MarshalText always fails.
func (s Secret) MarshalText() ([]byte, error) { return nil, errMarshal }

// MarshalJSON always fails.
func (s Secret) MarshalJSON() ([]byte, error) { return nil, errMarshal }

// MarshalBinary always fails.
func (s Secret) MarshalBinary() ([]byte, error) { return nil, errMarshal }

// Signature is an HMAC-SHA256.
type Signature [sha256.Size]byte

// Hex returns the signature as 64 lower-case hex digits, as K-LINK sends it.
func (s Signature) Hex() string { return hex.EncodeToString(s[:]) }

// Base64 returns the signature in standard base64 with padding.
func (s Signature) Base64() string { return base64.StdEncoding.EncodeToString(s[:]) }

// signingKey keeps keyed hash states for reuse: hashing the key's two blocks
// costs as much as hashing a short message.
type signingKey struct {
	states sync.Pool
}

type macState struct {
	mac hash.Hash
	sum Signature
}

func newSigningKey(key []byte) *signingKey {
	k := &signingKey{}
	k.states.New = func() any { return &macState{mac: hmac.New(sha256.New, key)} }
	return k
}

func (k *signingKey) borrow() *macState { return k.states.Get().(*macState) }

func (k *signingKey) giveBack(s *macState) { k.states.Put(s) }

func (k *signingKey) verify(want *Signature, head, body []byte) bool {
	state := k.borrow()
	defer k.giveBack(state)
	got := state.sign(head, body)
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

func (s *macState) sign(head, body []byte) Signature {
	s.mac.Reset()
	s.mac.Write(head)
	s.mac.Write(body)
	s.mac.Sum(s.sum[:0])
	return s.sum
}
