//go:build !race

package normalize

// raceEnabled is whether the race detector runs: sync.Pool then drops what it is given at random.
const raceEnabled = false
