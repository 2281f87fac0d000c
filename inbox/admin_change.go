package inbox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/klinkgate/caddy-klink/inbox/queue"
)

// change is what an operator does to an event.
type change struct {
	done  string // how the log calls it
	apply func(ctx context.Context, in *Inbox, event *queue.Event) error
	after func(in *Inbox) // once it was done to all of them
}

var (
	retry = change{"retried", func(ctx context.Context, in *Inbox, event *queue.Event) error {
		return in.queue.Retry(ctx, event.ID)
	}, func(in *Inbox) { in.queue.Hurry() }}
	// What is discarded is not known any more, so that it can come anew.
	discard = change{"discarded", func(ctx context.Context, in *Inbox, event *queue.Event) error {
		if err := in.queue.Discard(ctx, event.ID); err != nil {
			return err
		}
		key, err := queue.ParseKey(event.Key)
		if err == nil {
			in.state.calls.forget(key)
		}
		return err
	}, func(*Inbox) {}}
)

// changed is the answer to a change of events.
type changed struct {
	Done    int   `json:"done"`
	Skipped int   `json:"skipped"`         // being delivered, or gone meanwhile
	After   int64 `json:"after,omitempty"` // there may be more after this event
}

func changeOne(c change) inboxHandler {
	return func(in *Inbox, w http.ResponseWriter, r *http.Request) error {
		if _, err := parseQuery(r); err != nil {
			return err
		}
		event, _, err := in.eventOf(r)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.Context(), adminTimeout)
		defer cancel()
		if err := c.apply(ctx, in, &event); err != nil {
			return queueError(err)
		}
		c.after(in)
		in.logger.Info("an operator has "+c.done+" an event", zap.String("inbox", in.Name),
			zap.Int64("number", event.ID), zap.String("id", event.Key), zap.String("event", event.Event))
		return answerJSON(w, changed{Done: 1})
	}
}

func changeMany(c change) inboxHandler {
	return func(in *Inbox, w http.ResponseWriter, r *http.Request) error {
		filter, limit, err := parseMany(r)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(r.Context(), adminTimeout)
		defer cancel()
		result, err := in.changeAll(ctx, c, filter, limit, time.Now().Add(changeTime))
		c.after(in)
		in.logger.Info("an operator has "+c.done+" events", zap.String("inbox", in.Name),
			zap.Int("done", result.Done), zap.Int("skipped", result.Skipped), zap.Error(err))
		if err != nil {
			return err
		}
		return answerJSON(w, result)
	}
}

// parseMany reads which events are to be changed. Their states must be written:
// nobody is to discard everything by leaving something out.
func parseMany(r *http.Request) (f queue.Filter, limit int, err error) {
	values, err := parseQuery(r, "state", "event", "older_than", "after", "limit")
	if err != nil {
		return f, 0, err
	}
	if f, limit, err = parseFilter(values, largestPage); err != nil {
		return f, 0, err
	}
	if len(f.States) == 0 {
		return f, 0, refuse(http.StatusBadRequest, "state: say which events are meant: state=dead, state=waiting, or both")
	}
	for _, state := range f.States {
		if state != queue.Dead && state != queue.Waiting {
			return f, 0, refuse(http.StatusBadRequest, "state: those that are %s are not changed all at once: only dead and waiting ones are", state)
		}
	}
	return f, limit, nil
}

// changeTime is how long events are changed before it is told how far that has
// come: nobody waits for an answer for minutes.
const changeTime = 5 * time.Second

// changeAll changes the first events that a filter means, as many as it can until
// then, but at least one.
func (in *Inbox) changeAll(ctx context.Context, c change, filter queue.Filter, limit int, until time.Time) (result changed, err error) {
	events, err := in.queue.List(ctx, filter, limit)
	if err != nil {
		return result, queueError(err)
	}
	for i := range events {
		switch err := c.apply(ctx, in, &events[i]); {
		case err == nil:
			result.Done++
		case errors.Is(err, queue.ErrUnavailable):
			return result, caddy.APIError{
				HTTPStatus: http.StatusServiceUnavailable, Err: err,
				Message: fmt.Sprintf("%v: the log says why; %d events were %s before that", queue.ErrUnavailable, result.Done, c.done),
			}
		default:
			result.Skipped++
		}
		more := i+1 < len(events) && time.Now().After(until) || i+1 == limit
		if more {
			result.After = events[i].ID
			break
		}
	}
	return result, nil
}
