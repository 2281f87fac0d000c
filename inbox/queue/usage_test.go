package queue

import (
	"errors"
	"testing"
	"time"
)

func TestAFullInboxTakesNoMore(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		config func(*Config)
	}{
		{"by count", func(c *Config) { c.MaxStored = 10 }},
		{"by bytes", func(c *Config) { c.MaxStoredBytes = 10 * event(10).size() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			onEach(t, func(t *testing.T, url string) {
				lines := &logged{}
				b := &backend{down: true}
				config := b.config()
				config.Logger = lines.logger()
				c.config(&config)
				q := start(t, open(t, url), config)
				ready(t, q.db)
				stored := 0
				eventually(t, "it is full", func() bool {
					_, err := q.Store(t.Context(), event(10+stored), When{})
					if err == nil {
						stored++
					} else if !errors.Is(err, ErrFull) {
						t.Fatal(err)
					}
					return err != nil && stored >= 10 // before that it may seem full for a second
				})
				if stored != 10 {
					t.Errorf("%d events were stored, want 10", stored)
				}
				eventually(t, "operators are warned", func() bool { return lines.count("nearly full") > 0 })
				eventually(t, "it was measured again", measured(q, 2))
				expect(t, "warnings", lines.count("nearly full"), 1)
				b.set(false)
				eventually(t, "there is room again", func() bool {
					_, err := q.Store(t.Context(), event(99), When{})
					return err == nil
				})
				eventually(t, "all are delivered", func() bool { return config.Counts.Delivered.Load() == 11 })
			})
		})
	}
}

// measured says whether the backlog was measured n times from now on.
func measured(q *Queue, n int) func() bool {
	end := time.Now().Add(time.Duration(n)*measureInterval + measureInterval/2)
	return func() bool { return time.Now().After(end) }
}

func TestTheBacklogIsMeasured(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		b := &backend{}
		db := open(t, url)
		q := start(t, db, b.config())
		later := When{At: time.Now().Add(time.Hour)}
		oldest := event(2)
		oldest.Received = time.Now().Add(-time.Hour).Truncate(time.Millisecond)
		dead := event(3)
		dead.Received = time.Now().Add(-2 * time.Hour)
		store(t, q, event(1), later)
		store(t, q, oldest, later)
		store(t, q, dead, When{Dead: true})
		want := Backlog{Waiting: 2, Dead: 1, Bytes: event(1).size() + oldest.size() + dead.size(), Oldest: oldest.Received}
		eventually(t, "it is measured", func() bool {
			got := q.Backlog()
			same := got.Oldest.Equal(want.Oldest)
			got.Oldest = want.Oldest
			return same && got == want
		})
		other := b.config()
		other.Name = "other"
		p := start(t, db, other)
		ready(t, db)
		expectErr(t, "measure", p.measure(), nil)
		expect(t, "backlog of another queue", p.Backlog(), Backlog{})
	})
}

func TestTheTimeOfACommitIsTold(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		config := (&backend{}).config()
		told := make(chan time.Duration, 10)
		config.Counts.Committed = func(d time.Duration) { told <- d }
		q := start(t, open(t, url), config)
		store(t, q, event(1), When{})
		if d := <-told; d <= 0 {
			t.Errorf("told %s", d)
		}
	})
}
