package sender

import (
	"math"
	"slices"
	"time"
)

// Summary adds up deliveries. The zero Summary is empty.
type Summary struct {
	Outcomes map[Outcome]int // of deliveries
	Statuses map[int]int     // of attempts that were answered
	Errors   map[string]int  // of attempts that were not, by reason

	latencies []time.Duration // of attempts that were answered
}

// Add adds one delivery.
func (s *Summary) Add(d Delivery) {
	if s.Outcomes == nil {
		s.Outcomes = map[Outcome]int{}
		s.Statuses = map[int]int{}
		s.Errors = map[string]int{}
	}
	s.Outcomes[d.Outcome]++
	for _, a := range d.Attempts {
		if a.Status == 0 {
			s.Errors[a.Err.Error()]++
			continue
		}
		s.Statuses[a.Status]++
		s.latencies = append(s.latencies, a.Latency)
	}
}

// Deliveries returns how many there are.
func (s *Summary) Deliveries() int { return sum(s.Outcomes) }

// Attempts returns how many there are, answered or not.
func (s *Summary) Attempts() int { return sum(s.Statuses) + sum(s.Errors) }

// Latency returns the latency that the share p of the answered attempts, 0 < p <= 1, did not exceed: 0.5 gives the
// median, 1 the maximum. It returns 0 when nothing was answered.
func (s *Summary) Latency(p float64) time.Duration {
	if len(s.latencies) == 0 {
		return 0
	}
	slices.Sort(s.latencies)
	rank := int(math.Ceil(p * float64(len(s.latencies))))
	return s.latencies[min(max(rank, 1), len(s.latencies))-1]
}

func sum[K comparable](counts map[K]int) int {
	n := 0
	for _, count := range counts {
		n += count
	}
	return n
}
