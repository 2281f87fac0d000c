package main

import (
	"math/rand/v2"
	"slices"
	"time"
)

// manner is how the backend behaves for a while.
type manner string

const (
	fine     manner = "fine"
	slow     manner = "slow"     // answers in time, but late
	hangs    manner = "hangs"    // beyond the deadline, some for good
	fails    manner = "fails"    // answers 500
	restarts manner = "restarts" // cuts connections in the middle
	refuses  manner = "refuses"  // does not listen
)

// away are the manners of a backend that is away.
var away = []manner{hangs, fails, restarts, refuses}

// phase is a time in which the backend keeps its manner.
type phase struct {
	manner manner
	end    time.Duration // since the beginning of the first
}

// newSchedule returns phases that fill the total, the given share of it with a backend that is away. Such a phase lasts
// mean on average, or less where that makes room for every manner.
func newSchedule(d *rand.Rand, total, mean time.Duration, share float64) []phase {
	absent := time.Duration(float64(total) * share)
	if absent == 0 {
		return []phase{{fine, total}}
	}
	n := max(len(away), int(absent/mean))
	absences, presences := split(d, absent, n), split(d, total-absent, n+1)
	var (
		phases []phase
		manner []manner
		end    time.Duration
	)
	for i, length := range presences {
		end += length
		phases = append(phases, phase{presence(d, i), end})
		if i == n {
			break
		}
		if len(manner) == 0 {
			manner = shuffled(d, away)
		}
		end += absences[i]
		phases = append(phases, phase{manner[0], end})
		manner = manner[1:]
	}
	return phases
}

// presence returns the manner of a backend that is there: first it is fine.
func presence(d *rand.Rand, n int) manner {
	if n > 0 && d.IntN(3) == 0 {
		return slow
	}
	return fine
}

// split cuts the total into n parts of which none is more than five times another.
func split(d *rand.Rand, total time.Duration, n int) []time.Duration {
	weights := make([]float64, n)
	sum := 0.0
	for i := range weights {
		weights[i] = 0.25 + d.Float64()
		sum += weights[i]
	}
	parts := make([]time.Duration, n)
	for i := range parts {
		parts[i] = time.Duration(float64(total) * weights[i] / sum)
	}
	return parts
}

func shuffled[T any](d *rand.Rand, all []T) []T {
	all = slices.Clone(all)
	d.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// disturbance is something that is done to the gateway or to its database.
type disturbance struct {
	at       time.Duration
	database bool // restarts the database; otherwise the gateway is killed
}

// newDisturbances spreads kills and restarts over the total: each has an equal part for itself, and a random moment there.
func newDisturbances(d *rand.Rand, total time.Duration, kills, restarts int) []disturbance {
	all := make([]disturbance, kills+restarts)
	for i := range all {
		part := total / time.Duration(len(all))
		all[i].at = time.Duration(i)*part + between(d, part/10, part*9/10)
	}
	for i := range restarts {
		all[(2*i+1)*len(all)/(2*restarts)].database = true
	}
	return all
}
