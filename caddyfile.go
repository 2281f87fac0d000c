package klink

import (
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/dustin/go-humanize"

	"github.com/klinkgate/caddy-klink/verifier"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("klink_webhook", parseCaddyfile)
	// Before basic_auth, and before basicauth, which is its deprecated name.
	httpcaddyfile.RegisterDirectiveOrder("klink_webhook", httpcaddyfile.After, "try_files")
}

// endpointNames is where the names of the endpoints so far are kept while a
// Caddyfile is adapted.
const endpointNames = "klink_webhook.names"

func parseCaddyfile(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	w := new(Webhook)
	if err := w.UnmarshalCaddyfile(h.Dispenser); err != nil {
		return nil, err
	}
	names, _ := h.State[endpointNames].([]string)
	switch {
	case w.Name == "" && h.IsNamedRoute(): // which has a State of its own
		return nil, h.Err("klink_webhook in a named route has no number: give it a name with the option name")
	case w.Name == "":
		w.Name = defaultName + strconv.Itoa(len(names)+1)
	}
	if slices.Contains(names, w.Name) {
		return nil, h.Errf("two endpoints have the name %s: give each a name of its own with the option name", w.Name)
	}
	h.State[endpointNames] = append(names, w.Name)
	return w, nil
}

// UnmarshalCaddyfile reads the directive; the struct's documentation shows its
// syntax. What can be checked without the environment is checked here, where the
// line is known.
func (w *Webhook) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the directive's name
	if d.NextArg() {
		return d.Errf("klink_webhook takes a block and no %q: write klink_webhook [<matcher>] { ... }", d.Val())
	}
	seen := make(options)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := w.unmarshalOption(d, seen); err != nil {
			return err
		}
	}
	if w.HMAC == nil && len(w.Basic) == 0 && len(w.Headers) == 0 {
		return d.Err("klink_webhook has no credential: add hmac, basic or header")
	}
	return nil
}

func (w *Webhook) unmarshalOption(d *caddyfile.Dispenser, seen options) error {
	option := d.Val()
	switch option {
	case "basic", "header": // may be repeated
	default:
		if err := seen.once(d); err != nil {
			return err
		}
	}
	switch option {
	case "allow":
		return w.unmarshalAllow(d)
	case "hmac":
		return w.unmarshalHMAC(d)
	case "basic":
		return w.unmarshalBasic(d)
	case "header":
		return w.unmarshalHeader(d)
	case "public_url":
		return w.unmarshalPublicURL(d)
	case "max_body":
		return w.unmarshalMaxBody(d)
	case "keep_status":
		return flag(d, option, &w.KeepStatus)
	case "strip_credentials":
		return flag(d, option, &w.StripCredentials)
	case "name":
		return w.unmarshalName(d)
	case "mode":
		return w.unmarshalMode(d)
	case "error_budget":
		return w.unmarshalErrorBudget(d)
	default:
		return d.Errf("unknown option %q: there are allow, hmac, basic, header, public_url, max_body, keep_status, strip_credentials, name, mode and error_budget", option)
	}
}

func (w *Webhook) unmarshalAllow(d *caddyfile.Dispenser) error {
	w.Allow = d.RemainingArgs()
	if _, err := verifier.ParseAddressList(w.Allow); err != nil {
		return d.Errf("allow: %v", err)
	}
	return noBlock(d, "allow")
}

func (w *Webhook) unmarshalHMAC(d *caddyfile.Dispenser) error {
	h := &HMAC{Secrets: d.RemainingArgs()}
	w.HMAC = h
	if err := noEmpty(d, "hmac: a secret", h.Secrets); err != nil {
		return err
	}
	seen := make(options)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := h.unmarshalOption(d, seen); err != nil {
			return err
		}
	}
	if len(h.Secrets) == 0 && len(h.SecretFiles) == 0 {
		return d.Err(`hmac has no secret: add "secret {env.KLINK_SECRET}" to hmac`)
	}
	if _, err := h.names(); err != nil {
		return d.Errf("hmac: %v", err)
	}
	return nil
}

func (h *HMAC) unmarshalOption(d *caddyfile.Dispenser, seen options) error {
	option := d.Val()
	switch option {
	case "secret", "secret_file": // may be repeated
	case "header", "url", "body":
		if err := seen.once(d); err != nil {
			return err
		}
	default:
		// Not the word itself: it could be a secret that lacks its option.
		return d.Err("unknown option in hmac: there are secret, secret_file, header, url and body")
	}
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Errf("hmac: %s needs a value", option)
	}
	if err := h.set(d, option, args); err != nil {
		return err
	}
	return noBlock(d, option)
}

func (h *HMAC) set(d *caddyfile.Dispenser, option string, args []string) error {
	switch option {
	case "secret":
		h.Secrets = append(h.Secrets, args...)
		return noEmpty(d, "hmac: a secret", args)
	case "secret_file":
		h.SecretFiles = append(h.SecretFiles, args...)
		if slices.Contains(args, "") {
			return d.Err("hmac: a secret_file is empty: write the path of a file that holds the secret")
		}
		return nil
	case "header":
		h.Headers = args
	case "url":
		if len(args) != 1 {
			return d.Err("hmac: url takes one form")
		}
		h.URL = args[0]
	case "body":
		h.Body = args
	}
	if err := h.check(); err != nil {
		return d.Errf("hmac: %v", err)
	}
	if option == "url" && h.URL == "" {
		return d.Err("hmac: url is empty: write a form, or leave the option out for auto")
	}
	return nil
}

