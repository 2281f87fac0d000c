// Package sender plays K-LINK: it makes events, signs them and delivers them with the vendor's documented time-out,
// retries and rule for deactivating an endpoint. It knows no Caddy.
package sender

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/klinkgate/caddy-klink/verifier"
)

// What the vendor documents about deliveries.
const (
	// Timeout is how long an endpoint may take to answer one attempt.
	Timeout = 10 * time.Second
	// MaxErrors is how many attempts within ErrorWindow may fail. One more deactivates the endpoint.
	MaxErrors = 50
	// ErrorWindow is the time that MaxErrors is about. It slides.
	ErrorWindow = time.Hour
)

// retryWaits are the pauses before the second, the third and the fourth attempt.
var retryWaits = [...]time.Duration{30 * time.Second, 60 * time.Second, 90 * time.Second}

// Config says where deliveries go and what they carry.
type Config struct {
	// URL is the endpoint, absolute, http or https.
	URL string
	// Credentials are the headers that vouch for a delivery. All of them are sent; none may share a header.
	Credentials []Credential
	// TimeScale multiplies the pauses before retries and ErrorWindow: with 0.01 the first retry comes after 300 ms.
	// Timeout stays as it is. 0 means 1.
	TimeScale float64
	// Timeout is how long an attempt may take. 0 means the vendor's Timeout.
	Timeout time.Duration

	// Transport carries the requests. nil is a transport of the sender's own, which Close lets go.
	Transport http.RoundTripper
	// Now is the clock of the error window and of latencies. nil is time.Now.
	Now func() time.Time
	// Sleep pauses for a duration, or until the context ends and then returns its error. nil sleeps in real time.
	Sleep func(context.Context, time.Duration) error
}

// Sender delivers events to one endpoint. It may be used by several goroutines at once.
type Sender struct {
	to          verifier.Delivery
	url         string
	credentials []Credential
	scale       float64
	timeout     time.Duration
	timedOut    error // why an attempt that took longer has no answer
	client      *http.Client
	own         *http.Transport // nil when the configuration brought its own
	now         func() time.Time
	sleep       func(context.Context, time.Duration) error
	errors      *errorBudget
}

// New fails on a URL that cannot be delivered to, on two credentials in one header and on a negative time scale.
func New(c Config) (*Sender, error) {
	to, err := DeliveryTo(http.MethodPost, c.URL)
	if err != nil {
		return nil, err
	}
	if err := checkHeaders(c.Credentials); err != nil {
		return nil, err
	}
	if c.TimeScale == 0 {
		c.TimeScale = 1
	}
	if !(c.TimeScale > 0 && c.TimeScale <= maxTimeScale) {
		return nil, fmt.Errorf("the time scale %v is not between 0 and %d: 1 is real time, 0.01 a hundredth of it", c.TimeScale, maxTimeScale)
	}
	s := &Sender{
		to:          *to,
		url:         to.Scheme + "://" + to.Host + to.Target,
		credentials: c.Credentials,
		scale:       c.TimeScale,
		timeout:     Timeout,
		timedOut:    ErrTimeout,
		now:         c.Now,
		sleep:       c.Sleep,
	}
	if c.Timeout > 0 {
		s.timeout, s.timedOut = c.Timeout, fmt.Errorf("no answer within %v", c.Timeout)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.sleep == nil {
		s.sleep = sleep
	}
	s.client, s.own = newClient(c.Transport)
	s.errors = newErrorBudget(s.scaled(ErrorWindow))
	return s, nil
}

// maxTimeScale keeps scaled times far from overflow.
const maxTimeScale = 1000

// Close lets idle connections go. Send may not be called afterwards.
func (s *Sender) Close() {
	if s.own != nil {
		s.own.CloseIdleConnections()
	}
}

// Deactivated says whether the endpoint has failed too often: nothing more is sent then.
func (s *Sender) Deactivated() bool { return s.errors.spent.Err() != nil }

// Send delivers one event: up to four attempts with the same headers and the same body. It returns once the endpoint
// has answered 200, the last retry has failed, or the endpoint is deactivated.
//
// It returns an error only when the event cannot be signed, or when ctx ends first; the attempts made until then are
// in the result.
func (s *Sender) Send(ctx context.Context, e Event) (Delivery, error) {
	return s.deliver(ctx, e, nil)
}

func (s *Sender) scaled(d time.Duration) time.Duration {
	return time.Duration(float64(d) * s.scale)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
