package inbox

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/exp/zapslog"

	"github.com/klinkgate/caddy-klink/inbox/queue"
)

// What outlives the reload of a configuration: databases by their URL, queues by
// database, name and settings, and what inboxes know, by their name.
var (
	databases = caddy.NewUsagePool()
	queues    = caddy.NewUsagePool()
	states    = caddy.NewUsagePool()
)

// state is what an inbox knows apart from its database.
type state struct {
	name   string
	counts queue.Counts
	tally  *tally
	calls  calls
	late   late

	mu    sync.Mutex
	users []user
}

// user is an inbox of a configuration that has the state's name.
type user struct {
	inbox   *Inbox
	config  *prometheus.Registry // every configuration has its own
	inForce bool                 // Caddy has started it
}

// Destruct implements caddy.Destructor.
func (*state) Destruct() error { return nil }

// adopt takes in as an inbox that has the state's name. It fails when the same
// configuration has another one of that name; a site on two ports has one inbox
// twice, with the same settings.
func (s *state) adopt(in *Inbox, config *prometheus.Registry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.users {
		if config != nil && other.config == config && other.inbox.written != in.written {
			return fmt.Errorf("name: another inbox of this configuration is called %s too: give each a name of its own", s.name)
		}
	}
	s.users = append(s.users, user{inbox: in, config: config})
	return nil
}

// drop forgets in.
func (s *state) drop(in *Inbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users = slices.DeleteFunc(s.users, func(u user) bool { return u.inbox == in })
}

// enforce notes that Caddy has started the configuration of in.
func (s *state) enforce(in *Inbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.users {
		if s.users[i].inbox == in {
			s.users[i].inForce = true
		}
	}
}

// current returns the inbox in force: that of the configuration which Caddy has
// started last. It returns nil when there is none.
func (s *state) current() *Inbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range slices.Backward(s.users) {
		if u.inForce {
			return u.inbox
		}
	}
	return nil
}

// deliver makes an attempt at a stored event through the inbox in force.
func (s *state) deliver(ctx context.Context, d *queue.Delivery, number int) queue.Result {
	in := s.current()
	if in == nil {
		return queue.Result{Outcome: queue.Unreachable, Detail: "the inbox is not configured any more"}
	}
	return in.deliverStored(ctx, d, number)
}

// sharedDatabase is a database of the pool.
type sharedDatabase struct{ *queue.Database }

// Destruct implements caddy.Destructor.
func (d sharedDatabase) Destruct() error { return d.Close() }

// sharedQueue is a queue of the pool.
type sharedQueue struct {
	*queue.Queue
	url, key string
}

// Destruct implements caddy.Destructor.
func (q *sharedQueue) Destruct() error { return q.Close() }

// attach takes the inbox's state, database and queue.
func (in *Inbox) attach(ctx caddy.Context) error {
	url, err := in.databaseURL()
	if err != nil {
		return err
	}
	value, _, err := states.LoadOrNew(in.Name, func() (caddy.Destructor, error) { return newState(in.Name), nil })
	if err != nil {
		return err
	}
	s := value.(*state)
	if err := s.adopt(in, ctx.GetMetricsRegistry()); err != nil {
		_, _ = states.Delete(in.Name)
		return err
	}
	in.state = s
	if err := in.openQueue(url); err != nil {
		return err
	}
	if err := registerMetrics(ctx.GetMetricsRegistry()); err != nil {
		return err
	}
	return nil
}

func newState(name string) *state {
	s := &state{name: name, tally: newTally(), calls: newCalls()}
	commit := s.tally.commit.WithLabelValues(name)
	s.counts.Committed = func(took time.Duration) { commit.Observe(took.Seconds()) }
	return s
}

// loggerName is what the log calls a queue, which may outlive the inbox that has
// opened it.
const loggerName = "klink_inbox"

func (in *Inbox) openQueue(url string) error {
	logger := slog.New(zapslog.NewHandler(in.logger.Core(), zapslog.WithName(loggerName)))
	value, _, err := databases.LoadOrNew(url, func() (caddy.Destructor, error) {
		db, err := queue.Open(context.Background(), url, logger)
		return sharedDatabase{db}, err
	})
	if err != nil {
		return err
	}
	config := in.queueConfig()
	key := fmt.Sprintf("%s %+v", url, config)
	config.Deliver, config.Counts, config.Logger = in.state.deliver, &in.state.counts, logger
	shared, _, err := queues.LoadOrNew(key, func() (caddy.Destructor, error) {
		return &sharedQueue{value.(sharedDatabase).Queue(config), url, key}, nil
	})
	if err != nil {
		return err
	}
	in.queue = shared.(*sharedQueue)
	return nil
}

// detach gives back what attach has taken.
func (in *Inbox) detach() error {
	if in.state == nil {
		return nil
	}
	var err error
	if in.queue != nil {
		_, err = queues.Delete(in.queue.key)
		if _, dbErr := databases.Delete(in.queue.url); err == nil {
			err = dbErr
		}
	}
	in.state.drop(in)
	if _, stateErr := states.Delete(in.Name); err == nil {
		err = stateErr
	}
	return err
}

const (
	// recallTimeout bounds how long a configuration takes to load because many
	// events are known.
	recallTimeout = 5 * time.Second
	// recallInterval is how often an inbox looks for what other gateways have
	// stored. The vendor's first retry comes 30 seconds after an attempt.
	recallInterval = time.Second
)

// recall learns which events are stored. In the mode store the database itself
// knows.
func (in *Inbox) recall(ctx context.Context) error {
	if in.Mode == modeStore {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, recallTimeout)
	defer cancel()
	return in.state.calls.recall(ctx, in.queue.Queue, time.Duration(in.Dedupe))
}

// keepRecalling goes on with that until all is known, or, where other gateways
// may store events too, until ctx ends.
func (in *Inbox) keepRecalling(ctx context.Context, err error) {
	failed := false
	for in.Mode == modeRescue && (err != nil || in.queue.SharedWithOthers()) {
		if err != nil && !failed && ctx.Err() == nil {
			in.logger.Error("what is stored cannot be read; until it can, an event that is there may be delivered twice if it comes again",
				zap.String("inbox", in.Name), zap.Error(err))
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return
		case <-time.After(recallInterval):
		}
		err = in.recall(ctx)
	}
}
