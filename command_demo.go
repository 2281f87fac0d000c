package klink

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

func demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Shows a gateway at work: good and forged deliveries, and what becomes of them",
		Long: `Starts a gateway, which is Caddy with klink_webhook, and a small backend behind
it, on free ports of this machine. Then it sends good and forged deliveries and
shows the gateway's answer to each, what the backend got, and the reason of a
refusal as the gateway's log has it.

It ends by itself after a moment and leaves nothing behind. The exit status is 0
when everything came out as it should.`,
		Example: "  $ caddy klink demo",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runDemo(cmd.Context(), cmd.OutOrStdout()) },
	}
}

func runDemo(ctx context.Context, out io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()

	d, err := startDemo()
	if err != nil {
		return fmt.Errorf("the demo could not start: %w", err)
	}
	defer d.stop()
	fmt.Fprintf(out, "gateway  %s\nbackend  %s\nK-LINK   is played by this program\n\n", d.gateway.url, d.backend.url)
	return showDemo(out, demoCases(), func(c demoCase) (demoResult, error) { return d.try(ctx, c) })
}

// showDemo prints a line for each delivery. It fails unless all come out as
// expected.
func showDemo(out io.Writer, cases []demoCase, try func(demoCase) (demoResult, error)) error {
	fmt.Fprintf(out, demoRow, "delivery", "status", "the backend got", "refused for")
	surprises := 0
	for _, c := range cases {
		got, err := try(c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		fmt.Fprintf(out, demoRow, c.name, strconv.Itoa(got.status), got.describe(), cmp.Or(got.reason, "-"))
		if !got.asExpected(c) {
			surprises++
			fmt.Fprintf(out, "  ^ expected: %d %s\n", c.status, cmp.Or(c.reason, "and the same bytes at the backend"))
		}
	}
	if surprises > 0 {
		return fmt.Errorf("%d of %d deliveries came out other than they should: please report this with the table above", surprises, len(cases))
	}
	fmt.Fprint(out, demoEnd)
	return nil
}

// demoRow fits 80 columns.
const demoRow = "%-30s  %6s  %-19s  %s\n"

const demoEnd = `
The genuine ones reached the backend byte for byte, the others not at all.

Next: copy Caddyfile.example, put in your backend and your secret, and run it.
Then: KLINK_SECRET=... caddy klink send https://your.host/path  plays K-LINK.
`

// demo is a gateway with a backend behind it.
type demo struct {
	dir     string // for the gateway's log and secrets
	secrets demoSecrets
	backend *demoBackend
	gateway *demoGateway
}

func startDemo() (*demo, error) {
	d := &demo{secrets: newDemoSecrets()}
	err := d.start()
	if err != nil {
		d.stop()
	}
	return d, err
}

func (d *demo) start() (err error) {
	if d.dir, err = os.MkdirTemp("", "klink-demo-"); err != nil {
		return err
	}
	if d.backend, err = startDemoBackend(); err != nil {
		return err
	}
	d.gateway, err = startDemoGateway(d.dir, d.backend.url, d.secrets)
	return err
}

// stop takes down what has been started.
func (d *demo) stop() {
	if d.gateway != nil {
		d.gateway.stop()
	}
	if d.backend != nil {
		d.backend.stop()
	}
	if d.dir != "" {
		_ = os.RemoveAll(d.dir)
	}
}

// demoResult is what was seen of one delivery.
type demoResult struct {
	status  int
	reached bool // the backend
	same    bool // method, target and body, byte for byte
	bytes   int  // of the body that reached the backend
	reason  string
}

// try sends one delivery and looks at what became of it.
func (d *demo) try(ctx context.Context, c demoCase) (demoResult, error) {
	d.backend.forget()
	sent, err := c.send(ctx, d)
	if err != nil {
		return demoResult{}, err
	}
	got := demoResult{status: sent.status}
	if got.reason, err = d.gateway.refusal(); err != nil {
		return got, err
	}
	request := d.backend.last()
	if request == nil {
		return got, nil
	}
	got.reached = true
	got.same = request.equal(sent.demoRequest)
	got.bytes = len(request.body)
	return got, nil
}

func (r demoResult) describe() string {
	switch {
	case !r.reached:
		return "nothing"
	case r.same:
		return fmt.Sprintf("the same %d bytes", r.bytes)
	default:
		return "something else"
	}
}

func (r demoResult) asExpected(c demoCase) bool {
	good := c.reason == ""
	return r.status == c.status && r.reason == c.reason && r.reached == good && r.same == good
}
