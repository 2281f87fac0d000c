package inbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp/reverseproxy"
	"go.uber.org/zap"

	"github.com/klinkgate/caddy-klink/inbox/queue"
)

// attempt makes one attempt at a delivery, which may take until ctx ends. Number
// 0 is the one that K-LINK waits for.
func (in *Inbox) attempt(ctx context.Context, d *delivery, number int) (*answer, queue.Result) {
	w := new(answer)
	r := d.request(ctx, w, in.server, number, !in.NoDeliveryHeaders)
	err := in.serve(w, r)
	if err != nil && errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
		return w, queue.Result{Outcome: queue.Failed, Detail: "no answer within " + time.Duration(in.Timeout).String()}
	}
	return w, resultOf(w, err)
}

// serve runs the handlers. A panic of theirs is an error: reverse_proxy panics
// when the backend breaks off its answer.
func (in *Inbox) serve(w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = errBrokenOff
		default:
			in.logger.Error("a handler of deliver panicked", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			err = errPanicked
		}
	}()
	return in.handler.ServeHTTP(w, r)
}

var (
	errBrokenOff  = errors.New("the backend broke off its answer")
	errPanicked   = errors.New("a handler of deliver panicked")
	errUnanswered = errors.New("no handler of deliver has answered: is there a matcher that the event does not match?")
)

// unanswered stands behind the handlers of deliver.
func unanswered(http.ResponseWriter, *http.Request) error { return errUnanswered }

// resultOf says what an answer or an error means for the event.
func resultOf(w *answer, err error) queue.Result {
	if err == nil {
		w.WriteHeader(http.StatusOK) // without effect unless the handlers left it to the server, which does so too
		return resultOfStatus(w.status, "")
	}
	result := queue.Result{Outcome: queue.Failed, Detail: err.Error()}
	if handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err); ok && handlerErr.StatusCode != 0 {
		result = resultOfStatus(handlerErr.StatusCode, detailOf(handlerErr.Err))
	}
	if unreachable(err) {
		result.Outcome = queue.Unreachable
	}
	return result
}

func detailOf(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// unreachable says whether no backend has seen the request: nobody took the
// connection, or reverse_proxy has no backend that is up.
func unreachable(err error) bool {
	if _, ok := errors.AsType[reverseproxy.DialError](err); ok {
		return true
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	handlerErr, ok := errors.AsType[caddyhttp.HandlerError](err)
	return ok && handlerErr.StatusCode == http.StatusServiceUnavailable
}

func resultOfStatus(status int, detail string) queue.Result {
	if status >= 200 && status <= 299 {
		return queue.Result{Outcome: queue.Delivered}
	}
	result := queue.Result{Detail: fmt.Sprintf("status %d%s", status, detail)}
	switch {
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusTooManyRequests:
		result.Outcome = queue.Failed
	case status >= 400 && status <= 499:
		result.Outcome = queue.Rejected
	default:
		result.Outcome = queue.Failed
	}
	return result
}
