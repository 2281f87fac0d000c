package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/klinkgate/caddy-klink/sender"
)

// report is what the program finds out.
type report struct {
	Scale    scale    `json:"scale"` // seconds that a second of K-LINK's time lasts
	Seed     uint64   `json:"seed"`
	Seconds  seconds  `json:"seconds"` // in which the events of one contender are sent
	Kills    int      `json:"kills"`
	Restarts int      `json:"restarts"`
	Away     float64  `json:"away"`
	Results  []result `json:"results"`
	Disk     []result `json:"full_disk,omitempty"`
	Missing  []string `json:"missing,omitempty"` // what could not be tried, and why
	Missed   []string `json:"missed,omitempty"`  // what is wanted of an inbox and does not hold

	inboxes int // that were tried
}

// seconds and milliseconds are durations that JSON has as numbers.
type (
	seconds      struct{ time.Duration }
	milliseconds struct{ time.Duration }
)

// MarshalJSON implements json.Marshaler.
func (s seconds) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%.3f", s.Seconds()), nil }

// MarshalJSON implements json.Marshaler.
func (m milliseconds) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%.3f", m.Seconds()*1000), nil
}

// String is written without a sign for nothing.
func (m milliseconds) String() string { return fmt.Sprintf("%.2f ms", m.Seconds()*1000) }

func newReport(s settings) *report {
	return &report{Scale: s.scale, Seed: s.seed, Seconds: seconds{s.duration}, Kills: s.kills, Restarts: s.restarts, Away: s.away}
}

// add adds a contender's result and what is missed there. Nothing is wanted of a gateway without an inbox.
func (r *report) add(c contender, x result) {
	r.Results = append(r.Results, x)
	if !c.inbox() {
		return
	}
	r.inboxes++
	r.want(x.Contender, x)
	if x.LongestDown.Duration > backWithin {
		r.miss(x.Contender, "the gateway was back after %v, not within %v", x.LongestDown, backWithin)
	}
}

// backWithin is how long a gateway that was killed may take to come back: long before K-LINK's first retry.
const backWithin = 10 * time.Second

// addDisk adds the result of a full disk.
func (r *report) addDisk(c contender, x result) {
	r.Disk = append(r.Disk, x)
	name := x.Contender + " with a full disk"
	r.want(name, x)
	if x.ErrorsFull == 0 {
		r.miss(name, "no event was refused: the disk was not full")
	}
	if c.mode == "rescue" && x.PassedFull < passing {
		r.miss(name, "%d events did not pass through", passing-x.PassedFull)
	}
	if !x.WorksAgain {
		r.miss(name, "events are not taken although there is room again")
	}
}

// want says what is wanted of every inbox.
func (r *report) want(name string, x result) {
	for _, w := range []struct {
		holds bool
		text  string
	}{
		{x.LostAfter200 == 0, fmt.Sprintf("%d events lost after a 200", x.LostAfter200)},
		{x.Lost == 0, fmt.Sprintf("%d events lost in all", x.Lost)},
		{x.Repeats.Unexplained == 0, fmt.Sprintf("%d repeats without an explanation", x.Repeats.Unexplained)},
		{x.Altered == 0, fmt.Sprintf("%d requests were not as they had been sent", x.Altered)},
		{x.Order.Unstable == 0, fmt.Sprintf("%d deliveries changed their id", x.Order.Unstable)},
		{!x.Deactivated, "the endpoint was deactivated"},
		{x.Drained != nil, fmt.Sprintf("%d events were left in the inbox", x.Left)},
	} {
		if !w.holds {
			r.miss(name, "%s", w.text)
		}
	}
}

func (r *report) miss(name, format string, args ...any) {
	r.Missed = append(r.Missed, name+": "+fmt.Sprintf(format, args...))
}

func (r *report) write(out io.Writer, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	_, err := io.WriteString(out, r.text())
	return err
}

func (r *report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "A minute of K-LINK's time lasts %v. Its time-out is %v, it tries again after %v, %v and %v, and more than %d\n"+
		"errors within %v deactivate the endpoint. The events of each contender come within %v, in which the backend is away\n"+
		"for %.0f %% of the time. Seed %d.\n\n",
		r.Scale.of(time.Minute), r.Scale.of(sender.Timeout), r.Scale.of(30*time.Second), r.Scale.of(time.Minute), r.Scale.of(90*time.Second),
		sender.MaxErrors, r.Scale.of(sender.ErrorWindow), r.Seconds, 100*r.Away, r.Seed)
	b.WriteString(table("", r.Results, rows))
	if len(r.Disk) > 0 {
		b.WriteString("\n" + table("with a full disk", r.Disk, diskRows))
	}
	for _, line := range r.Missing {
		fmt.Fprintf(&b, "\nMISSING: %s\n", line)
	}
	for _, x := range r.Results {
		fmt.Fprintf(&b, "\n%s: errors by kind: %v\n", x.Contender, x.ErrorKinds)
	}
	for _, x := range slices.Concat(r.Results, r.Disk) {
		for _, line := range x.Details[:min(len(x.Details), maxChanges)] {
			fmt.Fprintf(&b, "\n%s: %s\n", x.Contender, line)
		}
	}
	b.WriteString(r.verdict())
	return b.String()
}

