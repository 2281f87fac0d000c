package klink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"github.com/klinkgate/caddy-klink/sender"
	"github.com/klinkgate/caddy-klink/verifier"
)

// diagnosing is what 'caddy klink diagnose' was asked for.
type diagnosing struct {
	secrets   secretFlags
	curl      bool
	listen    string
	count     int
	publicURL string
	json      bool
}

func diagnoseCommand() *cobra.Command {
	d := &diagnosing{}
	cmd := &cobra.Command{
		Use:   "diagnose <file>",
		Short: "Finds out what K-LINK has signed, from a captured request",
		Long: `Reads a captured delivery and looks for the reading of K-LINK's documentation
under which its signature is right: each form of the URL and of the body, with
http and https, with each host that the request names, with and without a slash
at the end of the path, in every header and with every secret. Nothing is sent.

It prints each string to sign, and where it first differs from the first one; a
byte that cannot be printed is written as \xNN. When one of them was signed, it
ends with the lines to paste into the Caddyfile, in which all of that is pinned.

The file holds the request as it went over the wire: the request line, the
header, an empty line and the body. With --curl it holds a curl command, which
is read and not run. - is the standard input. With --listen there is no file:
what is posted to that address is recorded, answered with 200 and diagnosed. Let
K-LINK send a test there, through a proxy with TLS that passes on the Host.

A captured request does not tell whether it came over TLS, so https is tried
first. --public-url says it, and the host, when a proxy has changed the Host.

The secret comes from the environment variable KLINK_SECRET, or from where flags
say; several may be named, and any of them will do. No secret is printed. The
exit status is 0 when a reading was found for every request, else 1.

With --json one object for each request is printed on a line of its own: method,
host, target, body_bytes, notes, signature_headers, readings [{url_form,
body_form, public_url, path, string_to_sign or string_to_sign_base64,
differs_at}], tried (with those that are not listed) and match {reading (its
place in the list, from 0), header, secret, refused, caddyfile}, or null.`,
		Example: `  $ export KLINK_SECRET=...
  $ caddy klink diagnose request.txt
  $ caddy klink diagnose --curl - < command.txt
  $ caddy klink diagnose --public-url https://hooks.example.com request.txt
  $ caddy klink diagnose --listen 127.0.0.1:8080 --count 3
  $ caddy klink diagnose --secret-env NEW --secret-env OLD request.txt`,
		Args: func(cmd *cobra.Command, args []string) error {
			if d.listen != "" {
				return arguments()(cmd, args)
			}
			return arguments("file")(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error { return d.run(cmd, args) },
	}
	flags := cmd.Flags()
	d.secrets.bind(cmd)
	flags.BoolVar(&d.curl, "curl", false, "the file holds a curl command")
	flags.StringVar(&d.listen, "listen", "", "`address` to record requests on, such as 127.0.0.1:8080")
	flags.IntVar(&d.count, "count", 1, "`number` of requests to record")
	flags.StringVar(&d.publicURL, "public-url", "", "`URL` under which K-LINK knows the endpoint: scheme://host[:port]")
	flags.BoolVar(&d.json, "json", false, "print JSON, for scripts")
	cmd.MarkFlagsMutuallyExclusive("curl", "listen")
	return cmd
}

func (d *diagnosing) run(cmd *cobra.Command, args []string) error {
	if d.count < 1 {
		return errors.New("--count: write a number above 0")
	}
	if cmd.Flags().Changed("count") && d.listen == "" {
		return errors.New("--count is about --listen: leave it out, or name an address to listen on")
	}
	if _, err := d.public(); err != nil {
		return err
	}
	secrets, err := d.secrets.read()
	if err != nil {
		return err
	}
	if d.listen != "" {
		return d.record(cmd, secrets)
	}
	captured, err := d.read(cmd, args[0])
	if err != nil {
		return err
	}
	return d.explain(cmd, captured, secrets)
}

// public returns the scheme and host that --public-url names, or nothing.
func (d *diagnosing) public() (p struct{ scheme, host string }, err error) {
	if d.publicURL == "" {
		return p, nil
	}
	u, err := parsePublicURL(d.publicURL)
	if err != nil {
		return p, errors.New("--public-url: write scheme://host or scheme://host:port, without a path, such as https://hooks.example.com")
	}
	p.scheme, p.host = u.Scheme, u.Host
	return p, nil
}

func (d *diagnosing) read(cmd *cobra.Command, file string) (*sender.Captured, error) {
	text, err := readBody(cmd, file)
	if err != nil {
		return nil, err
	}
	if !d.curl {
		return sender.ParseRequest(text)
	}
	return sender.ParseCurl(string(text), func(name string) ([]byte, error) {
		if name == "-" {
			return nil, errors.New("it is read from the standard input: write it into a file, and the file's name after the @")
		}
		return os.ReadFile(name)
	})
}

// record diagnoses what arrives, until there was enough or nobody wants to wait.
func (d *diagnosing) record(cmd *cobra.Command, secrets []namedSecret) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", d.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	recorder := sender.Record(listener)
	defer recorder.Close()
	fmt.Fprintf(cmd.ErrOrStderr(), "Waiting for a POST to http://%s\n", listener.Addr())
	unexplained, n := 0, 0
	for ; n < d.count; n++ {
		captured, err := recorder.Next(ctx)
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			return err
		}
		if n > 0 && !d.json {
			fmt.Fprintln(cmd.OutOrStdout())
		}
		if err := d.explain(cmd, captured, secrets); err != nil {
			unexplained++
			fmt.Fprintf(cmd.ErrOrStderr(), "Request %d: %v\n", n+1, err)
		}
	}
	switch {
	case n == 0:
		return errors.New("no POST has arrived: does the proxy in front pass it on to this address?")
	case unexplained > 0:
		return fmt.Errorf("no reading was found for %d of %d requests: see above", unexplained, n)
	}
	return nil
}

