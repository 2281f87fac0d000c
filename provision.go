package klink

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"go.uber.org/zap"

	"github.com/klinkgate/caddy-klink/verifier"
)

const (
	defaultName        = "endpoint"
	largestBudgetLimit = 10000
)

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
		_, s := splitName(s, beforePlaceholder, 0)
		value, err := expand(repl, s)
		if err == nil {
			err = add(value)
		}
		if err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
	}
	for _, s := range w.HMAC.SecretFiles {
		_, path := splitName(s, beforePath, 0)
		value, err := readSecretFile(path)
		if err == nil {
			err = add(value)
		}
		if err != nil {
			return nil, fmt.Errorf("secret_file: %w", err)
		}
		index := len(secrets) - 1
		w.secretFiles = append(w.secretFiles, &secretFile{path: path, name: w.secretNames[index], index: index, current: value})
	}
	return secrets, nil
}

func (w *Webhook) provisionEndpoint(ctx caddy.Context) error {
	if err := w.checkMode(); err != nil {
		return err
	}
	if w.Name == "" {
		w.Name = defaultName
	}
	if !validName(w.Name) {
		return errName
	}
	limit, window, err := w.ErrorBudget.values()
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
	}
	w.endpoint.adopt(w.settings)
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
