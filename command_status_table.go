package klink

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/klinkgate/caddy-klink/verifier"
)

// The table fits a terminal of 80 columns.
const (
	statusColumns = 80
	statusNames   = 20
	statusRow     = "%-*s  %-7s  %9s  %9s  %13s  %9s\n"
)

func printStatus(out io.Writer, endpoints []Status, problems []problem, now time.Time) error {
	var b strings.Builder
	fmt.Fprintf(&b, statusRow, statusNames, "ENDPOINT", "MODE", "ACCEPTED", "REFUSED", "LAST VERIFIED", "ERRORS")
	for i := range endpoints {
		endpoints[i].print(&b, now)
		for _, p := range problems {
			if p.Endpoint == endpoints[i].Name {
				printWrapped(&b, "! "+p.Text)
			}
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (s *Status) print(w io.Writer, now time.Time) {
	name := s.Name
	if len(name) > statusNames {
		fmt.Fprintln(w, name)
		name = ""
	}
	verified := "never"
	if !s.LastVerified.IsZero() {
		verified = ago(now.Sub(s.LastVerified)) + " ago"
	}
	budget := fmt.Sprintf("%d/%d", s.ErrorBudget.Used, s.ErrorBudget.Limit)
	fmt.Fprintf(w, statusRow, statusNames, name, s.Mode, count(s.Accepted), count(sum(s.Refused)), verified, budget)
	if n := sum(s.Observed); n > 0 || s.Mode == modeName(true) {
		printWrapped(w, fmt.Sprintf("! observe mode: %s let through that would have been refused", count(n)))
	}
	if len(s.Refusals) > 0 {
		s.Refusals[0].print(w, now)
	}
	for i := range s.Refusals {
		if r := &s.Refusals[i]; r.Hint != "" {
			printWrapped(w, "hint, "+ago(now.Sub(r.Time))+" ago: "+r.Hint)
			break
		}
	}
}

func (r *Refusal) print(w io.Writer, now time.Time) {
	verb := "refused"
	if r.Observed {
		verb = "would have been refused"
	}
	from := cmp.Or(addressText(r.ClientIP), "a client without an address")
	line := fmt.Sprintf("last %s %s ago, from %s: %s", verb, ago(now.Sub(r.Time)), from, r.Reason)
	if r.Detail != "" {
		line += ": " + r.Detail
	}
	printWrapped(w, line)
}

// printWrapped prints text below a row. A word that is too long for a line stays
// in one piece, so that it can be copied.
func printWrapped(w io.Writer, text string) {
	const indent, further = "  ", "    "
	line := indent
	for i, word := range strings.Fields(printable(text)) {
		switch {
		case i == 0:
			line += word
		case len([]rune(line))+1+len([]rune(word)) > statusColumns:
			fmt.Fprintln(w, line)
			line = further + word
		default:
			line += " " + word
		}
	}
	fmt.Fprintln(w, line)
}

func sum(counts map[verifier.Reason]uint64) (n uint64) {
	for v := range maps.Values(counts) {
		n += v
	}
	return n
}

// count writes a number in at most nine characters.
func count(n uint64) string {
	if n < 1e9 {
		return strconv.FormatUint(n, 10)
	}
	return strconv.FormatFloat(float64(n), 'e', 2, 64)
}

// ago writes a time in the two largest units that it has: 3d4h, 5m12s.
func ago(d time.Duration) string {
	seconds := int64(max(0, d) / time.Second)
	for _, u := range []struct {
		size, part    int64
		name, ofParts string
	}{{86400, 3600, "d", "h"}, {3600, 60, "h", "m"}, {60, 1, "m", "s"}} {
		if seconds >= u.size {
			text := strconv.FormatInt(seconds/u.size, 10) + u.name
			if rest := seconds % u.size / u.part; rest > 0 {
				text += strconv.FormatInt(rest, 10) + u.ofParts
			}
			return text
		}
	}
	return strconv.FormatInt(seconds, 10) + "s"
}

// window writes the length of an error budget's window: 1h.
func window(seconds float64) string { return ago(time.Duration(seconds * float64(time.Second))) }
