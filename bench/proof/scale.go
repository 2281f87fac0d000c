package main

import (
	"math/rand/v2"
	"time"
)

// scale is what a second of K-LINK's time lasts here, in seconds: with 1/60, a minute lasts a second.
type scale float64

// of returns how long d of K-LINK's time lasts here.
func (s scale) of(d time.Duration) time.Duration { return time.Duration(float64(d) * float64(s)) }

// purpose tells the dice of one run apart.
type purpose uint64

const (
	forPhases purpose = iota
	forDisturbances
	forConduct // and above: one for each visit
)

// dice returns a source of chance that repeats itself with the seed.
func dice(seed uint64, p purpose) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(p))) //nolint:gosec // must repeat; nothing secret
}

// between returns a duration from low up to high.
func between(d *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(d.Int64N(int64(high-low)))
}
