package main

import (
	"errors"
	"testing"
	"time"

	"github.com/klinkgate/caddy-klink/sender"
)

var noon = time.Date(2026, 1, 9, 12, 0, 0, 0, time.UTC)

// at is a moment of a story, in milliseconds.
func at(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }

// done is a visit in which the backend processed the event.
func done(began, released int, acknowledged bool) *visit {
	return &visit{began: at(began), processed: at(began), released: at(released), acknowledged: acknowledged}
}

func TestRepeatsAreExplained(t *testing.T) {
	gone := &visit{began: at(0), released: at(10)} // without being processed
	for _, tt := range []struct {
		name   string
		visits []*visit
		kills  []int
		want   repeats
	}{
		{"once", []*visit{done(0, 10, true)}, nil, repeats{}},
		{"not processed at first", []*visit{gone, done(100, 110, true)}, nil, repeats{}},
		{"the 200 never came", []*visit{done(0, 10, false), done(100, 110, true)}, nil, repeats{All: 1, Unacknowledged: 1}},
		{"twice it never came", []*visit{done(0, 10, false), done(100, 110, false), done(200, 210, true)}, nil, repeats{All: 2, Unacknowledged: 2}},
		{"after a 200", []*visit{done(0, 10, true), done(100, 110, true)}, nil, repeats{All: 1, Unexplained: 1}},
		{"after a 200, out of order", []*visit{done(100, 110, true), done(0, 10, true)}, nil, repeats{All: 1, Unexplained: 1}},
		{"after a 200 and a lost one", []*visit{done(0, 10, true), done(100, 110, false), done(200, 210, true)}, []int{300}, repeats{All: 2, Unexplained: 2}},
		{"killed meanwhile", []*visit{done(0, 10, false), done(100, 110, true)}, []int{5}, repeats{All: 1, Killed: 1}},
		{"killed before the record", []*visit{done(0, 10, true), done(900, 910, true)}, []int{400}, repeats{All: 1, Killed: 1}},
		{"killed long after", []*visit{done(0, 10, true), done(900, 910, true)}, []int{600}, repeats{All: 1, Unexplained: 1}},
		{"killed as it came", []*visit{done(10, 20, true), done(100, 110, true)}, []int{8}, repeats{All: 1, Killed: 1}},
		{"killed before", []*visit{done(10, 20, true), done(100, 110, true)}, []int{5}, repeats{All: 1, Unexplained: 1}},
		{"killed after the repeat", []*visit{done(0, 10, true), done(100, 110, true)}, []int{200}, repeats{All: 1, Unexplained: 1}},
		{"two at the same time", []*visit{done(0, 300, false), done(100, 110, true)}, nil, repeats{All: 1, Unexplained: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var downs []outage
			for _, kill := range tt.kills {
				downs = append(downs, outage{at(kill), at(kill + 3), at(kill + 50)})
			}
			var got repeats
			got.add(&entry{visits: tt.visits}, downs)
			if len(got.details) != got.Unexplained {
				t.Errorf("details %q", got.details)
			}
			got.details = nil
			if got.All != tt.want.All || got.Unacknowledged != tt.want.Unacknowledged || got.Killed != tt.want.Killed || got.Unexplained != tt.want.Unexplained {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

// attempt is one of K-LINK's that took 10 ms; without a status it got no answer.
func attempt(start, status int) sender.Attempt {
	a := sender.Attempt{Start: at(start), Latency: 10 * time.Millisecond, Status: status}
	if status == 0 {
		a.Err = errors.New("no answer")
	}
	return a
}

func TestLossesAreToldApart(t *testing.T) {
	downs := []outage{{at(0), at(3), at(100)}, {at(1000), at(1003), at(1100)}}
	for _, tt := range []struct {
		name     string
		outcome  sender.Outcome
		attempts []sender.Attempt
		visits   []*visit
		want     result
	}{
		{"processed", sender.Delivered, []sender.Attempt{attempt(0, 200)}, []*visit{done(0, 1, true)}, result{Sent: 1, Accepted: 1, Processed: 1}},
		{"processed, but failed", sender.Failed, []sender.Attempt{attempt(0, 500)}, []*visit{done(0, 1, true)}, result{Sent: 1, Processed: 1}},
		{"lost after a 200", sender.Delivered, []sender.Attempt{attempt(0, 200)}, []*visit{{began: at(0)}}, result{Sent: 1, Accepted: 1, Lost: 1, LostAfter200: 1}},
		{"failed", sender.Failed, []sender.Attempt{attempt(50, 0), attempt(500, 0)}, nil, result{Sent: 1, Lost: 1}},
		{"dead each time", sender.Failed, []sender.Attempt{attempt(50, 0), attempt(1090, 0)}, nil, result{Sent: 1, Lost: 1, LostToDeadGateway: 1}},
		{"answered while it went down", sender.Failed, []sender.Attempt{attempt(50, 503)}, nil, result{Sent: 1, Lost: 1}},
		{"not sent", sender.Deactivated, nil, nil, result{Lost: 1, LostUnsent: 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got result
			got.addEvent(&entry{delivery: sender.Delivery{Outcome: tt.outcome, Attempts: tt.attempts}, visits: tt.visits}, downs)
			if (len(got.Details) > 0) != (got.LostAfter200 > 0) {
				t.Errorf("details %q", got.Details)
			}
			if got.Sent != tt.want.Sent || got.Accepted != tt.want.Accepted || got.Processed != tt.want.Processed || got.Lost != tt.want.Lost ||
				got.LostAfter200 != tt.want.LostAfter200 || got.LostToDeadGateway != tt.want.LostToDeadGateway || got.LostUnsent != tt.want.LostUnsent {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestMostErrorsWithinAWindow(t *testing.T) {
	moments := []time.Time{at(500), at(0), at(10), at(99), at(100), at(510)}
	if got := most(moments, 100*time.Millisecond); got != 3 {
		t.Errorf("%d, want 3: at 0, 10 and 99, or at 10, 99 and 100", got)
	}
	if got := most(nil, time.Second); got != 0 {
		t.Errorf("%d without any", got)
	}
}

func TestOrderSeesOvertaking(t *testing.T) {
	// Each was sent 10 ms after the one before and answered 5 ms later.
	waiting := func(n, delivered int) *entry {
		a := sender.Attempt{Start: at(10 * n), Latency: 5 * time.Millisecond, Status: 200}
		return &entry{
			delivery: sender.Delivery{Attempts: []sender.Attempt{a}},
			visits:   []*visit{{began: at(delivered), later: true, id: "one"}},
		}
	}
	var entries []*entry
	for n := range 20 {
		entries = append(entries, waiting(n, 1000+n))
	}
	if got := orderOf(entries); got != (order{Later: 20}) {
		t.Errorf("in order: %+v", got)
	}
	entries[0] = waiting(0, 1010) // 10 others went before
	if got := orderOf(entries); got != (order{Later: 20, Overtaken: 1, Worst: 10}) {
		t.Errorf("the first is the eleventh: %+v", got)
	}
	live := &visit{began: at(1), released: at(185), id: "one"} // was under way for so long
	entries[0].visits = append([]*visit{live}, entries[0].visits...)
	if got := orderOf(entries); got != (order{Later: 20, Worst: 0}) {
		t.Errorf("it could not come earlier: %+v", got)
	}
	live.id = "another"
	if got := orderOf(entries); got.Unstable != 1 {
		t.Errorf("another id: %+v", got)
	}
}
