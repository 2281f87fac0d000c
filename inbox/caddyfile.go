package inbox

import (
	"slices"
	"strconv"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/dustin/go-humanize"

	"github.com/klinkgate/caddy-klink/inbox/queue"
)

func init() {
	httpcaddyfile.RegisterHandlerDirective("klink_inbox", parseCaddyfile)
	// Behind klink_webhook, and before what answers.
	httpcaddyfile.RegisterDirectiveOrder("klink_inbox", httpcaddyfile.Before, "reverse_proxy")
}

// inboxNames is where the names of the inboxes so far are kept while a Caddyfile
// is adapted.
const inboxNames = "klink_inbox.names"

func parseCaddyfile(h httpcaddyfile.Helper) (caddyhttp.MiddlewareHandler, error) {
	in := new(Inbox)
	if err := in.unmarshal(h); err != nil {
		return nil, err
	}
	names, _ := h.State[inboxNames].([]string)
	switch {
	case in.Name == "" && h.IsNamedRoute(): // which has a State of its own
		return nil, h.Err("klink_inbox in a named route has no number: give it a name with the option name")
	case in.Name == "":
		in.Name = defaultName + strconv.Itoa(len(names)+1)
	}
	if slices.Contains(names, in.Name) {
		return nil, h.Errf("two inboxes have the name %s: give each a name of its own with the option name", in.Name)
	}
	h.State[inboxNames] = append(names, in.Name)
	return in, nil
}

// unmarshal reads the directive; the struct's documentation shows its syntax.
// What can be checked without the environment is checked here, where the line is
// known.
func (in *Inbox) unmarshal(h httpcaddyfile.Helper) error {
	h.Next() // the directive's name
	if h.NextArg() {
		return h.Errf("klink_inbox takes a block and no %q: write klink_inbox [<matcher>] { ... }", h.Val())
	}
	seen := make(map[string]bool)
	for nesting := h.Nesting(); h.NextBlock(nesting); {
		option := h.Val()
		if seen[option] {
			return h.Errf("option %q is there twice: keep one of them, with all that it shall have", option)
		}
		seen[option] = true
		if err := in.unmarshalOption(h, option); err != nil {
			return err
		}
	}
	if !seen["deliver"] {
		return h.Err("klink_inbox has no backend: add deliver { reverse_proxy … }")
	}
	whole := *in
	whole.setDefaults()
	if err := whole.check(); err != nil {
		return h.Errf("klink_inbox: %v", err)
	}
	return nil
}

func (in *Inbox) unmarshalOption(h httpcaddyfile.Helper, option string) error {
	if option == "deliver" {
		return in.unmarshalDeliver(h)
	}
	args := h.RemainingArgs()
	if err := in.set(h, option, args); err != nil {
		return err
	}
	if h.NextBlock(h.Nesting()) || h.ValRaw() == "}" {
		return h.Errf("%s takes no block: leave out the braces after it", option)
	}
	return nil
}

func (in *Inbox) set(h httpcaddyfile.Helper, option string, args []string) error {
	switch option {
	case "retry":
		return in.setRetry(h, args)
	case "max_stored":
		return in.setMaxStored(h, args)
	case "pass_rejections":
		return flag(h, option, args, &in.PassRejections)
	case "no_delivery_headers":
		return flag(h, option, args, &in.NoDeliveryHeaders)
	}
	fields := map[string]any{
		"name": &in.Name, "database": &in.Database, "mode": &in.Mode, "concurrency": &in.Concurrency,
		"deadline": &in.Deadline, "give_up": &in.GiveUp, "timeout": &in.Timeout, "dedupe": &in.Dedupe, "retention": &in.Retention,
	}
	field, known := fields[option]
	if !known {
		return h.Errf("unknown option %q: there are name, database, mode, deadline, retry, give_up, timeout, concurrency, dedupe, retention, max_stored, pass_rejections, no_delivery_headers and deliver", option)
	}
	if len(args) != 1 || args[0] == "" {
		return h.Errf("%s takes one value", option)
	}
	return in.setField(h, option, field, args[0])
}

func (in *Inbox) setField(h httpcaddyfile.Helper, option string, field any, text string) error {
	switch field := field.(type) {
	case *string:
		*field = text
		if option == "database" {
			return checkDatabase(h, text)
		}
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return h.Errf("%s: %q is no number above 0", option, text)
		}
		*field = n
	case *caddy.Duration:
		d, err := duration(h, option, text)
		if err != nil {
			return err
		}
		*field = d
	}
	return nil
}

// checkDatabase refuses a URL that could not be opened, unless placeholders are
// still to be replaced in it.
func checkDatabase(h httpcaddyfile.Helper, url string) error {
	if slices.Contains([]byte(url), '{') {
		return nil
	}
	if _, err := queue.ParseURL(url); err != nil {
		return h.WrapErr(err)
	}
	return nil
}

func duration(h httpcaddyfile.Helper, option, text string) (caddy.Duration, error) {
	d, err := caddy.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, h.Errf("%s: %q is no duration above 0: write one such as 30s, 10m, 24h or 7d", option, text)
	}
	return caddy.Duration(d), nil
}

func (in *Inbox) setRetry(h httpcaddyfile.Helper, args []string) error {
	if len(args) == 0 {
		return h.Err("retry takes the pauses between attempts: retry 5s 30s 2m 10m 1h")
	}
	for _, text := range args {
		pause, err := duration(h, "retry", text)
		if err != nil {
			return err
		}
		in.Retry = append(in.Retry, pause)
	}
	return nil
}

func (in *Inbox) setMaxStored(h httpcaddyfile.Helper, args []string) error {
	if len(args) == 0 || len(args) > 2 {
		return h.Err("max_stored takes a number of events and, if wanted, a size: max_stored 100000 1GiB")
	}
	events, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil || events < 1 {
		return h.Errf("max_stored: %q is no number of events above 0", args[0])
	}
	in.MaxStored = events
	if len(args) == 2 {
		size, err := humanize.ParseBytes(args[1])
		if err != nil || size == 0 || size > 1<<62 {
			return h.Errf("max_stored: %q is no size: write one such as 512MiB or 1GiB", args[1])
		}
		in.MaxStoredBytes = int64(size)
	}
	return nil
}

func flag(h httpcaddyfile.Helper, option string, args []string, set *bool) error {
	if len(args) > 0 {
		return h.Errf("%s takes no value: leave out %q", option, args[0])
	}
	*set = true
	return nil
}

func (in *Inbox) unmarshalDeliver(h httpcaddyfile.Helper) error {
	handler, err := httpcaddyfile.ParseSegmentAsSubroute(h.WithDispenser(h.NewFromNextSegment()))
	if err != nil {
		return err
	}
	in.Deliver = handler.(*caddyhttp.Subroute).Routes
	if len(in.Deliver) == 0 {
		return h.Err("deliver is empty: write the directives that take a delivery to the backend, such as reverse_proxy 127.0.0.1:9000")
	}
	return nil
}