func (r *report) verdict() string {
	switch {
	case len(r.Missed) == 0 && r.inboxes == 0:
		return "\nNo inbox was tried.\n"
	case len(r.Missed) == 0:
		return "\nEverything that is wanted of an inbox holds.\n"
	}
	return "\nMISSED\n- " + strings.Join(r.Missed, "\n- ") + "\n"
}

// row is one line of a table.
type row struct {
	what  string
	value func(result) any
}

var accounts = []row{
	{"events", func(x result) any { return x.Events }},
	{"sent", func(x result) any { return x.Sent }},
	{"answered 200", func(x result) any { return x.Accepted }},
	{"processed", func(x result) any { return x.Processed }},
	{"lost after a 200", func(x result) any { return x.LostAfter200 }},
	{"lost in all", func(x result) any { return x.Lost }},
	{"… met a dead gateway each time", func(x result) any { return x.LostToDeadGateway }},
	{"… never sent, the endpoint being off", func(x result) any { return x.LostUnsent }},
	{"repeats", func(x result) any { return x.Repeats.All }},
	{"… the backend's 200 never came", func(x result) any { return x.Repeats.Unacknowledged }},
	{"… gateway killed before the record", func(x result) any { return x.Repeats.Killed }},
	{"… unexplained", func(x result) any { return x.Repeats.Unexplained }},
	{"altered on the way", func(x result) any { return x.Altered }},
	{"attempts", func(x result) any { return x.Attempts }},
	{"errors, as K-LINK counts", func(x result) any { return x.Errors }},
	{"… while the gateway was down", func(x result) any { return x.ErrorsDown }},
	{"… after a restart of the database", func(x result) any { return x.ErrorsDatabase }},
	{"… at most in an hour", func(x result) any { return x.ErrorsHour }},
	{"endpoint deactivated", func(x result) any { return yes(x.Deactivated) }},
}

var rows = append(slices.Clip(accounts),
	row{"gateway killed", func(x result) any { return x.Kills }},
	row{"… back after, at most", func(x result) any { return x.LongestDown.Round(time.Millisecond) }},
	row{"delivered later", func(x result) any { return x.Order.Later }},
	row{"… overtaken by more than " + fmt.Sprint(concurrency), func(x result) any { return x.Order.Overtaken }},
	row{"… overtaken by, at most", func(x result) any { return x.Order.Worst }},
	row{"inbox empty after", drained},
	row{"… left in it", func(x result) any { return x.Left }},
	row{"all well: p50", func(x result) any { return x.Healthy.P50 }},
	row{"… added", func(x result) any { return x.Healthy.AddedP50 }},
	row{"all well: p99", func(x result) any { return x.Healthy.P99 }},
	row{"… added", func(x result) any { return x.Healthy.AddedP99 }},
)

var diskRows = append(slices.Clip(accounts),
	row{"passed through while it was full", func(x result) any { return x.PassedFull }},
	row{"works again", func(x result) any { return yes(x.WorksAgain) }},
	row{"inbox empty after", drained},
	row{"… left in it", func(x result) any { return x.Left }},
)

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func drained(x result) any {
	if x.Drained == nil {
		return "never"
	}
	return x.Drained.Round(time.Millisecond)
}

// table has a column for each result.
func table(title string, results []result, rows []row) string {
	columns := make([][]string, len(results)+1)
	columns[0] = append(columns[0], title)
	for i, x := range results {
		columns[i+1] = append(columns[i+1], x.Contender)
	}
	for _, row := range rows {
		columns[0] = append(columns[0], row.what)
		for i, x := range results {
			columns[i+1] = append(columns[i+1], fmt.Sprint(row.value(x)))
		}
	}
	var b strings.Builder
	for line := range len(rows) + 1 {
		for i, column := range columns {
			b.WriteString("| " + padded(column, line, i == 0) + " ")
		}
		b.WriteString("|\n")
		if line == 0 {
			b.WriteString("|---|" + strings.Repeat("--:|", len(results)) + "\n")
		}
	}
	return b.String()
}

// padded returns one cell of a column, as wide as the widest of them.
func padded(column []string, line int, left bool) string {
	width := 0
	for _, cell := range column {
		width = max(width, utf8.RuneCountInString(cell))
	}
	space := strings.Repeat(" ", width-utf8.RuneCountInString(column[line]))
	if left {
		return column[line] + space
	}
	return space + column[line]
}
