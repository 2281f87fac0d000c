package klink_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestCommands(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"admin":       askAdmin,
			"await":       awaitText,
			"certificate": writeCertificate,
			"endpoint":    startEndpoint,
			"freeport":    freePort,
			"listening":   awaitAddress,
			"until":       untilMatch,
		},
	})
}

// startEndpoint is a script's command: "endpoint status..." starts an endpoint
// that answers with one status after the other, the last one for good. Its URL
// is in $ENDPOINT, its host and port in $ENDPOINT_ADDRESS, and what it gets goes
// into the file requests.
func startEndpoint(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: endpoint status...")
	}
	requests, err := os.Create(ts.MkAbs("requests"))
	ts.Check(err)
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		user, password, _ := r.BasicAuth()
		fmt.Fprintf(requests, "%s %s signature=%s authorization=%s user=%s password=%s token=%s %s\n", r.Method, r.RequestURI,
			r.Header.Get("X-Signature"), r.Header.Get("Authorization"), user, password, r.Header.Get("X-Token"), body)
		status, err := strconv.Atoi(args[0])
		if err != nil {
			status = http.StatusNotImplemented
		}
		if len(args) > 1 {
			args = args[1:]
		}
		w.WriteHeader(status)
	}))
	ts.Setenv("ENDPOINT", server.URL)
	ts.Setenv("ENDPOINT_ADDRESS", server.Listener.Addr().String())
	ts.Defer(func() {
		server.Close()
		_ = requests.Close()
	})
}

// awaitText is a script's command: "await file text" waits until text is in the file.
func awaitText(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: await file text")
	}
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if strings.Contains(ts.ReadFile(args[0]), args[1]) {
			return
		}
	}
	ts.Fatalf("%q does not come into %s", args[1], args[0])
}
