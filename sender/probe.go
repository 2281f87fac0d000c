package sender

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/klinkgate/caddy-klink/verifier"
)

// Probe looks at an endpoint as a stranger can. It sends nothing that a backend could take for an event, in this order,
// and goes no further once a step has failed:
//
//   - HEAD, which changes nothing wherever it arrives. klink_webhook refuses it: deliveries come with POST.
//   - POST without a body and without a signature.
//   - POST of "{}", in which there is no event, with signatures made of random bytes.
//
// With a gateway that refuses, none of them is passed on.
type Probe struct {
	URL string
	// Expiry is how much longer than this the certificate must hold.
	Expiry time.Duration
	// RootCAs are those to trust. nil is the system's.
	RootCAs *x509.CertPool
	// Now is the clock that certificates are judged by. nil is time.Now.
	Now func() time.Time
}

// Step is a part of a probe.
type Step struct {
	Name    string    // name, tls, method, unsigned or badly signed
	Err     error     // nil when all is as it should be
	Detail  string    // what was seen
	Status  int       // of the answer; 0 without one
	Expires time.Time // of the certificate; zero without one
}

// Run makes the steps and calls seen with each. It returns the error of the one that failed, or nil; a URL that cannot
// be probed is an error before the first step.
func (p *Probe) Run(ctx context.Context, seen func(Step)) error {
	to, err := DeliveryTo(http.MethodPost, p.URL)
	if err != nil {
		return err
	}
	run := &probing{Probe: p, to: to}
	run.host, run.port = hostAndPort(to)
	run.transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: run.tlsConfig(), ForceAttemptHTTP2: true}
	run.client, _ = newClient(run.transport)
	for _, step := range []struct {
		name string
		do   func(context.Context, *Step) error
	}{
		{"name", run.name},
		{"tls", run.tls},
		{"method", run.method},
		{"unsigned", run.unsigned},
		{"badly signed", run.badlySigned},
	} {
		s := Step{Name: step.name}
		stepContext, cancel := context.WithTimeoutCause(ctx, Timeout, ErrTimeout)
		s.Err = step.do(stepContext, &s)
		cancel()
		seen(s)
		if s.Err != nil {
			return fmt.Errorf("%s: %w", s.Name, s.Err)
		}
	}
	return nil
}

// probing is one run of a probe.
type probing struct {
	*Probe
	to         *verifier.Delivery
	host, port string
	transport  *http.Transport
	client     *http.Client
}

func hostAndPort(to *verifier.Delivery) (host, port string) {
	port = map[string]string{"http": "80", "https": "443"}[to.Scheme]
	if host, explicit, err := net.SplitHostPort(to.Host); err == nil {
		if explicit != "" {
			port = explicit
		}
		return host, port
	}
	return strings.Trim(to.Host, "[]"), port
}

func (p *probing) tlsConfig() *tls.Config {
	return &tls.Config{ServerName: p.host, RootCAs: p.RootCAs, Time: p.Now, MinVersion: tls.VersionTLS12}
}

func (p *probing) name(ctx context.Context, s *Step) error {
	addresses, err := net.DefaultResolver.LookupHost(ctx, p.host)
	if err != nil {
		return fmt.Errorf("%w: does the name in the URL exist?", reason(ctx, err))
	}
	s.Detail = p.host + " is " + strings.Join(addresses, ", ")
	return nil
}

func (p *probing) tls(ctx context.Context, s *Step) error {
	if p.to.Scheme != "https" {
		s.Detail = "whoever is on the way can read deliveries: better type an https URL in K-LINK"
		return nil
	}
	dialer := tls.Dialer{Config: p.tlsConfig()}
	connection, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(p.host, p.port))
	if err != nil {
		hint := "see which certificate is served for this name"
		if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
			hint = "see whether the server runs and its port is open"
		}
		return fmt.Errorf("%w: %s", reason(ctx, err), hint)
	}
	defer func() { _ = connection.Close() }()
	state := connection.(*tls.Conn).ConnectionState()
	s.Expires = state.PeerCertificates[0].NotAfter
	left := s.Expires.Sub(p.now())
	s.Detail = fmt.Sprintf("%s, the certificate expires in %s, on %s", tls.VersionName(state.Version), days(left), s.Expires.UTC().Format(time.DateOnly))
	if left <= p.Expiry {
		return fmt.Errorf("the certificate expires in %s, on %s: see why it was not renewed", days(left), s.Expires.UTC().Format(time.DateTime))
	}
	return nil
}

func (p *probing) now() time.Time {
	if p.Now == nil {
		return time.Now()
	}
	return p.Now()
}

func days(d time.Duration) string {
	if d < 48*time.Hour {
		return fmt.Sprintf("%.0f hours", d.Hours())
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func (p *probing) method(ctx context.Context, s *Step) error {
	err := p.ask(ctx, s, http.MethodHead, nil, nil)
	switch {
	case err != nil:
		return err
	case s.Status == http.StatusMethodNotAllowed, refused(s.Status):
		s.Detail = fmt.Sprintf("HEAD is answered %d", s.Status)
		return nil
	}
	return fmt.Errorf("HEAD is answered %d and not 405: %s; nothing was posted", s.Status, guess(s.Status))
}

func (p *probing) unsigned(ctx context.Context, s *Step) error {
	return p.mustRefuse(ctx, s, nil, nil)
}

func (p *probing) badlySigned(ctx context.Context, s *Step) error {
	header := http.Header{"Content-Type": {"application/json"}}
	for _, name := range verifier.DefaultSignatureHeaders {
		header[name] = []string{randomSignature().Hex()}
	}
	return p.mustRefuse(ctx, s, header, []byte("{}"))
}

// randomSignature is nobody's.
func randomSignature() (s verifier.Signature) {
	_, _ = rand.Read(s[:]) // never fails
	return s
}

func (p *probing) mustRefuse(ctx context.Context, s *Step, header http.Header, body []byte) error {
	if err := p.ask(ctx, s, http.MethodPost, header, body); err != nil {
		return err
	}
	switch s.Status {
	case http.StatusUnauthorized:
		s.Detail = "refused with 401"
	case http.StatusForbidden:
		s.Detail = "refused with 403: this machine's address is not allowed, which is as it should be"
	default:
		return fmt.Errorf("it is answered %d and not 401 or 403: %s", s.Status, guess(s.Status))
	}
	return nil
}

func refused(status int) bool {
	return status == http.StatusUnauthorized || status == http.StatusForbidden
}

// guess says what an answer that should not be there may come from.
func guess(status int) string {
	switch {
	case status >= 200 && status < 300:
		return "no gateway is in front of the backend, or it is in observe mode"
	case status >= 300 && status < 400:
		return "K-LINK takes a redirect for an error: type the URL that it leads to"
	case status == http.StatusNotFound:
		return "is the path in the URL right?"
	case status >= 500:
		return "look into the log of the gateway, or of the proxy in front of it"
	default:
		return "something else than klink_webhook answers"
	}
}

func (p *probing) ask(ctx context.Context, s *Step, method string, header http.Header, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, method, p.to.Scheme+"://"+p.to.Host+p.to.Target, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if header != nil {
		request.Header = header
	}
	request.Header.Set("User-Agent", "caddy-klink-check")
	response, err := p.client.Do(request)
	if err != nil {
		return fmt.Errorf("no answer: %w: see whether the server runs and its port is open", reason(ctx, err))
	}
	s.Status = response.StatusCode
	_, _ = io.CopyN(io.Discard, response.Body, maxDrain)
	_ = response.Body.Close()
	return nil
}
