package klink_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// freePort is "freeport NAME": the variable is set to a free address of this
// machine, and NAME_PORT to its port.
func freePort(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: freeport NAME")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Check(listener.Close())
	_, port, err := net.SplitHostPort(listener.Addr().String())
	ts.Check(err)
	ts.Setenv(args[0], listener.Addr().String())
	ts.Setenv(args[0]+"_PORT", port)
}

// awaitAddress is "listening address": it waits until something listens there. An
// address with a slash is a unix socket.
func awaitAddress(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: listening address")
	}
	network := "tcp"
	if strings.HasPrefix(args[0], "/") {
		network = "unix"
	}
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		connection, err := net.Dial(network, args[0])
		if err == nil {
			ts.Check(connection.Close())
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("nothing listens: %v", err)
		}
	}
}

// writeCertificate is "certificate cert.pem key.pem 48h": one for localhost that
// signs itself and holds that long.
func writeCertificate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: certificate file keyfile duration")
	}
	life, err := time.ParseDuration(args[2])
	ts.Check(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	for i, block := range []*pem.Block{{Type: "CERTIFICATE", Bytes: certificate}, {Type: "PRIVATE KEY", Bytes: private}} {
		ts.Check(os.WriteFile(ts.MkAbs(args[i]), pem.EncodeToMemory(block), 0o600))
	}
}

// untilMatch is "until regexp command argument...": the command runs again and
// again until it succeeds with what matches in its output.
func untilMatch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until regexp command argument...")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("it does not come: %v", err)
		}
	}
}

// askAdmin is "admin socket method path file": the file gets the status, the
// content type and the answer of an admin endpoint.
func askAdmin(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: admin socket method path file")
	}
	s := &server{socket: args[0]}
	client := http.Client{Transport: s.transport(), Timeout: patience}
	defer client.CloseIdleConnections()
	request, err := http.NewRequest(args[1], "http://127.0.0.1"+args[2], nil)
	ts.Check(err)
	response, err := client.Do(request)
	ts.Check(err)
	body, err := io.ReadAll(response.Body)
	ts.Check(err)
	ts.Check(response.Body.Close())
	text := fmt.Sprintf("%d %s\n%s", response.StatusCode, response.Header.Get("Content-Type"), body)
	ts.Check(os.WriteFile(ts.MkAbs(args[3]), []byte(text), 0o600))
}

// The block that a diagnosis ends with makes the gateway accept the very request
// that was captured, and no other.
func TestDiagnosedBlockIsAccepted(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "the secret")
	if err := os.WriteFile(secret, []byte(testSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const target, body = "/hook/?b=2&a=1", `{"n": 1.0}`
	for name, tt := range map[string]struct{ header, url, body, base, target string }{
		"path":                   {"Authorization", "path", "raw", "https://any.example", target},
		"another host":           {"X-Signature", "host_path", "go", "https://public.example", target},
		"another scheme":         {"X-Other", "full", "raw_numbers", "https://hooks.example.com", target},
		"another path in a full": {"X-Signature", "full_query", "go", "https://hooks.example.com", "/hook?b=2&a=1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			signature := sign(t, testSecret, tt.url, tt.body, tt.base, tt.target, body)
			captured := "POST " + target + " HTTP/1.1\nHost: hooks.example.com\nX-Forwarded-Host: public.example\n" +
				tt.header + ": " + signature + "\n\n" + body
			command := exec.Command("caddy", "klink", "diagnose", "--secret-file", secret, "-")
			command.Stdin = strings.NewReader(captured)
			out, err := command.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			_, block, found := strings.Cut(string(out), "\nklink_webhook {")
			if !found || strings.Contains(string(out), testSecret) {
				t.Fatalf("no block, or a secret:\n%s", out)
			}
			s := startCaddy(t, "klink_webhook {"+block+"respond 200")
			request := delivery(t, target, body)
			request.Header.Set(tt.header, signature)
			if got := s.do(t, request); got.status != http.StatusOK {
				t.Errorf("the request is answered %d with\n%s", got.status, block)
			}
			request = delivery(t, target, strings.Replace(body, "1", "2", 1))
			request.Header.Set(tt.header, signature)
			if got := s.do(t, request); got.status != http.StatusUnauthorized {
				t.Errorf("another body is answered %d", got.status)
			}
		})
	}
}
