// Package inbox is a Caddy module that sees to it that a K-LINK webhook, once
// accepted, reaches its backend once, whatever the backend does. It stands behind
// klink_webhook.
package inbox

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyevents"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/klinkgate/caddy-klink/inbox/queue"
)

func init() {
	caddy.RegisterModule(new(Inbox))
}

// Inbox sees to it that a delivery which klink_webhook has accepted reaches the
// backend, once, whatever the backend does. The backend stands in the block
// deliver; the inbox must stand behind klink_webhook.
//
// In the mode rescue a delivery goes straight to the backend, and the backend's
// own answer goes back. If the backend cannot be reached, answers with 3xx, 5xx,
// 408, 425 or 429, breaks off, or has not answered by the deadline, the event is
// stored on disk, K-LINK is answered 200, and the event is delivered later. An
// attempt that is under way at the deadline goes on: the event is sent again only
// if it fails. In the mode store every event is stored first, answered 200, and
// delivered from there.
//
// When the backend answers with any other 4xx the event itself is wrong: it is
// stored as dead, answered 200, and left to an operator, unless pass_rejections
// is there. When an event cannot be stored, K-LINK is answered 503 and tries
// again.
//
//	klink_inbox [<matcher>] {
//		name         <name>
//		database     sqlite://<path>|postgres://<user>:<password>@<host>/<database>
//		mode         rescue|store
//		deadline     <duration>
//		retry        <duration...>
//		give_up      <duration>
//		timeout      <duration>
//		concurrency  <number>
//		dedupe       <duration>
//		retention    <duration>
//		max_stored   <events> [<size>]
//		pass_rejections
//		no_delivery_headers
//		deliver {
//			<directives...>
//		}
//	}
//
// An event is the same as another when endpoint and normal form of the body are,
// numbers as they are written: K-LINK gives deliveries no id. One that comes again while it is being delivered
// waits for that and gets its answer; one that was delivered or stored within
// dedupe is answered 200 and goes no further.
//
// Later attempts have the same method, target, Host, headers, client address and
// body as the first one. For the handlers in deliver the request is made anew
// each time: of placeholders there are those of the request and
// {http.klink_webhook.event}, but no variables of handlers before the inbox.
//
// A backend that is down is tried with the oldest event alone, at the pauses of
// retry but at least every 30 seconds, and in the mode rescue with one live delivery
// at a time; the others are stored at once. Once it is back they follow, oldest
// first.
//
// Metrics caddy_klink_inbox_*, the admin API under /klink/inbox, `caddy klink
// inbox` and the page klink_inbox_ui show what is stored.
type Inbox struct {
	// What the inbox is called in the database, metrics and the admin API: letters
	// a to z, digits, and single hyphens or underscores between them. Events are
	// stored under this name. Two inboxes cannot have the same one. Default:
	// `inbox`; a Caddyfile numbers its inboxes `inbox1`, `inbox2`, …, except in a
	// named route, where a name is required.
	Name string `json:"name,omitempty"`

	// Where events are stored: `sqlite:///path/to/file` or
	// `postgres://user:password@host/database`. Placeholders such as
	// `{env.INBOX_DATABASE}` are replaced when the configuration loads. Default: the
	// file `klink_inbox.db` in Caddy's data directory.
	Database string `json:"database,omitempty"`

	// `rescue` stores what the backend does not take; `store` stores everything
	// first. Default: `rescue`.
	Mode string `json:"mode,omitempty"`

	// When K-LINK is answered at the latest in the mode rescue, counted from the
	// delivery's arrival at the inbox; below the ten seconds that K-LINK waits.
	// Default: 8s.
	Deadline caddy.Duration `json:"deadline,omitempty"`

	// The pauses between attempts at an event; the last one repeats. Default: 5s,
	// 30s, 2m, 10m, 1h.
	Retry []caddy.Duration `json:"retry,omitempty"`

	// The age at which an event that fails is dead: it is kept, shown and counted,
	// but not tried any more. Default: 72h.
	GiveUp caddy.Duration `json:"give_up,omitempty"`

	// For one attempt; in the mode rescue not below the deadline. Default: 60s.
	Timeout caddy.Duration `json:"timeout,omitempty"`

	// How many stored events are delivered at the same time. Default: 8.
	Concurrency int `json:"concurrency,omitempty"`

	// How long a delivered or stored event is known. Default: 24h.
	Dedupe caddy.Duration `json:"dedupe,omitempty"`

	// How long the record of a delivered event is kept, without what was sent; not
	// less than dedupe. Default: 7d, or dedupe where that is longer.
	Retention caddy.Duration `json:"retention,omitempty"`

	// How many events are stored at the most, dead ones included. When there are
	// so many, deliveries that would have to be stored are answered 503. Default:
	// 100000.
	MaxStored int64 `json:"max_stored,omitempty"`

	// How many bytes these events may have at the most. Default: 1 GiB.
	MaxStoredBytes int64 `json:"max_stored_bytes,omitempty"`

	// Answers a 4xx of the backend as it is, instead of storing the event as dead.
	PassRejections bool `json:"pass_rejections,omitempty"`

	// Leaves out the headers by which a backend can tell that it has seen an event
	// before: Klink-Delivery-Id, the same in every attempt at an event, and
	// Klink-Delivery-Attempt, in attempts that K-LINK does not wait for.
	NoDeliveryHeaders bool `json:"no_delivery_headers,omitempty"`

	// The routes that take a delivery to the backend.
	Deliver caddyhttp.RouteList `json:"deliver,omitempty"`

	written string // its JSON
	handler caddyhttp.Handler
	server  *caddyhttp.Server
	state   *state
	queue   *sharedQueue
	logger  *zap.Logger
	ended   *sync.WaitGroup // attempts that went on after K-LINK was answered
}

