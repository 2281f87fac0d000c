package main

import (
	"fmt"
	"slices"
	"time"
)

// repeats counts how often events were processed once more, by the reason.
type repeats struct {
	All            int `json:"all"`
	Unacknowledged int `json:"unacknowledged"` // the backend had processed the event, but its 200 never reached a gateway
	Killed         int `json:"killed"`         // the gateway was killed before it could write down the backend's 200
	Unexplained    int `json:"unexplained"`

	details []string
}

// reason is why a visit could be followed by another one.
type reason int

const (
	unacknowledged reason = iota
	killed
	unexplained // worst
)

const (
	// toRecord is how long a gateway may take to write down a backend's answer.
	toRecord = 500 * time.Millisecond
	// toNotice is how long the backend may take to see that a gateway has hung up.
	toNotice = 100 * time.Millisecond
)

// add adds the repeats of one event. A repeat needs an explanation for every earlier time that the event was processed.
func (r *repeats) add(e *entry, downs []outage) {
	var done []*visit
	for _, v := range e.visits {
		if !v.processed.IsZero() {
			done = append(done, v)
		}
	}
	slices.SortFunc(done, func(a, b *visit) int { return a.began.Compare(b.began) })
	for i := 1; i < len(done); i++ {
		worst := unacknowledged
		for _, before := range done[:i] {
			worst = max(worst, before.explain(done[i], downs))
		}
		r.count(worst, e, done)
	}
}

// explain says why the event could come again as next, although this visit had processed it.
func (v *visit) explain(next *visit, downs []outage) reason {
	end := v.released.Add(toRecord)
	wasKilled := slices.ContainsFunc(downs, func(o outage) bool {
		return !o.dead.Before(v.began) && o.from.Before(end) && o.from.Before(next.began)
	})
	switch {
	case wasKilled:
		return killed
	case v.acknowledged, v.released.After(next.began.Add(toNotice)): // known to be done, or to be under way
		return unexplained
	}
	return unacknowledged
}

func (r *repeats) count(why reason, e *entry, done []*visit) {
	r.All++
	switch why {
	case unacknowledged:
		r.Unacknowledged++
	case killed:
		r.Killed++
	case unexplained:
		r.Unexplained++
		r.details = append(r.details, "no kill explains the visits of event "+e.event.Name+":"+story(done))
	}
}

// story tells of visits.
func story(visits []*visit) (text string) {
	for _, v := range visits {
		text += fmt.Sprintf(" [%s–%s, processed %s, acknowledged %t, from the inbox %t]",
			timeOfDay(v.began), timeOfDay(v.released), timeOfDay(v.processed), v.acknowledged, v.later)
	}
	return text
}
