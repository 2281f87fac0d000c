package inbox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

func init() {
	caddy.RegisterModule(new(UI))
}

// UI is a web page that shows what an inbox has stored, and on which an operator
// retries, cancels and deletes events and pauses deliveries. It is River UI, the
// page of the queue that inboxes are built on, and shows the whole database: all
// inboxes that share it.
//
// It shows of an event its name, endpoint, size, times and attempts, but neither
// its body nor its headers.
//
//	klink_inbox_ui [<matcher>] [<path>] {
//		inbox <name>
//		path  <path>
//		allow_unauthenticated
//	}
//
// The path is that below which browsers see the page, whatever was rewritten
// before; requests for other paths go to the next handler. Typically:
//
//	handle /inbox* {
//		basic_auth {
//			operator {env.OPERATOR_HASH}
//		}
//		klink_inbox_ui /inbox
//	}
//
// The page does not load without an authenticating handler before it: basic_auth,
// forward_auth, or another one that Caddy's http.handlers.authentication runs.
// What that one did not authenticate is answered 403. Two exceptions: on a site
// that listens on loopback addresses or unix sockets only, whoever calls it by
// the name localhost or a loopback address may use it; and
// allow_unauthenticated lets everybody.
//
// What changes anything must come from the page itself: requests that browsers
// make for other sites are answered 403.
type UI struct {
	// The inbox whose database is shown. Default: the only one; it must be there
	// where inboxes have several databases.
	Inbox string `json:"inbox,omitempty"`

	// The path below which browsers see the page. Default: the site's root.
	Path string `json:"path,omitempty"`

	// Lets everybody use the page whom the handlers before it let through. Write
	// it where something else protects the page: client certificates, a private
	// network, a proxy in front.
	AllowUnauthenticated bool `json:"allow_unauthenticated,omitempty"`

	admission admission
	foreign   *http.CrossOriginProtection
	logger    *zap.Logger
	ctx       context.Context // ends with the configuration

	mu   sync.Mutex
	page *page
}

// CaddyModule returns the Caddy module information.
func (*UI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.klink_inbox_ui",
		New: func() caddy.Module { return new(UI) },
	}
}

// Provision fails where anybody could use the page.
func (ui *UI) Provision(ctx caddy.Context) error {
	if err := ui.provision(ctx); err != nil {
		return fmt.Errorf("klink_inbox_ui: %w", err)
	}
	return nil
}

func (ui *UI) provision(ctx caddy.Context) (err error) {
	ui.ctx, ui.logger = ctx, ctx.Logger()
	ui.foreign = http.NewCrossOriginProtection()
	if ui.Inbox != "" && !nameForm.MatchString(ui.Inbox) {
		return fmt.Errorf("inbox: %w", errName)
	}
	if ui.Path, err = cleanPath(ui.Path); err != nil {
		return err
	}
	server, _ := ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	ui.admission, err = ui.admit(server)
	return err
}

var (
	pathForm = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)*$`)
	errPath  = errors.New("path: write where browsers see the page, such as /inbox: letters, digits and . _ ~ - between slashes")
)

// cleanPath returns a path without what users may have written at its end, used
// to path matchers.
func cleanPath(path string) (string, error) {
	path = strings.TrimSuffix(strings.TrimSuffix(path, "*"), "/")
	for part := range strings.SplitSeq(path, "/") {
		if part == "." || part == ".." {
			return "", errPath
		}
	}
	if !pathForm.MatchString(path) {
		return "", errPath
	}
	return path, nil
}

// ServeHTTP answers what is below the path.
func (ui *UI) ServeHTTP(w http.ResponseWriter, r *http.Request, next caddyhttp.Handler) error {
	seen := urlSeen(r)
	below, ok := strings.CutPrefix(seen.Path, ui.Path)
	if !ok || below != "" && below[0] != '/' {
		return next.ServeHTTP(w, r)
	}
	w = &pageWriter{ResponseWriter: w, below: below}
	if err := ui.admission.check(r); err != nil {
		return ui.refuse(w, r, err)
	}
	if err := ui.foreign.Check(r); err != nil {
		return ui.refuse(w, r, err)
	}
	page, missing := ui.current(r.Context())
	if missing != nil {
		http.Error(w, "klink_inbox_ui: "+missing.text, missing.status)
		return nil
	}
	seenBy := *r // River reads the URL as browsers see it
	seenBy.URL = seen
	ui.serve(w, &seenBy, page, below)
	return nil
}

// urlSeen returns the URL before any rewrite.
func urlSeen(r *http.Request) *url.URL {
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok {
		return copyURL(r.URL)
	}
	return copyURL(original.URL)
}

// refuse tells an operator why nothing is shown; Caddy itself would log that at
// the level Debug only.
func (ui *UI) refuse(w http.ResponseWriter, r *http.Request, err error) error {
	ui.logger.Info("page refused", zap.Error(err), zap.String("method", r.Method), zap.Any("client_ip", caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey)))
	http.Error(w, "klink_inbox_ui: "+err.Error(), http.StatusForbidden)
	return nil
}

// policy lets the page have scripts of its own only, and nobody else frame it.
// Its styles are set by scripts, too.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// pageWriter sets the headers that every answer has, at the last moment: net/http
// drops some when a file is not found, and River then answers with its index.
type pageWriter struct {
	http.ResponseWriter
	below string // the path, without that of the page
	wrote bool
}

// WriteHeader implements http.ResponseWriter.
func (s *pageWriter) WriteHeader(status int) {
	s.wrote = true
	header := s.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Frame-Options", "DENY")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
	if strings.HasPrefix(s.below, "/assets/") && status == http.StatusOK { // their names change with their content
		header.Set("Cache-Control", "private, max-age=86400")
	}
	s.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (s *pageWriter) Write(p []byte) (int, error) {
	if !s.wrote {
		s.WriteHeader(http.StatusOK)
	}
	return s.ResponseWriter.Write(p)
}

// Interface guards
var (
	_ caddy.Provisioner           = (*UI)(nil)
	_ caddyhttp.MiddlewareHandler = (*UI)(nil)
)
