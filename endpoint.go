package klink

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/klinkgate/caddy-klink/verifier"
)

// endpoints holds what each endpoint has seen, by its name. An entry outlives
// the reload of a configuration that keeps the endpoint.
var endpoints = caddy.NewUsagePool()

// What an endpoint keeps at the most.
const (
	keptRefusals    = 50
	keptHeaderNames = 32
	keptEventNames  = 32
	keptForms       = 64
	otherEvents     = "other"
)

// idleAfter is when a secret that is not used any more can go.
const idleAfter = 24 * time.Hour

// endpoint is what one endpoint has seen. Its memory is bounded, whatever
// arrives.
type endpoint struct {
	name       string
	budget     *budget
	histograms *histograms

	mu           sync.Mutex
	since        time.Time
	settings     []*endpointSettings
	observing    bool
	accepted     uint64
	refused      map[verifier.Reason]uint64
	observed     map[verifier.Reason]uint64 // let through although they would be refused
	lastVerified time.Time
	secrets      map[string]*secretUse
	forms        map[verifier.Form]*uint64
	events       map[string]*eventCount
	statuses     map[int]uint64
	refusals     []Refusal // a ring; next is the oldest once it is full
	next         int
}

// secretUse is how often, and when last, a secret gave the signature.
type secretUse struct {
	Matches  uint64    `json:"matches"`
	LastUsed time.Time `json:"last_used,omitzero"`
	toldIdle bool
}

// Refusal is a refused delivery as an operator sees it. It holds no body and no
// header's value.
type Refusal struct {
	Time        time.Time       `json:"time"`
	ClientIP    netip.Addr      `json:"client_ip"`
	Reason      verifier.Reason `json:"reason"`
	Detail      string          `json:"detail,omitempty"`
	Size        int64           `json:"size"` // of the body in bytes; -1 when it was not announced
	Event       string          `json:"event,omitempty"`
	HeaderNames []string        `json:"header_names"`
	Hint        string          `json:"hint,omitempty"`
	Observed    bool            `json:"observed,omitempty"` // let through in observe mode
}

func newEndpoint(name string) *endpoint {
	return &endpoint{
		name:     name,
		since:    time.Now(),
		refused:  make(map[verifier.Reason]uint64),
		observed: make(map[verifier.Reason]uint64),
		secrets:  make(map[string]*secretUse),
		forms:    make(map[verifier.Form]*uint64),
		events:   make(map[string]*eventCount),
		statuses: make(map[int]uint64),

		budget:     newBudget(),
		histograms: newHistograms(name),
	}
}

// answer notes what the handlers behind answered. Statuses outside HTTP's range
// count as 0.
func (e *endpoint) answer(status int) {
	if status < 100 || status > 599 {
		status = 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.statuses[status]++
}

func (e *endpoint) lastVerifiedUnix() float64 {
	if e.lastVerified.IsZero() {
		return 0
	}
	return float64(e.lastVerified.UnixMilli()) / 1000
}

// Destruct implements caddy.Destructor.
func (e *endpoint) Destruct() error {
	e.budget.close()
	return nil
}

// endpointSettings is what a configuration says about an endpoint.
type endpointSettings struct {
	observing   bool
	secretNames []string
	limit       int
	window      time.Duration
	crossed     func(budgetLevel, BudgetStatus)

	config  *prometheus.Registry // every configuration has its own
	written string               // the handler's JSON
	unnamed bool
}

// adopt makes s the settings in force until they are dropped. It fails when the
// same configuration has another endpoint of that name; a site on two ports has
// one endpoint twice, with the same settings.
func (e *endpoint) adopt(s *endpointSettings) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, other := range e.settings {
		if other.config == s.config && s.config != nil && (other.written != s.written || s.unnamed) {
			return fmt.Errorf("name: another endpoint of this configuration is called %s too: give each a name of its own", e.name)
		}
	}
	e.settings = append(e.settings, s)
	e.apply()
	return nil
}

// drop forgets s. When a new configuration fails to load, this puts the one
// before it in force again.
func (e *endpoint) drop(s *endpointSettings) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settings = slices.DeleteFunc(e.settings, func(other *endpointSettings) bool { return other == s })
	e.apply()
}

// apply puts the latest settings in force, and keeps what has been seen of every
// secret that some settings name. It must be called with the lock held.
func (e *endpoint) apply() {
	if len(e.settings) == 0 {
		return
	}
	latest := e.settings[len(e.settings)-1]
	e.observing = latest.observing
	e.budget.configure(latest.limit, latest.window, latest.crossed)
	secrets := make(map[string]*secretUse)
	for _, s := range e.settings {
		for _, name := range s.secretNames {
			if secrets[name] = e.secrets[name]; secrets[name] == nil {
				secrets[name] = new(secretUse)
			}
		}
	}
	e.secrets = secrets
}

