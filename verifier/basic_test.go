package verifier

import (
	"encoding/base64"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func mustBasic(t testing.TB, usersAndPasswords ...string) *Basic {
	t.Helper()
	b, err := NewBasic()
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(usersAndPasswords); i += 2 {
		if err := b.Add(usersAndPasswords[i], usersAndPasswords[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func bcryptOf(t testing.TB, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func TestBasic(t *testing.T) {
	hash := bcryptOf(t, "hashed")
	b := mustBasic(t, "alice", "pa:ss:", "bob", "pässwörd €", "carol", hash, "dave", "$2x$ is no bcrypt hash", "é", "p")
	for _, tt := range []struct {
		values []string
		user   int
		want   Reason
	}{
		{[]string{basicAuth("alice:pa:ss:")}, 1, ""},
		{[]string{basicAuth("bob:pässwörd €")}, 2, ""},
		{[]string{basicAuth("carol:hashed")}, 3, ""},
		{[]string{basicAuth("dave:$2x$ is no bcrypt hash")}, 4, ""},
		{[]string{basicAuth("é:p")}, 5, ""},
		{[]string{strings.Replace(basicAuth("alice:pa:ss:"), "Basic", "bAsIc", 1)}, 1, ""},
		{[]string{strings.Replace(basicAuth("alice:pa:ss:"), " ", "   ", 1)}, 1, ""},

		{[]string{basicAuth("alice:pa:ss")}, 0, BasicMismatch},
		{[]string{basicAuth("alice:pa")}, 0, BasicMismatch},
		{[]string{basicAuth("alice:")}, 0, BasicMismatch},
		{[]string{basicAuth("Alice:pa:ss:")}, 0, BasicMismatch},
		{[]string{basicAuth(":pa:ss:")}, 0, BasicMismatch},
		{[]string{basicAuth(":")}, 0, BasicMismatch},
		{[]string{basicAuth("alice:hashed")}, 0, BasicMismatch}, // another's password
		{[]string{basicAuth("carol:pa:ss:")}, 0, BasicMismatch},
		{[]string{basicAuth("carol:" + hash)}, 0, BasicMismatch}, // the hash is no password
		{[]string{basicAuth("mallory:hashed")}, 0, BasicMismatch},
		{[]string{basicAuth("bob:p\xe4ssw\xf6rd €")}, 0, BasicMismatch},

		{nil, 0, CredentialMissing},
		{[]string{sampleHex}, 0, CredentialMissing},
		{[]string{"Bearer x"}, 0, CredentialMissing},
		{[]string{""}, 0, CredentialMissing},
		{[]string{"Basic"}, 0, CredentialMissing},
		{[]string{"Basic "}, 0, CredentialMalformed},
		{[]string{"Basic !!!"}, 0, CredentialMalformed},
		{[]string{basicAuth("alice")}, 0, CredentialMalformed},
		{[]string{"Basic " + strings.TrimRight(base64.StdEncoding.EncodeToString([]byte("alice:pa:ss:1")), "=")}, 0, CredentialMalformed},
		{[]string{basicAuth("alice:pa:ss:"), basicAuth("alice:pa:ss:")}, 0, CredentialMalformed},
		{[]string{basicAuth("alice:pa:ss:"), sampleHex}, 0, CredentialMalformed},
	} {
		user, refusal := b.verify(map[string][]string{"Authorization": tt.values})
		if user != tt.user || reasonOf(refusal) != tt.want {
			t.Errorf("%q: user %d, %v, want %d, %q", tt.values, user, refusal, tt.user, tt.want)
		}
		if refusal != nil && len(tt.values) > 0 && len(tt.values[0]) > 8 && strings.Contains(refusal.Error(), tt.values[0][6:]) {
			t.Errorf("the refusal shows credentials: %v", refusal)
		}
	}
}

// TestBcryptIsComputedOnce takes the hash away after the first verification: the
// same password still passes, and every other is held against the hash again.
func TestBcryptIsComputedOnce(t *testing.T) {
	b := mustBasic(t, "carol", bcryptOf(t, "hashed"))
	carol := map[string][]string{"Authorization": {basicAuth("carol:hashed")}}
	wrong := map[string][]string{"Authorization": {basicAuth("carol:wrong")}}
	if _, refusal := b.verify(wrong); reasonOf(refusal) != BasicMismatch || b.users[0].verified.Load() != nil {
		t.Fatalf("a wrong password first: %v", refusal)
	}
	if _, refusal := b.verify(carol); refusal != nil {
		t.Fatal(refusal)
	}
	b.users[0].hash = []byte("no hash any more")
	if user, refusal := b.verify(carol); refusal != nil || user != 1 {
		t.Errorf("the verified password was not remembered: %v", refusal)
	}
	if _, refusal := b.verify(wrong); reasonOf(refusal) != BasicMismatch {
		t.Errorf("another password: %v", refusal)
	}
	if _, refusal := b.verify(carol); refusal != nil {
		t.Errorf("a wrong password made it forget: %v", refusal)
	}
}

// TestUnknownUserCostsBcrypt counts what the decoy is for: where one user has a
// hash, an unknown user is held against it.
func TestUnknownUserCostsBcrypt(t *testing.T) {
	b := mustBasic(t, "alice", "plain", "carol", bcryptOf(t, "hashed"), "erin", bcryptOf(t, "hashed too"))
	if b.decoy != b.users[1] {
		t.Errorf("the decoy is %p, want carol %p", b.decoy, b.users[1])
	}
	if b := mustBasic(t, "alice", "plain"); b.decoy != nil {
		t.Error("a decoy although nobody has a hash")
	}
	for _, credentials := range []string{"mallory:hashed", "alice:hashed"} {
		user, refusal := b.verify(map[string][]string{"Authorization": {basicAuth(credentials)}})
		if user != 0 || reasonOf(refusal) != BasicMismatch {
			t.Errorf("the decoy's password let in %s as user %d", credentials, user)
		}
	}
}

func TestBadUsers(t *testing.T) {
	for _, tt := range []struct{ name, password, want string }{
		{"", "p", "the user is empty"},
		{"a:b", "p", "a user cannot hold a colon"},
		{"a", "", `the password of "a" is empty`},
		{"a", "$2a$10$short", `the password of "a" begins like a bcrypt hash and is none`},
		{"a", "$2y$99$" + strings.Repeat("a", 53), `the password of "a" begins like a bcrypt hash and is none`},
		{"alice", "other", `user "alice" is there twice`},
	} {
		err := mustBasic(t, "alice", "p").Add(tt.name, tt.password)
		if err == nil || err.Error() != tt.want {
			t.Errorf("user %q, password %q: %v, want %q", tt.name, tt.password, err, tt.want)
		}
	}
}
