package main

import (
	"math/rand/v2"
	"net/http"
	"time"
)

// conduct is what the backend does with one request. Times are K-LINK's.
type conduct struct {
	before    time.Duration // until the event is processed
	processes bool
	stubborn  bool          // processes even when the gateway has hung up by then
	after     time.Duration // from there to the answer
	answer    answer
}

// answer is a status, or one of these.
type answer int

const (
	none answer = -1 // the connection is cut
	half answer = -2 // the connection is cut in the middle of an answer with 200
)

// forGood is longer than any gateway or sender waits.
const forGood = 90 * time.Second

// conductIn returns what the backend does in a manner. In every one that is away, some events are processed although
// no gateway could know.
func conductIn(m manner, d *rand.Rand) conduct {
	switch m {
	case slow:
		return conduct{before: between(d, time.Second, 6*time.Second), processes: true, answer: http.StatusOK}
	case hangs:
		return hanging(d)
	case fails:
		return conduct{processes: d.IntN(10) == 0, answer: http.StatusInternalServerError}
	case restarts:
		return []conduct{{answer: none}, {processes: true, answer: none}, {processes: true, answer: half}}[d.IntN(3)]
	case fine, refuses: // what refuses had already been accepted
	}
	return conduct{processes: true, answer: http.StatusOK}
}

// hanging is too late for K-LINK, but maybe not for the inbox.
func hanging(d *rand.Rand) conduct {
	switch p := d.IntN(10); {
	case p < 4:
		return conduct{before: between(d, 10*time.Second, 30*time.Second), processes: true, stubborn: d.IntN(2) == 0, answer: http.StatusOK}
	case p < 7:
		return conduct{processes: true, after: forGood, answer: none}
	default:
		return conduct{before: forGood, answer: none}
	}
}