// accept notes a verified delivery. It returns whether its secret was used for
// the first time, and which secrets have come out of use: used before, but not
// for a day. Secret is empty without a signature.
func (e *endpoint) accept(secret, event string, form *verifier.Form, now time.Time) (first bool, idle []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.accepted++
	e.lastVerified = now
	e.countEvent(event)
	use := e.secrets[secret]
	if use == nil {
		return false, nil
	}
	if count := e.forms[*form]; count != nil {
		*count++
	} else if len(e.forms) < keptForms {
		e.forms[*form] = new(uint64(1))
	}
	use.Matches++
	use.LastUsed = now
	use.toldIdle = false
	return use.Matches == 1, e.idleSecrets(now)
}

// idleSecrets returns those that have come out of use since it was last called.
// It must be called with the lock held, right after one was used.
func (e *endpoint) idleSecrets(now time.Time) (idle []string) {
	if len(e.secrets) == 1 {
		return nil // the one in use
	}
	for name, other := range e.secrets {
		if other.Matches > 0 && !other.toldIdle && now.Sub(other.LastUsed) >= idleAfter {
			other.toldIdle = true
			idle = append(idle, name)
		}
	}
	return idle
}

// eventCount counts deliveries of one event.
type eventCount struct {
	name  string
	count uint64
}

// countEvent must be called with the lock held.
func (e *endpoint) countEvent(name string) {
	if name == "" {
		return
	}
	known := e.events[name]
	if known == nil && len(e.events) >= keptEventNames {
		name = otherEvents
		known = e.events[name]
	}
	if known == nil {
		known = &eventCount{name: name}
		e.events[name] = known
	}
	known.count++
}

// eventName returns a copy of name: the one that is counted already, where there
// is one.
func (e *endpoint) eventName(name string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known := e.events[name]; known != nil {
		return known.name
	}
	return strings.Clone(name)
}

// refuse notes a refused delivery.
func (e *endpoint) refuse(r Refusal) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.Observed {
		e.observed[r.Reason]++
	} else {
		e.refused[r.Reason]++
	}
	if len(e.refusals) < keptRefusals {
		e.refusals = append(e.refusals, r)
		return
	}
	e.refusals[e.next] = r
	e.next = (e.next + 1) % keptRefusals
}

// hint adds what a diagnosis has found to the refusal of that time.
func (e *endpoint) hint(at time.Time, text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.refusals {
		if e.refusals[i].Time.Equal(at) {
			e.refusals[i].Hint = text
		}
	}
}

// Status is what an endpoint has seen, for the admin API and the command line.
type Status struct {
	Name         string                     `json:"name"`
	Since        time.Time                  `json:"since"`
	Mode         string                     `json:"mode"`
	Accepted     uint64                     `json:"accepted"`
	Refused      map[verifier.Reason]uint64 `json:"refused"`
	Observed     map[verifier.Reason]uint64 `json:"observed,omitempty"`
	LastVerified time.Time                  `json:"last_verified,omitzero"`
	ErrorBudget  BudgetStatus               `json:"error_budget"`
	Secrets      map[string]secretUse       `json:"secrets,omitempty"`
	Forms        map[string]uint64          `json:"forms,omitempty"`
	Events       map[string]uint64          `json:"events,omitempty"`
	Refusals     []Refusal                  `json:"refusals"` // the latest first
}

func (e *endpoint) status() Status {
	budget := e.budget.status()
	e.mu.Lock()
	defer e.mu.Unlock()
	s := Status{
		Mode: modeName(e.observing),
		Name: e.name, Since: e.since, Accepted: e.accepted, LastVerified: e.lastVerified,
		Refused: maps.Clone(e.refused), Observed: maps.Clone(e.observed),
		ErrorBudget: budget,
		Secrets:     make(map[string]secretUse, len(e.secrets)),
		Forms:       make(map[string]uint64, len(e.forms)),
		Events:      make(map[string]uint64, len(e.events)),
	}
	for name, use := range e.secrets {
		s.Secrets[name] = *use
	}
	for name, event := range e.events {
		s.Events[name] = event.count
	}
	for form, n := range e.forms {
		s.Forms[form.String()] = *n
	}
	s.Refusals = append(slices.Clone(e.refusals[e.next:]), e.refusals[:e.next]...)
	slices.Reverse(s.Refusals)
	return s
}

func modeName(observing bool) string {
	if observing {
		return "observe"
	}
	return "enforce"
}
