package inbox

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/klinkgate/caddy-klink/inbox/queue"
)

const (
	defaultPage = 100
	largestPage = 1000 // as many as the queue lists at once
)

// parseQuery reads a query of which the parameters are known and, but for state,
// there once at the most. A misspelt filter would mean more events than were
// meant.
func parseQuery(r *http.Request, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the query cannot be read: %w", err)
	}
	for name, all := range values {
		switch {
		case !slices.Contains(known, name) && len(known) == 0:
			return nil, refuse(http.StatusBadRequest, "%s: there are no parameters here", name)
		case !slices.Contains(known, name):
			return nil, refuse(http.StatusBadRequest, "%s: there is no such parameter; there are %s", name, strings.Join(known, ", "))
		case len(all) > 1 && name != "state":
			return nil, refuse(http.StatusBadRequest, "%s: write it once", name)
		}
	}
	return values, nil
}

// parseFilter reads which events are meant, and how many at the most.
func parseFilter(values url.Values, limit int) (f queue.Filter, _ int, err error) {
	for _, text := range values["state"] {
		state := queue.State(text)
		if !slices.Contains(queue.States(), state) {
			return f, 0, refuse(http.StatusBadRequest, "state: there is no %q; there are %s", text, stateNames(queue.States()))
		}
		f.States = append(f.States, state)
	}
	if f.Event = values.Get("event"); f.Event == "" && values.Has("event") {
		return f, 0, refuse(http.StatusBadRequest, "event: write the name of an event, such as contact.create")
	}
	if text, there := parameter(values, "key"); there {
		key, err := queue.ParseKey(text)
		if err != nil {
			return f, 0, refuse(http.StatusBadRequest, "key: %w", err)
		}
		f.Key = &key
	}
	if f.Backward, err = parseOrder(values); err != nil {
		return f, 0, err
	}
	if text, there := parameter(values, "older_than"); there {
		if f.MinAge, err = caddy.ParseDuration(text); err != nil || f.MinAge <= 0 {
			return f, 0, refuse(http.StatusBadRequest, "older_than: %q is no duration above 0: write one such as 10m, 24h or 7d", text)
		}
	}
	if text, there := parameter(values, "after"); there {
		if f.After, err = strconv.ParseInt(text, 10, 64); err != nil || f.After < 1 {
			return f, 0, refuse(http.StatusBadRequest, "after: %q is no id of an event", text)
		}
	}
	if text, there := parameter(values, "limit"); there {
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > largestPage {
			return f, 0, refuse(http.StatusBadRequest, "limit: %q is no number from 1 to %d", text, largestPage)
		}
	}
	return f, limit, nil
}

func parameter(values url.Values, name string) (text string, there bool) {
	return values.Get(name), values.Has(name)
}

func parseOrder(values url.Values) (backward bool, err error) {
	switch text, there := parameter(values, "order"); {
	case !there || text == "asc":
		return false, nil
	case text == "desc":
		return true, nil
	default:
		return false, refuse(http.StatusBadRequest, "order: there is no %q: write asc for the oldest first, or desc", text)
	}
}

func stateNames(states []queue.State) string {
	names := make([]string, len(states))
	for i, state := range states {
		names[i] = string(state)
	}
	return strings.Join(names, ", ")
}
