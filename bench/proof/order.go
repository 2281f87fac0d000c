package main

import (
	"slices"
	"time"
)

// order says whether the inbox delivers what it has stored in the order in which it came.
type order struct {
	Later     int `json:"later"`     // events that came from the inbox
	Overtaken int `json:"overtaken"` // those that more younger ones overtook than are delivered at once
	Worst     int `json:"worst"`     // how many overtook one event at the most
	Unstable  int `json:"unstable"`  // events with more than one Klink-Delivery-Id
}

// turn is when an event was sent, from when on it waited in the inbox, and when it was first delivered from there.
type turn struct{ sent, waited, delivered time.Time }

// orderOf looks at first deliveries from the inbox only: what fails then comes again later, as it should.
func orderOf(entries []*entry) (o order) {
	var turns []turn
	for _, e := range entries {
		if !e.stable() {
			o.Unstable++
		}
		if t := e.turn(); !t.delivered.IsZero() {
			turns = append(turns, t)
		}
	}
	slices.SortFunc(turns, func(a, b turn) int { return a.delivered.Compare(b.delivered) })
	o.Later = len(turns)
	for i, t := range turns {
		overtakers := 0
		for _, before := range turns[:i] {
			if before.sent.After(t.waited) {
				overtakers++
			}
		}
		if overtakers > concurrency {
			o.Overtaken++
		}
		o.Worst = max(o.Worst, overtakers)
	}
	return o
}

// turn returns the zero turn for an event that the inbox did not deliver.
func (e *entry) turn() turn {
	first := slices.IndexFunc(e.visits, func(v *visit) bool { return v.later })
	if first < 0 || len(e.delivery.Attempts) == 0 {
		return turn{}
	}
	return e.firstTurn(e.visits[first])
}

// stable says whether all visits have the same delivery's id.
func (e *entry) stable() bool {
	return !slices.ContainsFunc(e.visits, func(v *visit) bool { return v.id != e.visits[0].id })
}

// firstTurn is about the first visit from the inbox. While a live visit went on, the event did not wait.
func (e *entry) firstTurn(first *visit) turn {
	t := turn{sent: e.delivery.Attempts[0].Start, waited: e.accepted(), delivered: first.began}
	for _, v := range e.visits {
		if v.began.Before(first.began) && v.released.After(t.waited) {
			t.waited = v.released
		}
	}
	return t
}
