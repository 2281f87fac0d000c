package klink

import (
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/dustin/go-humanize"

	"github.com/klinkgate/caddy-klink/verifier"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("klink_webhook", parseCaddyfile)
	httpcaddyfile.RegisterDirectiveOrder("klink_webhook", httpcaddyfile.Before, "basic_auth")
}

func parseCaddyfile(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	w := new(Webhook)
	return w, w.UnmarshalCaddyfile(h.Dispenser)
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
		return flag(d, &w.KeepStatus)
	case "strip_credentials":
		return flag(d, &w.StripCredentials)
	default:
		return d.Errf("unknown option %q: there are allow, hmac, basic, header, public_url, max_body, keep_status and strip_credentials", option)
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
	seen := make(options)
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		if err := h.unmarshalOption(d, seen); err != nil {
			return err
		}
	}
	if len(h.Secrets) == 0 {
		return d.Err(`hmac has no secret: add "secret {env.KLINK_SECRET}" to hmac`)
	}
	return noEmpty(d, "hmac: a secret", h.Secrets)
}

func (h *HMAC) unmarshalOption(d *caddyfile.Dispenser, seen options) error {
	option := d.Val()
	if option != "secret" {
		if err := seen.once(d); err != nil {
			return err
		}
	}
	args := d.RemainingArgs()
	if len(args) == 0 {
		return d.Errf("hmac: %s needs a value", option)
	}
	switch option {
	case "secret":
		h.Secrets = append(h.Secrets, args...)
	case "header":
		h.Headers = args
	case "url":
		if len(args) != 1 {
			return d.Err("hmac: url takes one form")
		}
		h.URL = args[0]
	case "body":
		h.Body = args
	default:
		return d.Errf("unknown option %q in hmac: there are secret, header, url and body", option)
	}
	if _, err := h.form(); err != nil {
		return d.Errf("hmac: %v", err)
	}
	if err := h.checkHeaders(); err != nil {
		return d.Errf("hmac: %v", err)
	}
	return noBlock(d, option)
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
	if err := noEmpty(d, "header: a name or value", args); err != nil {
		return err
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
	if err != nil {
		return d.Errf("max_body: %q is no size: write a number of bytes or a size such as 512KiB or 1MiB", text)
	}
	if size == 0 || size > largestMaxBody {
		return d.WrapErr(errMaxBody)
	}
	w.MaxBody = int64(size)
	return noBlock(d, "max_body")
}

func flag(d *caddyfile.Dispenser, set *bool) error {
	option := d.Val()
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
		return d.Errf("option %q is there twice: put its values on one line", d.Val())
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

// noBlock refuses a block after an option that takes none.
func noBlock(d *caddyfile.Dispenser, option string) error {
	if d.NextBlock(d.Nesting()) {
		return d.Errf("%s takes no block: leave out { ... }", option)
	}
	return nil
}

// Interface guard
var _ caddyfile.Unmarshaler = (*Webhook)(nil)
