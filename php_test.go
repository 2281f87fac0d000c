package klink_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// phpRecorder adds a line about each request to the file "record" beside it.
const phpRecorder = `<?php
$body = file_get_contents('php://input');
file_put_contents(__DIR__ . '/record', json_encode([
    'method' => $_SERVER['REQUEST_METHOD'],
    'target' => $_SERVER['REQUEST_URI'],
    'query' => (object) $_GET,
    'length' => $_SERVER['CONTENT_LENGTH'] ?? '',
    'headers' => getallheaders(),
    'authorization' => $_SERVER['HTTP_AUTHORIZATION'] ?? '',
    'sha256' => hash('sha256', $body),
    'body' => base64_encode($body),
]) . "\n", FILE_APPEND | LOCK_EX);
http_response_code(201);
echo hash('sha256', $body);
`

// phpRequest is a line of the record.
type phpRequest struct {
	Method        string
	Target        string
	Query         map[string]string
	Length        string
	Headers       map[string]string
	Authorization string
	SHA256        string
	Body          []byte
}

// phpRecord reads what the recorder in a folder has written so far.
func phpRecord(t *testing.T, dir string) []phpRequest {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "record"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var requests []phpRequest
	for line := range bytes.Lines(data) {
		var r phpRequest
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		requests = append(requests, r)
	}
	return requests
}

func TestPHPServer(t *testing.T) {
	php := findPHP(t, "php-cli", "php")
	dir := phpFolder(t)
	// Port 0: PHP takes a free one and says which.
	log := startProcess(t, dir, exec.Command(php, "-n", "-S", "127.0.0.1:0", filepath.Join(dir, "index.php")))

	testPHP(t, dir, "reverse_proxy "+phpServerAddress(t, log))
}

func TestPHPFPM(t *testing.T) {
	fpm := findPHP(t, "php-fpm", "php-fpm", "/usr/sbin/php-fpm*", "/usr/local/sbin/php-fpm*")
	dir := phpFolder(t)
	socket := filepath.Join(dir, "fpm.sock")
	config := filepath.Join(dir, "fpm.conf")
	pool := "[global]\nerror_log = " + filepath.Join(dir, "fpm.log") + "\n[www]\nlisten = " + socket + "\npm = static\npm.max_children = 2\n"
	args := []string{"-n", "-F", "-p", dir, "-y", config}
	if os.Getuid() == 0 {
		pool += "user = root\ngroup = root\n"
		args = append(args, "-R")
	}
	if err := os.WriteFile(config, []byte(pool), 0o600); err != nil {
		t.Fatal(err)
	}
	startProcess(t, dir, exec.Command(fpm, args...))
	await(t, "PHP-FPM", func() error {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			_ = conn.Close()
		}
		return err
	})

	testPHP(t, dir, "root "+dir+"\nphp_fastcgi unix/"+socket)
}

// testPHP puts a gateway before a PHP recorder.
func testPHP(t *testing.T, dir, proxy string) {
	t.Helper()
	s := startCaddy(t, `
		klink_webhook {
			hmac "`+testSecret+`"
		}
		`+proxy)
	t.Run("genuine", func(t *testing.T) { testPHPGenuine(t, s, dir) })
	t.Run("forged", func(t *testing.T) { testPHPForged(t, s, dir) })
}

func testPHPGenuine(t *testing.T, s *server, dir string) {
	message := func(size int) string {
		const word = `caf\u00e9 <b>\/ `
		return `{"timestamp":"2026-01-09T03:42:38.000000Z", "event":"message.inbound", "data":{"text":"` +
			strings.Repeat(word, size/len(word)) + `"}}`
	}
	tests := []struct {
		name    string
		body    string
		chunked bool
	}{
		{"escapes and white space", "\r\n\t{ \"timestamp\" :\"2026-01-09T03:42:38.000000Z\",\n\n\"event\":\"contact.create\" ,\t" +
			`"data":{"url":"https:\/\/example.com\/?a=1&b=<2>","name":"Zo\u00eb \ud83d\ude00 ` + "\u2028" + `","n":[1.0, 1e2, -0, 10000000000000000000000]}}` + " \n", false},
		{"in chunks", message(100 << 10), true},
		{"900 KB", message(900 << 10), false},
	}
	const target = "/hooks/klink?b=2&a=%31&c"
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := signed(t, target, test.body)
			r.Header.Set("Authorization", "Token of-another-kind")
			r.Header.Set("X-Request-Id", "  7b1c; q=\"1\"")
			if test.chunked {
				r.ContentLength = -1
				r.Body = io.NopCloser(strings.NewReader(test.body))
			}
			before := len(phpRecord(t, dir))
			digest := fmt.Sprintf("%x", sha256.Sum256([]byte(test.body)))
			if a := s.do(t, r); a.status != 200 || a.body != digest {
				t.Fatalf("answer %d %q, want 200 and PHP's digest of the body", a.status, a.body)
			}
			record := phpRecord(t, dir)
			if len(record) != before+1 {
				t.Fatalf("PHP got %d requests", len(record)-before)
			}
			checkPHPRequest(t, record[before], r, target, test.body, digest)
		})
	}
}

