package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// reading is what a gateway says of itself.
type reading struct {
	heap       float64 // live bytes
	goroutines int
}

// settleAtMost is how long what was begun may take to end.
const settleAtMost = 90 * time.Second

// settled collects the garbage and returns a reading once there are no more goroutines than want, or, for a want of 0,
// no more than at the reading before.
func (t *target) settled(ctx context.Context, want int) (r reading, err error) {
	last := 0
	for deadline := time.Now().Add(settleAtMost); ; {
		if r.goroutines, err = t.goroutines(); err != nil {
			return r, err
		}
		if want > 0 && r.goroutines <= want || want == 0 && r.goroutines == last || time.Now().After(deadline) {
			break
		}
		last = r.goroutines
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-time.After(time.Second):
		}
	}
	for range 2 { // what pools hold is gone after the second
		if err := t.ask("/debug/pprof/heap?gc=1", nil); err != nil {
			return r, err
		}
	}
	r.heap, err = t.heap()
	return r, err
}

func (t *target) goroutines() (n int, err error) {
	err = t.ask("/debug/pprof/goroutine?debug=1", func(body io.Reader) error {
		_, err := fmt.Fscanf(body, "goroutine profile: total %d", &n)
		return err
	})
	return n, err
}

func (t *target) heap() (float64, error) {
	var vars struct {
		Memstats struct{ HeapAlloc float64 } `json:"memstats"`
	}
	err := t.ask("/debug/vars", func(body io.Reader) error { return json.NewDecoder(body).Decode(&vars) })
	return vars.Memstats.HeapAlloc, err
}

// watch looks at the heap until the function that it returns is called, which returns the largest that was seen.
func (t *target) watch() (largest func() float64) {
	done, result := make(chan struct{}), make(chan float64)
	go func() {
		var most float64
		for {
			select {
			case <-done:
				result <- most
				return
			case <-time.After(100 * time.Millisecond):
				if heap, err := t.heap(); err == nil {
					most = max(most, heap)
				}
			}
		}
	}()
	return func() float64 { close(done); return <-result }
}

// ask reads an answer of the admin API to its end.
func (t *target) ask(path string, read func(io.Reader) error) error {
	client := http.Client{Timeout: 2 * grace, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + t.admin + path)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	if read != nil {
		if err := read(res.Body); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	_, err = io.Copy(io.Discard, res.Body)
	return err
}
