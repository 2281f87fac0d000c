package klink

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/klinkgate/caddy-klink/sender"
)

// sendReport tells what became of the deliveries.
type sendReport struct {
	sum  sender.Summary
	out  io.Writer
	json bool
	bar  *progressbar.ProgressBar // nil when nobody looks on
	err  error                    // of printing
}

func newSendReport(cmd *cobra.Command, count int, json bool) *sendReport {
	r := &sendReport{out: cmd.OutOrStdout(), json: json}
	if terminal, ok := cmd.ErrOrStderr().(*os.File); ok && !json && term.IsTerminal(int(terminal.Fd())) {
		r.bar = progressbar.NewOptions(count,
			progressbar.OptionSetWriter(terminal),
			progressbar.OptionSetDescription("sending"),
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("events"),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetRenderBlankState(true),
			progressbar.OptionClearOnFinish(),
		)
	}
	return r
}

func (r *sendReport) add(d sender.Delivery) {
	r.sum.Add(d)
	if r.bar != nil {
		_ = r.bar.Add(1)
	}
	if r.json && r.err == nil {
		r.err = printJSON(r.out, newJSONDelivery(d))
	}
}

// finish prints the summary.
func (r *sendReport) finish() error {
	if r.bar != nil {
		_ = r.bar.Finish()
	}
	switch {
	case r.err != nil:
		return r.err
	case r.json:
		return printJSON(r.out, map[string]any{"summary": newJSONSummary(&r.sum)})
	default:
		return printSummary(r.out, &r.sum)
	}
}

func printSummary(out io.Writer, s *sender.Summary) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, value any) { fmt.Fprintf(w, "%v\t  %s\n", value, name) }
	row("events", s.Deliveries())
	for _, outcome := range []sender.Outcome{sender.Delivered, sender.Failed, sender.Deactivated, sender.Interrupted} {
		if n := s.Outcomes[outcome]; n > 0 {
			row("  "+string(outcome), n)
		}
	}
	row("attempts", s.Attempts())
	for _, status := range slices.Sorted(maps.Keys(s.Statuses)) {
		row("  answered "+strconv.Itoa(status), s.Statuses[status])
	}
	for _, reason := range slices.Sorted(maps.Keys(s.Errors)) {
		row("  "+reason, s.Errors[reason])
	}
	if len(s.Statuses) > 0 {
		row("latency p50", s.Latency(0.5).Round(time.Microsecond))
		row("        p90", s.Latency(0.9).Round(time.Microsecond))
		row("        p99", s.Latency(0.99).Round(time.Microsecond))
		row("        max", s.Latency(1).Round(time.Microsecond))
	}
	return w.Flush()
}

type jsonDelivery struct {
	Event    string         `json:"event"`
	Outcome  sender.Outcome `json:"outcome"`
	Attempts []jsonAttempt  `json:"attempts"`
}

type jsonAttempt struct {
	Start   time.Time `json:"start"`
	Latency float64   `json:"latency_ms"`
	Status  int       `json:"status,omitempty"`
	Error   string    `json:"error,omitempty"`
}

func newJSONDelivery(d sender.Delivery) jsonDelivery {
	j := jsonDelivery{Event: d.Event, Outcome: d.Outcome, Attempts: []jsonAttempt{}}
	for _, a := range d.Attempts {
		attempt := jsonAttempt{Start: a.Start, Latency: milliseconds(a.Latency), Status: a.Status}
		if a.Err != nil {
			attempt.Error = a.Err.Error()
		}
		j.Attempts = append(j.Attempts, attempt)
	}
	return j
}

type jsonSummary struct {
	Outcomes map[sender.Outcome]int `json:"outcomes"`
	Attempts int                    `json:"attempts"`
	Statuses map[int]int            `json:"statuses"`
	Errors   map[string]int         `json:"errors"`
	Latency  map[string]float64     `json:"latency_ms"`
}

func newJSONSummary(s *sender.Summary) jsonSummary {
	return jsonSummary{
		Outcomes: s.Outcomes,
		Attempts: s.Attempts(),
		Statuses: s.Statuses,
		Errors:   s.Errors,
		Latency: map[string]float64{
			"p50": milliseconds(s.Latency(0.5)),
			"p90": milliseconds(s.Latency(0.9)),
			"p99": milliseconds(s.Latency(0.99)),
			"max": milliseconds(s.Latency(1)),
		},
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
