package inbox

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
)

func init() {
	httpcaddyfile.RegisterDirective("klink_inbox_ui", parseUI)
	// Behind what authenticates, and before what answers everything.
	httpcaddyfile.RegisterDirectiveOrder("klink_inbox_ui", httpcaddyfile.Before, "reverse_proxy")
}

// parseUI reads the directive; the struct's documentation shows its syntax. A
// path in the matcher's place is no matcher: the handler looks itself at the path
// that browsers see, so that the directive works in handle_path, too.
func parseUI(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	h.Next() // the directive's name
	path := h.NextArg() && strings.HasPrefix(h.Val(), "/")
	h.Reset()
	h.Next()
	var matcher caddy.ModuleMap
	if !path {
		var err error
		if matcher, err = h.ExtractMatcherSet(); err != nil {
			return nil, err
		}
		h.Next()
	}
	ui := new(UI)
	if err := ui.unmarshal(h); err != nil {
		return nil, err
	}
	return h.NewRoute(matcher, ui), nil
}

func (ui *UI) unmarshal(h httpcaddyfile.Helper) error {
	seen := make(map[string]bool)
	if h.NextArg() {
		if !strings.HasPrefix(h.Val(), "/") {
			return h.Errf("%q is no path: write klink_inbox_ui [<matcher>] [</path>] { ... }", h.Val())
		}
		ui.Path, seen["path"] = h.Val(), true
	}
	if h.NextArg() {
		return h.Errf("klink_inbox_ui takes one path, and then a block: leave out %q", h.Val())
	}
	for nesting := h.Nesting(); h.NextBlock(nesting); {
		option := h.Val()
		if seen[option] {
			return h.Errf("option %q is there twice: keep one of them", option)
		}
		seen[option] = true
		if err := ui.set(h, option, h.RemainingArgs()); err != nil {
			return err
		}
		if h.NextBlock(h.Nesting()) || h.ValRaw() == "}" {
			return h.Errf("%s takes no block: leave out the braces after it", option)
		}
	}
	return ui.check(h)
}

func (ui *UI) set(h httpcaddyfile.Helper, option string, args []string) error {
	fields := map[string]*string{"inbox": &ui.Inbox, "path": &ui.Path}
	field := fields[option]
	switch {
	case option == "allow_unauthenticated":
		return flag(h, option, args, &ui.AllowUnauthenticated)
	case field == nil:
		return h.Errf("unknown option %q: there are inbox, path and allow_unauthenticated", option)
	case len(args) != 1 || args[0] == "":
		return h.Errf("%s takes one value", option)
	}
	*field = args[0]
	return nil
}

// check refuses here, where the line is known, what Provision would.
func (ui *UI) check(h httpcaddyfile.Helper) (err error) {
	if ui.Inbox != "" && !nameForm.MatchString(ui.Inbox) {
		return h.Errf("klink_inbox_ui: inbox: %v", errName)
	}
	if ui.Path, err = cleanPath(ui.Path); err != nil {
		return h.Errf("klink_inbox_ui: %v", err)
	}
	return nil
}
