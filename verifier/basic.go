package verifier

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/bcrypt"
)

// Basic checks HTTP Basic credentials (RFC 7617). It may be used by several
// goroutines at once.
type Basic struct {
	users []*basicUser
	names []string
	key   [32]byte   // keys the digests, so that they mean nothing elsewhere
	decoy *basicUser // hashed against when the user is unknown; nil without bcrypt
}

type basicUser struct {
	name     [32]byte
	password [32]byte                 // without bcrypt
	hash     []byte                   // with bcrypt
	verified atomic.Pointer[[32]byte] // digest of the password that the hash was found to fit
}

// NewBasic returns a check that knows no user yet.
func NewBasic() (*Basic, error) {
	b := &Basic{}
	_, err := rand.Read(b.key[:])
	return b, err
}

// Add adds a user. The password stands for itself, or is a bcrypt hash, which
// begins with $2a$, $2b$ or $2y$. An empty name or password, a name with a colon
// and a name that is there already are errors.
func (b *Basic) Add(name, password string) error {
	switch {
	case name == "":
		return errors.New("the user is empty")
	case strings.Contains(name, ":"):
		return errors.New("a user cannot hold a colon")
	case password == "":
		return fmt.Errorf("the password of %q is empty", name)
	}
	user := &basicUser{name: b.digest(name)}
	if b.find(&user.name) != nil {
		return fmt.Errorf("user %q is there twice", name)
	}
	if isBcrypt(password) {
		if _, err := bcrypt.Cost([]byte(password)); err != nil {
			return fmt.Errorf("the password of %q begins like a bcrypt hash and is none", name)
		}
		user.hash = []byte(password)
		if b.decoy == nil {
			b.decoy = user
		}
	} else {
		user.password = b.digest(password)
	}
	b.users = append(b.users, user)
	b.names = append(b.names, name)
	return nil
}

func isBcrypt(s string) bool {
	return strings.HasPrefix(s, "$2a$") || strings.HasPrefix(s, "$2b$") || strings.HasPrefix(s, "$2y$")
}

// verify returns the user, counted from 1.
func (b *Basic) verify(header map[string][]string) (int, *Refusal) {
	name, password, refusal := parseBasic(header["Authorization"])
	if refusal != nil {
		return 0, refusal
	}
	nameDigest, passwordDigest := b.digest(name), b.digest(password)
	user := b.find(&nameDigest)
	if !b.passwordFits(user, password, &passwordDigest) {
		return 0, refuse(BasicMismatch, "unknown user or wrong password")
	}
	return b.index(user), nil
}

// find looks at every user, so that its time tells nothing.
func (b *Basic) find(name *[32]byte) *basicUser {
	var found *basicUser
	for _, user := range b.users {
		if subtle.ConstantTimeCompare(user.name[:], name[:]) == 1 {
			found = user
		}
	}
	return found
}

func (b *Basic) index(user *basicUser) int {
	for i, u := range b.users {
		if u == user {
			return i + 1
		}
	}
	return 0
}

// passwordFits takes as long for an unknown user as for a wrong password.
func (b *Basic) passwordFits(user *basicUser, password string, digest *[32]byte) bool {
	if user != nil && user.hash == nil && subtle.ConstantTimeCompare(user.password[:], digest[:]) == 1 {
		return true
	}
	if user == nil || user.hash == nil {
		if b.decoy != nil {
			_ = bcrypt.CompareHashAndPassword(b.decoy.hash, []byte(password))
		}
		return false
	}
	verified := user.verified.Load()
	if verified != nil && subtle.ConstantTimeCompare(verified[:], digest[:]) == 1 {
		return true
	}
	if bcrypt.CompareHashAndPassword(user.hash, []byte(password)) != nil {
		return false
	}
	remembered := *digest
	user.verified.Store(&remembered)
	return true
}

func (b *Basic) digest(s string) [32]byte {
	mac := hmac.New(sha256.New, b.key[:])
	mac.Write([]byte(s))
	return [32]byte(mac.Sum(nil))
}

func parseBasic(values []string) (name, password string, refusal *Refusal) {
	switch len(values) {
	case 0:
		return "", "", refuse(CredentialMissing, "there is no Authorization header")
	case 1:
	default:
		return "", "", refuse(CredentialMalformed, "Authorization is there more than once")
	}
	if !hasPrefixFold(values[0], "Basic ") {
		return "", "", refuse(CredentialMissing, "Authorization holds no Basic credentials")
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.Trim(values[0][len("Basic "):], " "))
	if err != nil {
		return "", "", refuse(CredentialMalformed, "the Basic credentials are not base64")
	}
	name, password, ok := strings.Cut(string(decoded), ":")
	if !ok {
		return "", "", refuse(CredentialMalformed, "the Basic credentials hold no colon")
	}
	return name, password, nil
}
