package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/klinkgate/caddy-klink/sender"
)

// ledger knows of every event what K-LINK and the backend have seen of it.
type ledger struct {
	expect expectation

	mu      sync.Mutex
	entries []*entry // as they were sent
	byID    map[string]*entry
	altered int      // requests that were not as they had been sent
	changes []string // what was wrong with the first of them
}

// entry is one event.
type entry struct {
	event    sender.Event    // its name is the id
	delivery sender.Delivery // by K-LINK
	visits   []*visit        // to the backend
}

// visit is one request of the gateway for an event.
type visit struct {
	id           string // of the delivery, "" without an inbox
	later        bool   // it comes from the inbox
	began        time.Time
	processed    time.Time // zero when the backend has not processed the event
	acknowledged bool      // the backend has answered 200, to a gateway that was still there
	released     time.Time // when the answer was out or the gateway gone
}

// newLedger opens an entry for each event.
func newLedger(expect expectation, events []sender.Event) *ledger {
	l := &ledger{expect: expect, byID: map[string]*entry{}}
	for _, event := range events {
		e := &entry{event: event}
		l.entries = append(l.entries, e)
		l.byID[event.Name] = e
	}
	return l
}

// identified returns n events that are named after the unique id in their data.
func identified(seed uint64, n int) ([]sender.Event, error) {
	generator, err := sender.NewGenerator(seed)
	if err != nil {
		return nil, err
	}
	events := make([]sender.Event, n)
	seen := map[string]bool{}
	for i := range events {
		event := generator.Event(i)
		id := identity(event.Body)
		if id == "" || seen[id] {
			return nil, fmt.Errorf("event %d has no id of its own: %q", i, id)
		}
		seen[id] = true
		events[i] = sender.Event{Name: id, Body: event.Body}
	}
	return events, nil
}

// identity returns the id in an event's data, or "".
func identity(body []byte) string {
	var envelope struct {
		Data struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	_ = json.Unmarshal(body, &envelope) // what cannot be read has no id
	return envelope.Data.ID
}

// report takes what became of an event at K-LINK.
func (l *ledger) report(d sender.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.byID[d.Event].delivery = d
}

// maxChanges is how many alterations are described.
const maxChanges = 10

// arrive begins a visit. It returns nil when the request is not what was sent.
func (l *ledger) arrive(r *http.Request, body []byte) *visit {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.byID[identity(body)]
	if change := l.expect.change(r, body, e); change != "" {
		l.altered++
		if len(l.changes) < maxChanges {
			l.changes = append(l.changes, change)
		}
		return nil
	}
	v := &visit{began: time.Now(), id: r.Header.Get("Klink-Delivery-Id"), later: r.Header.Get("Klink-Delivery-Attempt") != ""}
	e.visits = append(e.visits, v)
	return v
}

func (l *ledger) process(v *visit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v.processed = time.Now()
}

func (l *ledger) acknowledge(v *visit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v.acknowledged = true
}

func (l *ledger) release(v *visit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if v.released.IsZero() {
		v.released = time.Now()
	}
}

// done says whether the backend has processed all of the entries.
func (l *ledger) done(entries []*entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !slices.ContainsFunc(entries, func(e *entry) bool { return !e.processed() })
}

// processed says whether the backend has processed the event.
func (e *entry) processed() bool {
	return slices.ContainsFunc(e.visits, func(v *visit) bool { return !v.processed.IsZero() })
}