func checkPHPRequest(t *testing.T, got phpRequest, sent *http.Request, target, body, digest string) {
	t.Helper()
	if string(got.Body) != body || got.SHA256 != digest {
		t.Errorf("PHP read %d bytes with the digest %s, %d bytes with %s were sent", len(got.Body), got.SHA256, len(body), digest)
	}
	if got.Method != "POST" || got.Target != target {
		t.Errorf("PHP got %s %s", got.Method, got.Target)
	}
	if fmt.Sprint(got.Query) != "map[a:1 b:2 c:]" {
		t.Errorf("PHP's query is %v", got.Query)
	}
	if got.Length != strconv.Itoa(len(body)) {
		t.Errorf("Content-Length is %q for %d bytes", got.Length, len(body))
	}
	want := map[string]string{
		"Host":         "hooks.example.com",
		"X-Request-Id": `7b1c; q="1"`, // HTTP does not carry space around a value
	}
	for _, name := range []string{"Content-Type", "X-Signature", "Authorization"} {
		want[name] = sent.Header.Get(name)
	}
	for name, value := range want {
		if got.Headers[name] != value {
			t.Errorf("header %s is %q, want %q", name, got.Headers[name], value)
		}
	}
	if got.Authorization != want["Authorization"] {
		t.Errorf("HTTP_AUTHORIZATION is %q", got.Authorization)
	}
}

func testPHPForged(t *testing.T, s *server, dir string) {
	const target = "/hooks/klink"
	tests := []struct {
		name   string
		status int
		forge  func(*http.Request)
	}{
		{"another signature", 401, func(r *http.Request) {
			r.Header.Set("X-Signature", hex.EncodeToString(make([]byte, sha256.Size)))
		}},
		{"no signature", 401, func(r *http.Request) { r.Header.Del("X-Signature") }},
		{"another body", 401, func(r *http.Request) {
			forged := strings.Replace(testBody, "7b1c", "7b1d", 1)
			r.Body = io.NopCloser(strings.NewReader(forged))
		}},
		{"a member more", 400, func(r *http.Request) {
			forged := strings.Replace(testBody, `{"event":`, `{"event":"contact.delete","event":`, 1)
			r.ContentLength = int64(len(forged))
			r.Body = io.NopCloser(strings.NewReader(forged))
		}},
		{"another address", 403, func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.1") }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := len(phpRecord(t, dir))
			r := signed(t, target, testBody)
			test.forge(r)
			if a := s.do(t, r); a.status != test.status || a.body != "" {
				t.Errorf("answer %d %q, want an empty %d", a.status, a.body, test.status)
			}
			if after := len(phpRecord(t, dir)); after != before {
				t.Errorf("PHP got %d requests", after-before)
			}
		})
	}
}

// findPHP returns the first program that is there, by name or pattern. Without
// one the test is skipped, but not in CI.
func findPHP(t *testing.T, debianPackage string, candidates ...string) string {
	t.Helper()
	for _, candidate := range candidates {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
		if matches, _ := filepath.Glob(candidate); len(matches) > 0 {
			return matches[len(matches)-1]
		}
	}
	const remedy = "PHP is not installed: on Debian, apt-get install "
	if os.Getenv("CI") == "true" {
		t.Fatal(remedy + debianPackage)
	}
	t.Skip(remedy + debianPackage)
	return ""
}

func phpFolder(t *testing.T) string {
	t.Helper()
	dir := shortTempDir(t)
	if err := os.WriteFile(filepath.Join(dir, "index.php"), []byte(phpRecorder), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// startProcess runs a program until the test ends. What it says goes to the
// file that is returned.
func startProcess(t *testing.T, dir string, cmd *exec.Cmd) (logFile string) {
	t.Helper()
	logFile = filepath.Join(dir, "process.log")
	log, err := os.Create(logFile)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the process has its own
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		_ = cmd.Wait() // it was told to stop, so it reports just that
		if t.Failed() {
			said, _ := os.ReadFile(logFile)
			t.Logf("%s said:\n%s", cmd.Path, said)
		}
	})
	return logFile
}

var phpServerStarted = regexp.MustCompile(`Development Server \(http://([0-9.:]+)\) started`)

// phpServerAddress waits until PHP's web server says where it listens.
func phpServerAddress(t *testing.T, logFile string) (address string) {
	t.Helper()
	await(t, "PHP's web server", func() error {
		said, err := os.ReadFile(logFile)
		if err != nil {
			return err
		}
		m := phpServerStarted.FindSubmatch(said)
		if m == nil {
			return errors.New("it has not said where it listens")
		}
		address = string(m[1])
		return nil
	})
	return address
}

// await tries until it succeeds.
func await(t *testing.T, what string, try func() error) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not start: %v", what, err)
		}
	}
}