func (w *Webhook) unmarshalBasic(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) != 2 {
		return d.Err("basic takes a user and a password: basic klink {env.KLINK_PASSWORD}")
	}
	for _, u := range w.Basic {
		if u.User == args[0] {
			return d.Errf("basic: user %q is there twice", u.User)
		}
	}
	w.Basic = append(w.Basic, BasicUser{User: args[0], Password: args[1]})
	if err := noEmpty(d, "basic: a user or password", args); err != nil {
		return err
	}
	if err := checkUser(args[0], args[1]); err != nil {
		return d.Errf("basic: %v", err)
	}
	return noBlock(d, "basic")
}

func (w *Webhook) unmarshalHeader(d *caddyfile.Dispenser) error {
	args := d.RemainingArgs()
	if len(args) < 2 {
		return d.Err("header takes a name and a value: header X-Webhook-Token {env.KLINK_TOKEN}")
	}
	header := Header{Name: args[0], Values: args[1:]}
	if err := header.checkName(w.Headers); err != nil {
		return d.Errf("header: %v", err)
	}
	w.Headers = append(w.Headers, header)
	if err := noEmpty(d, "header: a value", header.Values); err != nil {
		return err
	}
	if _, err := verifier.NewHeader(header.Name, header.Values); err != nil {
		return d.WrapErr(err)
	}
	return noBlock(d, "header")
}

func (w *Webhook) unmarshalPublicURL(d *caddyfile.Dispenser) error {
	if !d.AllArgs(&w.PublicURL) {
		return d.Err("public_url takes one URL, such as https://hooks.example.com")
	}
	if _, err := parsePublicURL(w.PublicURL); err != nil {
		return d.WrapErr(err)
	}
	return noBlock(d, "public_url")
}

func (w *Webhook) unmarshalMaxBody(d *caddyfile.Dispenser) error {
	var text string
	if !d.AllArgs(&text) {
		return d.Err("max_body takes one size, such as 1MiB")
	}
	size, err := humanize.ParseBytes(text)
	if err != nil || strings.Contains(text, ",") { // which could be a point or nothing
		return d.Errf("max_body: %q is no size: write a number of bytes or a size such as 512KiB or 1MiB", text)
	}
	if size == 0 || size > largestMaxBody {
		return d.WrapErr(errMaxBody)
	}
	w.MaxBody = int64(size)
	return noBlock(d, "max_body")
}

func (w *Webhook) unmarshalName(d *caddyfile.Dispenser) error {
	if !d.AllArgs(&w.Name) || !validName(w.Name) {
		return d.WrapErr(errName)
	}
	return noBlock(d, "name")
}

func (w *Webhook) unmarshalMode(d *caddyfile.Dispenser) error {
	if !d.AllArgs(&w.Mode) || w.Mode == "" {
		return d.Err("mode takes one word: write enforce or observe")
	}
	if err := w.checkMode(); err != nil {
		return d.WrapErr(err)
	}
	return noBlock(d, "mode")
}

func (w *Webhook) unmarshalErrorBudget(d *caddyfile.Dispenser) error {
	if d.NextArg() {
		return d.Err("error_budget takes a block with limit and window")
	}
	w.ErrorBudget = new(ErrorBudget)
	seen := make(options)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := w.ErrorBudget.unmarshalOption(d, seen); err != nil {
			return err
		}
	}
	if len(seen) == 0 {
		return d.Err("error_budget takes a block with limit and window")
	}
	return nil
}

func (b *ErrorBudget) unmarshalOption(d *caddyfile.Dispenser, seen options) error {
	option := d.Val()
	if option != "limit" && option != "window" {
		return d.Errf("unknown option %q in error_budget: there are limit and window", option)
	}
	if err := seen.once(d); err != nil {
		return err
	}
	var text string
	if !d.AllArgs(&text) {
		return d.Errf("error_budget: %s takes one value", option)
	}
	switch option {
	case "limit":
		limit, err := strconv.Atoi(text)
		if err != nil || limit < 1 || limit > largestBudgetLimit {
			return d.WrapErr(errBudgetLimit)
		}
		b.Limit = limit
	case "window":
		window, err := caddy.ParseDuration(text)
		if err != nil || window <= 0 {
			return d.WrapErr(errBudgetWindow)
		}
		b.Window = caddy.Duration(window)
	}
	return noBlock(d, option)
}

func flag(d *caddyfile.Dispenser, option string, set *bool) error {
	if d.NextArg() {
		return d.Errf("%s takes no value: leave out %q", option, d.Val())
	}
	*set = true
	return noBlock(d, option)
}

// options are those that have been seen in a block.
type options map[string]bool

func (o options) once(d *caddyfile.Dispenser) error {
	if o[d.Val()] {
		return d.Errf("option %q is there twice: keep one of them, with all that it shall have", d.Val())
	}
	o[d.Val()] = true
	return nil
}

func noEmpty(d *caddyfile.Dispenser, what string, values []string) error {
	if slices.Contains(values, "") {
		return d.Errf("%s is empty: write a placeholder such as {env.KLINK_SECRET}", what)
	}
	return nil
}

// noBlock refuses a block, be it an empty one, after an option that takes none.
func noBlock(d *caddyfile.Dispenser, option string) error {
	if d.NextBlock(d.Nesting()) || d.ValRaw() == "}" {
		return d.Errf("%s takes no block: leave out the braces after it", option)
	}
	return nil
}

// Interface guard
var _ caddyfile.Unmarshaler = (*Webhook)(nil)
