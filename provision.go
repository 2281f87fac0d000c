package klink

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"
	"golang.org/x/net/http/httpguts"

	"github.com/klinkgate/caddy-klink/verifier"
)

const (
	defaultName        = "endpoint"
	largestBudgetLimit = 10000
)

func (w *Webhook) provision() error {
	if err := w.provisionLimits(); err != nil {
		return err
	}
	var c verifier.Config
	var err error
	allow := w.Allow
	if len(allow) == 0 {
		allow = []string{"klink"}
	}
	if c.Allow, err = verifier.ParseAddressList(allow); err != nil {
		return fmt.Errorf("allow: %w", err)
	}
	repl := caddy.NewReplacer()
	if w.HMAC != nil {
		if c.HMAC, err = w.provisionHMAC(repl); err != nil {
			return fmt.Errorf("hmac: %w", err)
		}
	}
	if len(w.Basic) > 0 {
		if c.Basic, err = provisionBasic(w.Basic, repl); err != nil {
			return fmt.Errorf("basic: %w", err)
		}
	}
	if c.Headers, err = provisionHeaders(w.Headers, repl); err != nil {
		return err
	}
	w.verifier, err = verifier.New(c)
	return err
}

func (w *Webhook) provisionLimits() error {
	if w.MaxBody == 0 {
		w.MaxBody = defaultMaxBody
	}
	if w.MaxBody < 0 || w.MaxBody > largestMaxBody {
		return errMaxBody
	}
	w.buffers = newBuffers(w.MaxBody)
	if w.PublicURL == "" {
		return nil
	}
	u, err := parsePublicURL(w.PublicURL)
	if err != nil {
		return err
	}
	w.publicScheme, w.publicHost = u.Scheme, u.Host
	return nil
}

var errMaxBody = errors.New("max_body: the size must be above 0 and at most 512MiB")

func parsePublicURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || !verifier.PlainHost(u.Host) || s != u.Scheme+"://"+u.Host || !validPort(u) {
		return nil, errors.New("public_url: write scheme://host or scheme://host:port with http or https, without a path, such as https://hooks.example.com")
	}
	return u, nil
}

// validPort says whether u has no port, or one that exists.
func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}

func (h *HMAC) form() (f verifier.Form, err error) {
	if h.URL != "" {
		if f.URL, err = verifier.ParseURLForm(h.URL); err != nil {
			return f, fmt.Errorf("url: %w", err)
		}
	}
	if len(h.Body) > 0 {
		if f.Body, err = verifier.ParseBodyForm(h.Body); err != nil {
			return f, fmt.Errorf("body: %w", err)
		}
	}
	return f, nil
}

// check refuses what is wrong apart from the secrets.
func (h *HMAC) check() error {
	for i, name := range h.Headers {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("header: %q is no header name", name)
		}
		if err := verifier.CheckHeaderName(name); err != nil {
			return fmt.Errorf("header: %w", err)
		}
		if slices.ContainsFunc(h.Headers[:i], func(other string) bool { return strings.EqualFold(other, name) }) {
			return fmt.Errorf("header: %s is there twice", name)
		}
	}
	_, err := h.form()
	return err
}

// names returns what the secrets are called, those in files last.
func (h *HMAC) names() ([]string, error) {
	var names []string
	for i, s := range slices.Concat(h.Secrets, h.SecretFiles) {
		name, _ := splitName(s, i >= len(h.Secrets), len(names)+1)
		if slices.Contains(names, name) {
			return nil, fmt.Errorf("two secrets have the name %s: give them names of their own", name)
		}
		names = append(names, name)
	}
	return names, nil
}

// checkUser refuses a user or password that could not be added.
func checkUser(user, password string) error {
	basic, err := verifier.NewBasic()
	if err != nil {
		return err
	}
	return basic.Add(user, password)
}

func provisionBasic(users []BasicUser, repl *caddy.Replacer) (*verifier.Basic, error) {
	basic, err := verifier.NewBasic()
	if err != nil {
		return nil, err
	}
	for i, u := range users {
		name, err := expand(repl, u.User)
		if err != nil {
			return nil, fmt.Errorf("user %d: %w", i+1, err)
		}
		password, err := expand(repl, u.Password)
		if err != nil {
			return nil, fmt.Errorf("password %d: %w", i+1, err)
		}
		if err := basic.Add(name, password); err != nil {
			return nil, err
		}
	}
	return basic, nil
}

func provisionHeaders(headers []Header, repl *caddy.Replacer) ([]*verifier.Header, error) {
	var checks []*verifier.Header
	for n, h := range headers {
		if err := h.checkName(headers[:n]); err != nil {
			return nil, fmt.Errorf("header: %w", err)
		}
		values := make([]string, len(h.Values))
		for i, value := range h.Values {
			var err error
			if values[i], err = expand(repl, value); err != nil {
				return nil, fmt.Errorf("header %s: value %d: %w", h.Name, i+1, err)
			}
		}
		check, err := verifier.NewHeader(h.Name, values)
		if err != nil {
			return nil, err
		}
		checks = append(checks, check)
	}
	return checks, nil
}

// checkName refuses what is no header name or is among those before.
func (h *Header) checkName(before []Header) error {
	if !httpguts.ValidHeaderFieldName(h.Name) {
		return fmt.Errorf("%q is no header name", h.Name)
	}
	for _, other := range before {
		if strings.EqualFold(other.Name, h.Name) {
			return fmt.Errorf("%s is there twice: put its values on one line", h.Name)
		}
	}
	return nil
}

