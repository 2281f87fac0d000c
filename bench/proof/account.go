package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/klinkgate/caddy-klink/sender"
)

// result is what became of a contender's events.
type result struct {
	Contender string `json:"contender"`
	Events    int    `json:"events"`
	Sent      int    `json:"sent"`     // with at least one attempt
	Accepted  int    `json:"accepted"` // answered with 200
	Processed int    `json:"processed"`

	LostAfter200      int `json:"lost_after_200"`
	Lost              int `json:"lost"`                 // in all: never processed
	LostToDeadGateway int `json:"lost_to_dead_gateway"` // every attempt met a gateway that was down
	LostUnsent        int `json:"lost_unsent"`          // the endpoint was off before the first attempt

	Repeats repeats  `json:"repeats"`
	Altered int      `json:"altered"` // requests that were not what K-LINK had sent
	Details []string `json:"details,omitempty"`

	Attempts       int            `json:"attempts"`
	Errors         int            `json:"errors"`                // attempts that K-LINK counts as such
	ErrorsDown     int            `json:"errors_down"`           // those while the gateway was down
	ErrorsDatabase int            `json:"errors_database"`       // those within a second after the database began to restart
	ErrorKinds     map[string]int `json:"error_kinds,omitempty"` // by status, or by why there was none
	ErrorsHour     int            `json:"errors_hour"`           // the most within one hour of K-LINK's
	Deactivated    bool           `json:"deactivated"`           // the endpoint
	Kills          int            `json:"kills"`                 // of the gateway
	WorksAgain     bool           `json:"works_again"`           // after the disk had been full
	ErrorsFull     int            `json:"errors_full"`           // answers other than 200 while the disk was full
	PassedFull     int            `json:"passed_full"`           // events that passed through then
	LongestDown    seconds        `json:"longest_down"`          // of the gateway, until it took connections again

	Order   order    `json:"order"`
	Left    int      `json:"left"`    // in the inbox at the end
	Drained *seconds `json:"drained"` // how long the rest took after the last event; null: too long
	Healthy latency  `json:"healthy"`
}

// account looks at every event. Nothing may be under way any more.
func (t *trial) account() result {
	l := t.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	r := result{
		Contender: t.name, Events: len(l.entries), Altered: l.altered, Details: slices.Clone(l.changes),
		ErrorKinds: map[string]int{}, Deactivated: t.klink.Deactivated(), Kills: len(t.gateway.downs), Order: orderOf(l.entries),
	}
	for _, down := range t.gateway.downs {
		r.LongestDown.Duration = max(r.LongestDown.Duration, down.to.Sub(down.from))
	}
	errors := make([]time.Time, 0, len(l.entries))
	for _, e := range l.entries {
		r.addEvent(e, t.gateway.downs)
		errors = append(errors, r.addAttempts(e, t.gateway.downs, t.restarted)...)
		r.Repeats.add(e, t.gateway.downs)
	}
	r.Details = append(r.Details, r.Repeats.details...)
	r.ErrorsHour = most(errors, t.scale.of(sender.ErrorWindow))
	return r
}

// addEvent says whether the event is lost, and to whom.
func (r *result) addEvent(e *entry, downs []outage) {
	accepted := e.delivery.Outcome == sender.Delivered
	if len(e.delivery.Attempts) > 0 {
		r.Sent++
	}
	if accepted {
		r.Accepted++
	}
	if e.processed() {
		r.Processed++
		return
	}
	r.Lost++
	switch {
	case accepted:
		r.LostAfter200++
		r.Details = append(r.Details, fmt.Sprintf("event %s got a 200 at %s and was lost", e.event.Name, timeOfDay(e.accepted())))
	case len(e.delivery.Attempts) == 0:
		r.LostUnsent++
	case !slices.ContainsFunc(e.delivery.Attempts, func(a sender.Attempt) bool { return !metDead(a, downs) }):
		r.LostToDeadGateway++
	}
}

// addAttempts returns when those ended that K-LINK counts as errors.
func (r *result) addAttempts(e *entry, downs []outage, restarted []time.Time) (errors []time.Time) {
	r.Attempts += len(e.delivery.Attempts)
	for _, a := range e.delivery.Attempts {
		if a.Status == 200 {
			continue
		}
		r.Errors++
		end := a.Start.Add(a.Latency)
		errors = append(errors, end)
		r.ErrorKinds[kind(a)]++
		switch {
		case metDead(a, downs):
			r.ErrorsDown++
		case slices.ContainsFunc(restarted, func(at time.Time) bool { return end.After(at) && a.Start.Before(at.Add(toRecover)) }):
			r.ErrorsDatabase++
		}
	}
	return errors
}

// toRecover is how long after the beginning of a restart of the database errors are put down to it.
const toRecover = time.Second

func kind(a sender.Attempt) string {
	if a.Status == 0 {
		return a.Err.Error()
	}
	return fmt.Sprint("status ", a.Status)
}

// accepted returns when K-LINK had its 200.
func (e *entry) accepted() time.Time {
	last := e.delivery.Attempts[len(e.delivery.Attempts)-1]
	return last.Start.Add(last.Latency)
}

// metDead says whether an attempt got no answer because the gateway was down for a part of it.
func metDead(a sender.Attempt, downs []outage) bool {
	end := a.Start.Add(a.Latency)
	return a.Status == 0 && slices.ContainsFunc(downs, func(o outage) bool { return o.from.Before(end) && o.to.After(a.Start) })
}

// most returns how many of the moments fall within one window at the most.
func most(moments []time.Time, window time.Duration) int {
	slices.SortFunc(moments, time.Time.Compare)
	first, most := 0, 0
	for i, m := range moments {
		for m.Sub(moments[first]) >= window {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// timeOfDay is how moments are written: the report and the gateways' logs can be laid side by side.
func timeOfDay(t time.Time) string { return t.UTC().Format("15:04:05.000") }
