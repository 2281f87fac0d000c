package main

import (
	"slices"
	"testing"
	"time"
)

func TestScheduleIsAwayForItsShare(t *testing.T) {
	for seed := range uint64(50) {
		phases := newSchedule(dice(seed, forPhases), time.Hour, 4*time.Minute, 0.4)
		var start, absent time.Duration
		seen := map[manner]bool{}
		for _, p := range phases {
			if slices.Contains(away, p.manner) {
				absent += p.end - start
			}
			if p.end <= start {
				t.Fatalf("seed %d: a phase ends at %v, before its start at %v", seed, p.end, start)
			}
			seen[p.manner] = true
			start = p.end
		}
		if got := absent.Hours(); got < 0.399 || got > 0.401 || start < time.Hour-time.Second || start > time.Hour {
			t.Errorf("seed %d: away for %v of %v", seed, absent, start)
		}
		if !seen[fine] || !seen[hangs] || !seen[fails] || !seen[restarts] || !seen[refuses] || phases[0].manner != fine {
			t.Errorf("seed %d: begins with %q and has %v", seed, phases[0].manner, seen)
		}
	}
	if got := newSchedule(dice(1, forPhases), time.Hour, time.Minute, 0); len(got) != 1 || got[0] != (phase{fine, time.Hour}) {
		t.Errorf("never away: %v", got)
	}
}

func TestScheduleRepeatsWithItsSeed(t *testing.T) {
	schedule := func(seed uint64) []phase {
		return newSchedule(dice(seed, forPhases), time.Hour, 4*time.Minute, 0.4)
	}
	if !slices.Equal(schedule(1), schedule(1)) || slices.Equal(schedule(1), schedule(2)) {
		t.Error("the seed does not decide")
	}
}

func TestDisturbancesKeepApart(t *testing.T) {
	for seed := range uint64(50) {
		all := newDisturbances(dice(seed, forDisturbances), time.Hour, 10, 2)
		databases := 0
		last := -time.Minute
		for _, d := range all {
			if d.at-last < time.Minute || d.at > time.Hour {
				t.Errorf("seed %d: at %v after %v", seed, d.at, last)
			}
			last = d.at
			if d.database {
				databases++
			}
		}
		if len(all) != 12 || databases != 2 {
			t.Errorf("seed %d: %d, %d of them about the database", seed, len(all), databases)
		}
	}
}

func TestEveryConductTellsTheTruth(t *testing.T) {
	for _, m := range append([]manner{fine, slow}, away...) {
		for seed := range uint64(200) {
			c := conductIn(m, dice(seed, forConduct))
			if c.answer == 200 && !c.processes || c.answer == half && !c.processes {
				t.Errorf("%s: answers 200 without having processed: %+v", m, c)
			}
			if present := m == fine || m == slow; present && (c.answer != 200 || c.before >= 8*time.Second) {
				t.Errorf("%s: %+v", m, c)
			}
		}
	}
}
