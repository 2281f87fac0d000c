package inbox

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/klinkgate/caddy-klink/inbox/queue"
	"github.com/klinkgate/caddy-klink/verifier"
)

var errNotBehind = errors.New("klink_inbox takes only what klink_webhook has accepted: put klink_webhook before it")

// retryAfter is what a sender is told to wait when nothing can be stored, in
// seconds. It is the vendor's first pause.
const retryAfter = 30

// receive sees to one delivery that K-LINK waits for.
func (in *Inbox) receive(w http.ResponseWriter, r *http.Request) error {
	accepted, _ := caddyhttp.GetVar(r.Context(), "klink_webhook").(*verifier.Accepted)
	if accepted == nil {
		return caddyhttp.Error(http.StatusInternalServerError, errNotBehind)
	}
	if !accepted.Verified { // let through in observe mode, and no event that could be trusted
		return in.handler.ServeHTTP(w, r)
	}
	arrived := time.Now()
	body, err := readBody(r)
	if err != nil {
		return unread(err)
	}
	d := newDelivery(r, accepted, body, arrived)
	running, fresh := in.state.calls.begin(d.Key, time.Duration(in.Dedupe), arrived)
	if running == nil {
		in.state.tally.deduplicated.Add(1)
		return status200().send(w)
	}
	if !fresh {
		in.state.tally.deduplicated.Add(1)
		return running.wait(r.Context(), w)
	}
	in.take(r.Context(), running, d)
	return running.reply(w)
}

// unread says of a body that cannot be read whose fault that is: not ours, unless
// an error of klink_webhook says more.
func unread(err error) error {
	if _, ok := errors.AsType[caddyhttp.HandlerError](err); ok {
		return err
	}
	return caddyhttp.Error(http.StatusBadRequest, err)
}

// take does with a delivery what the mode says, and ends its call.
func (in *Inbox) take(ctx context.Context, running *call, d *delivery) {
	ctx = context.WithoutCancel(ctx) // it goes on when K-LINK hangs up
	if in.Mode == modeStore {
		in.store(ctx, running, d)
	} else {
		in.rescue(ctx, running, d)
	}
}

// wait waits for a call that another request has begun.
func (c *call) wait(ctx context.Context, w http.ResponseWriter) error {
	select {
	case <-c.done:
		return c.reply(w)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *call) reply(w http.ResponseWriter) error {
	if c.err != nil {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
		return caddyhttp.Error(http.StatusServiceUnavailable, c.err)
	}
	return c.answer.send(w)
}

// storeTimeout bounds how long an event waits for its transaction. It leaves room
// for that below K-LINK's ten seconds.
const storeTimeout = 4 * time.Second

// put stores a delivery, once it is sure that what is stored is delivered: Caddy may
// serve with a configuration before it finds that it cannot start it.
func (in *Inbox) put(ctx context.Context, d *delivery, when queue.When) (queue.Stored, error) {
	if err := d.encode(); err != nil {
		return queue.Stored{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	stored, err := queue.Stored{}, in.queue.AwaitStart(ctx)
	if err == nil {
		stored, err = in.queue.Store(ctx, &d.Delivery, when)
	}
	if err != nil {
		in.logger.Error("an event cannot be stored", in.fields(d, zap.Error(err))...)
	}
	return stored, err
}

// endStored ends the call of a delivery that was stored, or could not be.
func (in *Inbox) endStored(running *call, stored queue.Stored, err error) {
	if err != nil {
		in.state.calls.end(running, nil, err, false)
		return
	}
	if stored.Duplicate { // another gateway has it
		in.state.tally.deduplicated.Add(1)
	}
	in.state.calls.end(running, status200(), nil, true)
}

func (in *Inbox) fields(d *delivery, more ...zap.Field) []zap.Field {
	return append([]zap.Field{
		zap.String("inbox", in.Name), zap.String("endpoint", d.Endpoint), zap.String("id", d.Key.String()), zap.String("event", d.Event),
	}, more...)
}

// store stores a delivery before anything else.
func (in *Inbox) store(ctx context.Context, running *call, d *delivery) {
	stored, err := in.put(ctx, d, queue.When{})
	in.endStored(running, stored, err)
}