func (w *Webhook) provisionHMAC(repl *caddy.Replacer) (*verifier.HMAC, error) {
	if err := w.HMAC.check(); err != nil {
		return nil, err
	}
	form, err := w.HMAC.form()
	if err != nil {
		return nil, err
	}
	c := verifier.HMACConfig{Headers: w.HMAC.Headers, Form: form}
	if c.Secrets, err = w.provisionSecrets(repl); err != nil {
		return nil, err
	}
	return verifier.NewHMAC(c)
}

func (w *Webhook) provisionSecrets(repl *caddy.Replacer) (secrets []verifier.Secret, err error) {
	if w.secretNames, err = w.HMAC.names(); err != nil {
		return nil, err
	}
	add := func(value string) error {
		secret, err := verifier.NewSecret(value)
		secrets = append(secrets, secret)
		return err
	}
	for i, s := range w.HMAC.Secrets {
		_, s := splitName(s, false, 0)
		value, err := expand(repl, s)
		if err == nil {
			err = add(value)
		}
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
	}
	for _, s := range w.HMAC.SecretFiles {
		f := new(secretFile)
		_, f.written = splitName(s, true, 0)
		if f.path, err = secretPath(repl, f.written); err != nil {
			return nil, fmt.Errorf("secret_file: %w", err)
		}
		f.current, err = readSecretFile(f.path)
		if err == nil {
			err = add(f.current)
		}
		if err != nil {
			return nil, fmt.Errorf("secret_file: %s: %w", f.written, err)
		}
		f.index = len(secrets) - 1
		f.name = w.secretNames[f.index]
		w.secretFiles = append(w.secretFiles, f)
	}
	return secrets, nil
}

func (w *Webhook) provisionEndpoint(ctx caddy.Context) error {
	if err := w.checkMode(); err != nil {
		return err
	}
	unnamed := w.Name == ""
	if unnamed {
		w.Name = defaultName
	}
	if !validName(w.Name) {
		return errName
	}
	limit, window, err := w.ErrorBudget.values()
	if err != nil {
		return err
	}
	written, err := json.Marshal(w)
	if err != nil {
		return err
	}
	w.diagnosis = newDiagnosis()
	value, _, err := endpoints.LoadOrNew(w.Name, func() (caddy.Destructor, error) {
		return newEndpoint(w.Name), nil
	})
	if err != nil {
		return err
	}
	w.endpoint = value.(*endpoint)
	w.settings = &endpointSettings{
		observing: w.observing(), secretNames: w.secretNames, limit: limit, window: window,
		crossed: w.budgetTeller(ctx),
		config:  ctx.GetMetricsRegistry(), written: string(written), unnamed: unnamed,
	}
	if err := w.endpoint.adopt(w.settings); err != nil {
		return err
	}
	if err := registerMetrics(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	if w.observing() {
		w.logger.Warn("observe mode: what does not pass is let through", zap.String("endpoint", w.Name))
	}
	return nil
}

var (
	errName         = errors.New("name: write 1 to 64 letters, digits, dots, dashes or underscores")
	errBudgetLimit  = fmt.Errorf("error_budget: limit must be a number between 1 and %d", largestBudgetLimit)
	errBudgetWindow = errors.New("error_budget: window must be a duration above 0, such as 1h")
)

var validName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`).MatchString

func (w *Webhook) checkMode() error {
	switch w.Mode {
	case "", "enforce", "observe":
		return nil
	}
	return fmt.Errorf("mode: %q is unknown: write enforce or observe", w.Mode)
}

func (w *Webhook) observing() bool { return w.Mode == "observe" }

func (b *ErrorBudget) values() (limit int, window time.Duration, err error) {
	limit, window = defaultBudgetLimit, defaultBudgetWindow
	if b == nil {
		return limit, window, nil
	}
	if b.Limit < 0 || b.Limit > largestBudgetLimit {
		return 0, 0, errBudgetLimit
	}
	if b.Window < 0 {
		return 0, 0, errBudgetWindow
	}
	if b.Limit > 0 {
		limit = b.Limit
	}
	if b.Window > 0 {
		window = time.Duration(b.Window)
	}
	return limit, window, nil
}

// budgetTeller returns what is called when a level of the error budget is
// crossed: it logs, and emits an event where Caddy's events are at hand.
func (w *Webhook) budgetTeller(ctx caddy.Context) func(budgetLevel, BudgetStatus) {
	name, logger := w.Name, w.logger
	var events *caddyevents.App
	if app, err := ctx.AppIfConfigured("events"); err == nil {
		events, _ = app.(*caddyevents.App)
	}
	return func(level budgetLevel, s BudgetStatus) {
		fields := []zap.Field{
			zap.String("endpoint", name), zap.String("level", level.String()),
			zap.Int("used", s.Used), zap.Int("limit", s.Limit), zap.Float64("window_seconds", s.Window),
		}
		if level == budgetFine {
			logger.Info("error budget has recovered", fields...)
		} else {
			logger.Warn("error budget: K-LINK switches the endpoint off beyond its limit", fields...)
		}
		if events != nil {
			events.Emit(ctx, "klink_error_budget", map[string]any{
				"endpoint": name, "level": level.String(), "used": s.Used, "limit": s.Limit,
			})
		}
	}
}