// explain prints the diagnosis of one request. It fails when none was found.
func (d *diagnosing) explain(cmd *cobra.Command, captured *sender.Captured, secrets []namedSecret) error {
	public, err := d.public()
	if err != nil {
		return err
	}
	hosts := captured.Hosts()
	if public.host != "" {
		captured.Delivery.Scheme, captured.Delivery.Host = public.scheme, public.host
	}
	e, err := newExplanation(captured, hosts, secrets)
	if err != nil {
		return err
	}
	print := e.print
	if d.json {
		print = e.printJSON
	}
	if err := print(cmd.OutOrStdout()); err != nil {
		return err
	}
	return e.verdict()
}

// explanation is what there is to say about one captured request.
type explanation struct {
	*sender.Captured
	headers  []string           // that hold what could be a signature
	readings []verifier.Reading // those to print
	tried    int

	finding *verifier.Finding // nil when there is none
	matches int               // which of the readings the finding is
	secret  string            // the finding's, as a placeholder
	refusal *verifier.Refusal // why the request would be refused even so
}

func newExplanation(captured *sender.Captured, hosts []string, secrets []namedSecret) (*explanation, error) {
	delivery := &captured.Delivery
	list, err := verifier.Readings(delivery, hosts, captured.Body)
	if err != nil {
		return nil, fmt.Errorf("there is no string to sign: the query cannot be read: %w", err)
	}
	e := &explanation{Captured: captured, tried: len(list)}
	for _, s := range verifier.SignaturesIn(delivery.Header) {
		e.headers = append(e.headers, s.Header)
	}
	for _, reading := range list {
		if reading.Own() {
			e.readings = append(e.readings, reading)
		}
	}
	if len(list) > 0 && list[0].Form.Body.String() == "raw" {
		captured.Notes = append(captured.Notes, "the body is not JSON, so only its bytes can be signed")
	}
	c := verifier.HMACConfig{}
	for _, s := range secrets {
		c.Secrets = append(c.Secrets, s.secret)
	}
	hmac, err := verifier.NewHMAC(c)
	if err != nil {
		return nil, err
	}
	if finding, found := hmac.Diagnose(delivery, hosts, captured.Body); found {
		secret := secrets[finding.Secret-1]
		e.finding, e.secret = &finding, secret.placeholder
		e.refusal = finding.Check(delivery, secret.secret, captured.Body)
		e.place(finding.Reading)
	}
	return e, nil
}

// place finds the reading among those to print, and adds it if it is not there.
func (e *explanation) place(found verifier.Reading) {
	for e.matches = range e.readings {
		if e.readings[e.matches].DiffersAt(&found) < 0 {
			return
		}
	}
	e.matches = len(e.readings)
	e.readings = append(e.readings, found)
}

// verdict is an error unless a reading was found.
func (e *explanation) verdict() error {
	switch {
	case e.finding != nil:
		return nil
	case len(e.headers) == 0:
		return errors.New("no header holds a signature, which is 64 hex digits or base64 of 32 bytes: is another method chosen in K-LINK, or does a proxy drop the header?")
	default:
		return fmt.Errorf("none of %d readings was signed with this secret: compare it with the signature secret in K-LINK, and look for a proxy that changes the body, the path or the query", e.tried)
	}
}
