package klink

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"github.com/klinkgate/caddy-klink/sender"
)

// sending is what 'caddy klink send' was asked for.
type sending struct {
	count       int
	rate        float64
	concurrency int
	timeScale   float64
	events      []string
	seed        uint64
	file        string
	json        bool
	credentials sendCredentials
}

func sendCommand() *cobra.Command {
	s := &sending{}
	cmd := &cobra.Command{
		Use:   "send <url>",
		Short: "Sends events to an endpoint as K-LINK does",
		Long: `Plays K-LINK against an endpoint. Events of each documented kind are generated
and delivered as the vendor documents it: an answer other than 200, or none
within 10 s, is an error; an event is tried again after 30, 60 and 90 s; more
than 50 errors within an hour deactivate the endpoint, and nothing more is sent.

Equal seeds give equal events. With --file a body of your own is sent, byte for
byte, --count times.

Deliveries are signed with the secret in the environment variable KLINK_SECRET,
or from where a flag says. With --basic or --header they carry that instead;
name one of the flags about signing as well to have both.

The exit status is 0 when every event was delivered.

With --json each delivery is printed as it ends, one object on a line:
	{"event": ..., "outcome": "delivered|failed|deactivated|interrupted",
	 "attempts": [{"start": ..., "latency_ms": ..., "status": ..., "error": ...}]}
and at last the sum:
	{"summary": {"outcomes": {...}, "attempts": ..., "statuses": {...},
	 "errors": {...}, "latency_ms": {"p50": ..., "p90": ..., "p99": ..., "max": ...}}}`,
		Example: `  $ export KLINK_SECRET=...
  $ caddy klink send https://hooks.example.com/klink
  $ caddy klink send --count 1000 --rate 50 --concurrency 8 http://127.0.0.1/klink
  $ caddy klink send --event message.inbound --time-scale 0.01 http://127.0.0.1/klink
  $ caddy klink send --file event.json --signature-header Authorization \
      --encoding base64 http://127.0.0.1/klink
  $ KLINK_PASSWORD=... caddy klink send --basic klink http://127.0.0.1/klink`,
		Args: arguments("URL"),
		RunE: func(cmd *cobra.Command, args []string) error { return s.run(cmd, args[0]) },
	}
	flags := cmd.Flags()
	flags.IntVar(&s.count, "count", 1, "`number` of events")
	flags.Float64Var(&s.rate, "rate", 0, "`number` of events that begin per second;\n0: as many as --concurrency allows (default 0)")
	flags.IntVar(&s.concurrency, "concurrency", 1, "`number` of attempts that may be in flight at once")
	flags.Float64Var(&s.timeScale, "time-scale", 1, "`factor` for the pauses before retries and for the hour\nof the 50 errors; 0.01: a hundredth")
	flags.StringSliceVar(&s.events, "event", nil, "`names` of the events to generate, in turn: contact.create,\ncontact.update,message.inbound,message.outbound (default all)")
	flags.Uint64Var(&s.seed, "seed", 1, "`number` that decides the generated data")
	flags.StringVar(&s.file, "file", "", "`file` to send in place of generated events; - is the standard input")
	flags.BoolVar(&s.json, "json", false, "print JSON, for scripts")
	cmd.MarkFlagsMutuallyExclusive("file", "event")
	cmd.MarkFlagsMutuallyExclusive("file", "seed")
	s.credentials.bind(cmd)
	return cmd
}

func (s *sending) run(cmd *cobra.Command, url string) error {
	if err := s.check(); err != nil {
		return err
	}
	credentials, err := s.credentials.read(cmd)
	if err != nil {
		return err
	}
	event, err := s.source(cmd)
	if err != nil {
		return err
	}
	klink, err := sender.New(sender.Config{URL: url, Credentials: credentials, TimeScale: s.timeScale})
	if err != nil {
		return err
	}
	defer klink.Close()

	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	plan := sender.Plan{Count: s.count, Event: event, Rate: s.rate, Concurrency: s.concurrency}
	report := newSendReport(cmd, s.count, s.json)
	err = klink.Run(ctx, plan, report.add)
	if printErr := report.finish(); err == nil {
		err = printErr
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return s.verdict(&report.sum)
}

func (s *sending) check() error {
	switch {
	case s.count < 1:
		return errors.New("--count: write a number above 0")
	case !(s.rate >= 0):
		return errors.New("--rate: write a number of events per second, or 0 for no bound")
	case s.concurrency < 1:
		return errors.New("--concurrency: write a number above 0")
	case !(s.timeScale > 0):
		return errors.New("--time-scale: write a factor above 0: 1 is real time, 0.01 a hundredth of it")
	}
	return nil
}

// source returns what the n-th event is.
func (s *sending) source(cmd *cobra.Command) (func(int) sender.Event, error) {
	if s.file == "" {
		generator, err := sender.NewGenerator(s.seed, s.events...)
		if err != nil {
			return nil, fmt.Errorf("--event: %w", err)
		}
		return generator.Event, nil
	}
	body, err := readBody(cmd, s.file)
	if err != nil {
		return nil, fmt.Errorf("--file: %w", err)
	}
	event := sender.ReadEvent(body)
	return func(int) sender.Event { return event }, nil
}

// verdict is an error unless every event was delivered.
func (s *sending) verdict(sum *sender.Summary) error {
	delivered := sum.Outcomes[sender.Delivered]
	if delivered == s.count {
		return nil
	}
	missing := fmt.Sprintf("%d of %d events were not delivered", s.count-delivered, s.count)
	switch {
	case sum.Outcomes[sender.Deactivated] > 0:
		return errors.New(missing + ": K-LINK would have deactivated the endpoint; see the errors above, put them right and send again")
	case sum.Statuses[401] > 0:
		return errors.New(missing + ": the gateway's log names the reason of each 401; 'caddy klink sign' shows what is signed")
	case sum.Outcomes[sender.Failed] > 0:
		return errors.New(missing + ": see the statuses above and the endpoint's log")
	default:
		return errors.New(missing + ": interrupted")
	}
}
