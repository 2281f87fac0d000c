package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// TestUIInBrowser holds that an operator, with a browser and a password, finds a
// dead event on the page, opens it, retries it and sees that it was delivered.
func TestUIInBrowser(t *testing.T) {
	t.Parallel()
	chromium := findChromium(t)
	b := newBackend(t)
	g := startUI(t, b, "")
	j := stored(g, b, http.StatusBadRequest, "discarded")
	br := newBrowser(t, chromium, g)

	br.does("opens the page", br.opens("/"), sees("Jobs", "Queues", "Discarded"))
	br.does("looks for dead events", br.opens("/jobs?state=discarded"), sees("klink_delivery", "contact.create"))
	br.does("opens the dead event", chromedp.Click(`//a[contains(., "klink_delivery")]`), sees("status 400", j.key(t)))
	br.does("retries it", chromedp.Click(`//button[contains(., "Retry")]`), sees("Completed"))
	if got := b.has(t, 2); got[1].body != theEvent {
		t.Errorf("the backend has got %+v", got[1])
	}
	br.does("looks for delivered events", br.opens("/jobs?state=completed"), sees("klink_delivery", "contact.create"))
	br.does("looks at the queues", br.opens("/queues"), sees(g.name))
	if complaints := br.complaints(); complaints != "" {
		t.Errorf("the browser complains:\n%s", complaints)
	}
}

// findChromium skips a test where there is no Chromium, but never in CI.
func findChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("there is no chromium on the PATH: CI must try the page in a browser")
	}
	t.Skip("the page is not tried in a browser: put chromium on the PATH")
	return ""
}

// browser is a window of a headless Chromium.
type browser struct {
	t    *testing.T
	ctx  context.Context
	site string

	mu    sync.Mutex
	heard []string // what it complains about
}

// newBrowser starts a Chromium that speaks to the gateway, and types the
// operator's password when it is asked for it.
func newBrowser(t *testing.T, chromium string, g *gateway) *browser {
	t.Helper()
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(chromium), chromedp.WindowSize(1400, 1000)}
	for _, flag := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
		"disable-component-update", "disable-sync", "disable-dev-shm-usage",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	address := freeAddress(t)
	forward(t, address, func() (net.Conn, error) {
		return g.client.Transport.(*http.Transport).DialContext(ctx, "", "")
	})
	br := &browser{t: t, ctx: ctx, site: "http://" + address}
	if err := chromedp.Listen(ctx, br.hear); err != nil {
		t.Fatal(err)
	}
	call(br, log.Enable, cdp.Empty{})
	handle := true
	call(br, fetch.Enable, fetch.EnableParams{HandleAuthRequests: &handle})
	return br
}

func call[P, R any](br *browser, command cdp.Command[P, R], params P) {
	if _, err := chromedp.Call(br.ctx, command, params); err != nil && br.ctx.Err() == nil {
		br.t.Error(err)
	}
}

// hear sees to what the browser asks for and complains about. It hears no answer
// to a call of its own before it has returned.
func (br *browser) hear(event any) {
	switch event := event.(type) {
	case *fetch.EventRequestPaused:
		go call(br, fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: event.RequestID})
	case *fetch.EventAuthRequired:
		go call(br, fetch.ContinueWithAuth, fetch.ContinueWithAuthParams{
			RequestID: event.RequestID,
			AuthChallengeResponse: &fetch.AuthChallengeResponse{
				Response: fetch.AuthChallengeResponseResponseProvideCredentials, Username: "operator", Password: "open sesame",
			},
		})
	case *runtime.EventExceptionThrown:
		br.complain(event.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		if event.Entry.Level == log.EntryLevelError {
			br.complain(event.Entry.Text + " " + event.Entry.URL)
		}
	}
}

func (br *browser) complain(text string) {
	br.mu.Lock()
	defer br.mu.Unlock()
	br.heard = append(br.heard, text)
}

func (br *browser) complaints() string {
	br.mu.Lock()
	defer br.mu.Unlock()
	return strings.Join(br.heard, "\n")
}

// does lets the operator do something, and keeps a picture of what is seen then,
// which go test -artifacts does not throw away.
func (br *browser) does(what string, steps ...chromedp.Action[chromedp.Void]) {
	br.t.Helper()
	ctx, cancel := context.WithTimeout(br.ctx, patience)
	defer cancel()
	err := chromedp.Do(ctx, steps...)
	if picture, shot := chromedp.Run(br.ctx, chromedp.CaptureScreenshot()); shot == nil {
		name := filepath.Join(br.t.ArtifactDir(), strings.ReplaceAll(what, " ", "-")+".png")
		err = errors.Join(err, os.WriteFile(name, picture, 0o600))
	}
	if err != nil {
		br.t.Fatalf("an operator who %s: %v\n%s", what, err, br.complaints())
	}
}

func (br *browser) opens(path string) chromedp.Action[chromedp.Void] {
	return chromedp.Navigate(br.site + "/inbox" + path)
}

// sees waits until the page shows all of these texts.
func sees(texts ...string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		for {
			shown, err := chromedp.Evaluate[string](`document.body?.innerText ?? ""`)(ctx, t)
			missing := slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return strings.Contains(shown, text) })
			if err == nil && len(missing) == 0 {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("the page does not show %q: %w", missing, errors.Join(err, ctx.Err()))
			case <-time.After(50 * time.Millisecond):
			}
		}
	})
}
