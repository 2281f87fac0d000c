package queue

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

var gatePauses = []time.Duration{time.Second, 2 * time.Second, time.Hour}

func TestGateCloses(t *testing.T) {
	for _, c := range []struct {
		name     string
		outcomes []Outcome
		open     bool
	}{
		{"no: nothing has failed", nil, true},
		{"no: two failures", []Outcome{Failed, Failed}, true},
		{"after three failures in a row", []Outcome{Failed, Failed, Failed}, false},
		{"no: a success between them", []Outcome{Failed, Failed, Delivered, Failed, Failed}, true},
		{"no: the backend has rejected one between them", []Outcome{Failed, Failed, Rejected, Failed, Failed}, true},
		{"no: rejections only", []Outcome{Rejected, Rejected, Rejected, Rejected}, true},
		{"at once when nobody is there", []Outcome{Unreachable}, false},
		{"and opens when one is delivered", []Outcome{Unreachable, Delivered}, true},
		{"and opens when one is rejected", []Outcome{Unreachable, Rejected}, true},
		{"and stays closed when another one fails", []Outcome{Unreachable, Failed}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate(gatePauses)
				for _, o := range c.outcomes {
					g.report(o)
				}
				expect(t, "open", g.open(), c.open)
				expect(t, "may enter", g.tryEnter(1) != nil, c.open)
			})
		})
	}
}

func TestGateTellsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(gatePauses)
		var got []change
		for _, o := range []Outcome{Delivered, Unreachable, Unreachable, Delivered, Delivered, Failed, Failed, Failed, Failed} {
			got = append(got, g.report(o))
		}
		expect(t, "changes", got, []change{same, closed, same, opened, same, same, same, closed, same})
	})
}

// farOff is a hold that does not end in a test.
func farOff() time.Time { return time.Now().Add(1000 * time.Hour) }

func TestGateTriesOneAtItsPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(gatePauses)
		began := time.Now()
		g.report(Unreachable)
		var at []time.Duration
		for len(at) < 5 {
			p := g.enter(t.Context(), nil, 1, farOff())
			expect(t, "probe", p.probe, true)
			at = append(at, time.Since(began))
			expect(t, "another one beside it", g.tryEnter(0), "<nil>")
			g.leave(p, Unreachable)
		}
		s := time.Second
		expect(t, "tried at", at, []time.Duration{s, 3 * s, 33 * s, 63 * s, 93 * s}) // no pause is longer than 30 s
	})
}

func TestGateHurries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(gatePauses)
		for range 3 {
			g.report(Unreachable)
			time.Sleep(time.Hour) // so that the next failure is not a late one
		}
		g.report(Unreachable)
		began := time.Now()
		time.AfterFunc(time.Second, g.hurry)
		p := g.enter(t.Context(), nil, 1, farOff())
		expect(t, "tried after", time.Since(began), time.Second)
		g.leave(p, Unreachable)
		g.enter(t.Context(), nil, 1, farOff())
		expect(t, "and again after", time.Since(began), time.Second+longestProbePause)
		g.report(Delivered)
		g.hurry()
		expect(t, "open", g.open(), true)
	})
}

// TestGateHurriesOnceMore holds that a try which began before an operator had mended the
// backend is not taken for the one that the operator wants.
func TestGateHurriesOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(gatePauses)
		g.report(Unreachable)
		p := g.enter(t.Context(), nil, 1, farOff())
		g.hurry()
		g.leave(p, Failed)
		began := time.Now()
		p = g.enter(t.Context(), nil, 1, farOff())
		expect(t, "tried after", time.Since(began), time.Duration(0))
		g.leave(p, Failed)
		g.enter(t.Context(), nil, 1, farOff())
		expect(t, "and then after", time.Since(began), longestProbePause)
	})
}

func TestGateLateFailuresCountForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(gatePauses)
		var passes []*Pass
		for id := range int64(8) {
			passes = append(passes, g.enter(t.Context(), nil, id, farOff()))
		}
		for _, p := range passes { // all were under way when the backend went
			g.leave(p, Unreachable)
		}
		began := time.Now()
		g.enter(t.Context(), nil, 1, farOff())
		expect(t, "tried after", time.Since(began), time.Second)
	})
}

func TestGateCountsAnewOnceItWasOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate([]time.Duration{time.Minute})
		g.report(Unreachable)
		g.report(Delivered) // one that was under way; the minute is not over
		g.report(Unreachable)
		expect(t, "open", g.open(), false)
	})
}

func TestGateTriesTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(gatePauses)
		g.report(Unreachable)
		entered := make(chan int64, 20)
		for id := int64(20); id > 0; id-- { // the oldest comes last
			go func() {
				p := g.enter(t.Context(), nil, id, farOff())
				entered <- id
				time.Sleep(time.Minute)
				g.leave(p, Delivered)
			}()
			synctest.Wait()
		}
		time.Sleep(30 * time.Second)
		expect(t, "first", <-entered, 1)
		expect(t, "beside it", len(entered), 0)
		time.Sleep(time.Minute)
		expect(t, "the others follow", len(entered), 19)
		time.Sleep(time.Hour)
	})
}

func TestGateTriesTheNextWhenTheOldestLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate([]time.Duration{10 * time.Second})
		g.report(Unreachable)
		began := time.Now()
		time.AfterFunc(15*time.Second, func() { g.enter(t.Context(), nil, 2, farOff()) })
		oldest := g.enter(t.Context(), nil, 1, farOff())
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		gone := make(chan *Pass)
		go func() { gone <- g.enter(ctx, nil, 0, farOff()) }()
		time.Sleep(20 * time.Second)
		expect(t, "the one that has left", <-gone, "<nil>")
		g.abandon(oldest)
		synctest.Wait()
		expect(t, "the next one is tried", g.probing, true)
		expect(t, "after", time.Since(began), 30*time.Second)
	})
}

func TestGateGivesUpWaiting(t *testing.T) {
	for _, c := range []struct {
		name string
		wait func(ctx context.Context, g *gate, cancel func(), closing chan struct{}) *Pass
		want time.Duration
	}{
		{"after hold", func(ctx context.Context, g *gate, _ func(), closing chan struct{}) *Pass {
			return g.enter(ctx, closing, 1, time.Now().Add(3*time.Second))
		}, 3 * time.Second},
		{"when its context ends", func(ctx context.Context, g *gate, cancel func(), closing chan struct{}) *Pass {
			time.AfterFunc(time.Second, cancel)
			return g.enter(ctx, closing, 1, farOff())
		}, time.Second},
		{"when the queue is closed", func(ctx context.Context, g *gate, _ func(), closing chan struct{}) *Pass {
			time.AfterFunc(2*time.Second, func() { close(closing) })
			return g.enter(ctx, closing, 1, farOff())
		}, 2 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate([]time.Duration{time.Minute})
				g.report(Unreachable)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				began := time.Now()
				expect(t, "pass", c.wait(ctx, g, cancel, make(chan struct{})), "<nil>")
				expect(t, "after", time.Since(began), c.want)
				expect(t, "still waiting", len(g.waiting), 0)
			})
		})
	}
}

func TestGateLetsNobodyOvertakeThoseThatGoBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate([]time.Duration{time.Minute})
		g.report(Unreachable)
		hold := time.Now().Add(20 * time.Second)
		g.enter(t.Context(), nil, 1, hold)
		began := time.Now()
		g.report(Delivered) // the backend comes back while 1 is on its way back
		if g.enter(t.Context(), nil, 2, farOff()) == nil {
			t.Error("2 does not get in")
		}
		expect(t, "the next one gets in after", time.Since(began), settleTime)
	})
}

func TestGateKeepsThoseWhoseTurnIsNear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate([]time.Duration{time.Minute})
		g.report(Unreachable)
		g.enter(t.Context(), nil, 1, time.Now()) // goes back at once
		time.AfterFunc(settleTime/3, func() { g.report(Delivered) })
		if g.enter(t.Context(), nil, 2, time.Now().Add(settleTime/2)) == nil { // its hold ends when the gate is open, and 1 not in its place
			t.Error("2 went back")
		}
	})
}

func TestGateSurvivesAnAttemptThatWasNotMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(gatePauses)
		g.report(Unreachable)
		g.abandon(g.enter(t.Context(), nil, 1, farOff()))
		p := g.enter(t.Context(), nil, 2, farOff())
		expect(t, "probe", p.probe, true)
		g.leave(p, Delivered)
		g.abandon(p) // after leave it has no effect
		expect(t, "open", g.open(), true)
	})
}

func TestGateTriesOneThatIsLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(gatePauses)
		may := func() bool {
			p, may := g.enterLive()
			g.abandon(p)
			return may
		}
		p, _ := g.enterLive()
		expect(t, "needs a pass while it is open", p != nil, false)
		g.leave(p, Unreachable)
		stored := g.enter(t.Context(), nil, 1, farOff())
		p, _ = g.enterLive()
		expect(t, "one is tried, also beside one that is stored", p != nil, true)
		expect(t, "another one", may(), false)
		g.abandon(p)
		expect(t, "another one when the first takes long", may(), true)
		p, _ = g.enterLive()
		g.leave(p, Failed)
		expect(t, "another one when the first has failed", may(), true)
		expect(t, "beside the one that is stored", g.tryEnter(0), "<nil>")
		g.leave(stored, Failed)
		p, _ = g.enterLive()
		g.leave(p, Delivered)
		expect(t, "open", g.open(), true)
	})
}