// CaddyModule returns the Caddy module information.
func (*Inbox) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "http.handlers.klink_inbox",
		New: func() caddy.Module { return new(Inbox) },
	}
}

// Provision opens the database. It fails on whatever is missing, unknown or malformed.
// What is stored is delivered once Caddy has started the configuration, so not when it
// is only validated or does not start.
func (in *Inbox) Provision(ctx caddy.Context) error {
	in.logger = ctx.Logger()
	if err := in.provision(ctx); err != nil {
		return fmt.Errorf("klink_inbox: %w", err)
	}
	return nil
}

func (in *Inbox) provision(ctx caddy.Context) error {
	in.ended = new(sync.WaitGroup)
	written, err := json.Marshal(in) // what is loaded from it is gone from it afterwards
	if err != nil {
		return err
	}
	in.written = string(written)
	in.setDefaults()
	if err := in.check(); err != nil {
		return err
	}
	if err := in.Deliver.Provision(ctx); err != nil {
		return fmt.Errorf("deliver: %w", err)
	}
	in.handler = in.Deliver.Compile(caddyhttp.HandlerFunc(unanswered))
	in.server, _ = ctx.Value(caddyhttp.ServerCtxKey).(*caddyhttp.Server)
	if err := in.attach(ctx); err != nil {
		return err
	}
	if err := onStart(ctx, in); err != nil {
		return err
	}
	recalled := in.recall(ctx) // before the first delivery comes
	go in.keepRecalling(ctx, recalled)
	return nil
}

// onStart sees to it that in is told when Caddy has started the configuration.
func onStart(ctx caddy.Context, in *Inbox) error {
	events, err := ctx.App("events")
	if err != nil {
		return err
	}
	return events.(*caddyevents.App).On("started", starter{in})
}

// starter starts an inbox. It has no exported field, since Caddy logs whom it tells of
// events.
type starter struct{ inbox *Inbox }

// Handle implements caddyevents.Handler.
func (s starter) Handle(context.Context, caddy.Event) error {
	s.inbox.state.enforce(s.inbox)
	s.inbox.queue.Start()
	return nil
}

// Cleanup gives back what Provision has taken. When Caddy ends, attempts that are
// under way have some seconds to do so too.
func (in *Inbox) Cleanup() error {
	if caddy.Exiting() {
		in.await()
	}
	return in.detach()
}

// exitGrace is how long attempts may take that are under way when Caddy ends.
const exitGrace = 10 * time.Second

func (in *Inbox) await() {
	done := make(chan struct{})
	go func() {
		in.ended.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(exitGrace):
	}
}

// deliverStored makes an attempt at a stored event.
func (in *Inbox) deliverStored(ctx context.Context, stored *queue.Delivery, number int) queue.Result {
	if in.state.late.succeeded(stored.Key) {
		return queue.Result{Outcome: queue.Delivered}
	}
	d, err := storedDelivery(stored)
	if err != nil {
		return queue.Result{Outcome: queue.Failed, Detail: "the stored request cannot be read"}
	}
	_, result := in.attempt(ctx, d, number)
	if result.Outcome != queue.Delivered {
		in.logger.Warn("a stored event was not delivered",
			zap.String("inbox", in.Name), zap.String("id", d.Key.String()), zap.String("event", d.Event),
			zap.Int("attempt", number), zap.String("detail", result.Detail))
	}
	return result
}

// ServeHTTP sees to one delivery.
func (in *Inbox) ServeHTTP(w http.ResponseWriter, r *http.Request, _ caddyhttp.Handler) error {
	return in.receive(w, r)
}

// Interface guards
var (
	_ caddy.Provisioner           = (*Inbox)(nil)
	_ caddy.CleanerUpper          = (*Inbox)(nil)
	_ caddyhttp.MiddlewareHandler = (*Inbox)(nil)
)
