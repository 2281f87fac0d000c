package klink

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klinkgate/caddy-klink/verifier"
)

var someForm = func() verifier.Form {
	url, _ := verifier.ParseURLForm("path")
	body, _ := verifier.ParseBodyForm([]string{"go"})
	return verifier.Form{URL: url, Body: body}
}()

func settings(observing bool, secretNames ...string) *endpointSettings {
	return &endpointSettings{
		observing: observing, secretNames: secretNames, limit: 50, window: time.Hour,
		crossed: func(budgetLevel, BudgetStatus) {},
	}
}

func TestEndpointTellsOfSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint("test")
		mustAdopt(t, e, settings(false, []string{"new", "old"}...))
		expect := func(secret string, first bool, idle ...string) {
			t.Helper()
			gotFirst, gotIdle := e.accept(secret, "", &someForm, time.Now())
			if gotFirst != first || !slices.Equal(gotIdle, idle) {
				t.Errorf("%s: first %v, idle %v; want %v, %v", secret, gotFirst, gotIdle, first, idle)
			}
		}
		expect("old", true)
		expect("old", false)
		time.Sleep(time.Hour)
		expect("new", true)
		time.Sleep(23*time.Hour - time.Second)
		expect("new", false)
		time.Sleep(time.Second)
		expect("new", false, "old")
		expect("new", false)
		time.Sleep(48 * time.Hour)
		expect("old", false, "new")
	})
}

func TestEndpointSaysNothingOfASecretThatWasNeverUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEndpoint("test")
		mustAdopt(t, e, settings(false, []string{"new", "old"}...))
		e.accept("old", "", &someForm, time.Now())
		time.Sleep(72 * time.Hour)
		if _, idle := e.accept("old", "", &someForm, time.Now()); len(idle) > 0 {
			t.Errorf("idle %v: the new secret may not be in force at K-LINK yet", idle)
		}
	})
}

func TestEndpointKeepsSecretsAcrossConfigurations(t *testing.T) {
	e := newEndpoint("test")
	before, after, failed := settings(false, "a", "b"), settings(true, "a", "c"), settings(false, "d")
	mustAdopt(t, e, before)
	e.accept("a", "", &someForm, time.Now())
	e.accept("b", "", &someForm, time.Now())
	mustAdopt(t, e, after)
	e.accept("b", "", &someForm, time.Now()) // by a request that the old configuration still serves
	e.drop(before)
	mustAdopt(t, e, failed)
	e.drop(failed)
	s := e.status()
	if s.Mode != "observe" || len(s.Secrets) != 2 || s.Secrets["a"].Matches != 1 || s.Secrets["c"].Matches != 0 {
		t.Errorf("%+v", s)
	}
	if s.Accepted != 3 {
		t.Errorf("%d accepted", s.Accepted)
	}
}

func TestEndpointBoundsEventNames(t *testing.T) {
	e := newEndpoint("test")
	for i := range 100 {
		e.accept("", fmt.Sprintf("event.%d", i), nil, time.Now())
		e.accept("", "event.0", nil, time.Now())
	}
	s := e.status()
	if len(s.Events) != keptEventNames+1 || s.Events["event.0"] != 101 || s.Events[otherEvents] != 100-keptEventNames {
		t.Errorf("%d names: %v", len(s.Events), s.Events)
	}
}

func TestEndpointKeepsTheLastRefusals(t *testing.T) {
	e := newEndpoint("test")
	start := time.Now()
	for i := range 120 {
		e.refuse(Refusal{
			Time:     start.Add(time.Duration(i)),
			ClientIP: netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}),
			Reason:   verifier.SignatureMismatch,
		})
	}
	e.hint(start.Add(118), "look here")
	e.hint(start.Add(3), "long gone")
	s := e.status()
	if len(s.Refusals) != keptRefusals || s.Refused[verifier.SignatureMismatch] != 120 {
		t.Fatalf("%d kept, %v counted", len(s.Refusals), s.Refused)
	}
	for i, r := range s.Refusals {
		if want := start.Add(time.Duration(119 - i)); !r.Time.Equal(want) {
			t.Errorf("refusal %d is of %v, want %v", i, r.Time, want)
		}
		if hinted := r.Hint != ""; hinted != (i == 1) {
			t.Errorf("refusal %d has the hint %q", i, r.Hint)
		}
	}
}

func TestHeaderNamesAreBounded(t *testing.T) {
	header := make(map[string][]string)
	for i := range 1000 {
		header[fmt.Sprintf("X-%0500d", i)] = []string{"secret"}
	}
	names := headerNames(header)
	if len(names) != keptHeaderNames {
		t.Errorf("%d names", len(names))
	}
	for _, name := range names {
		if len(name) > 64 {
			t.Errorf("a name of %d bytes", len(name))
		}
	}
}

func mustAdopt(t *testing.T, e *endpoint, s *endpointSettings) {
	t.Helper()
	if err := e.adopt(s); err != nil {
		t.Fatal(err)
	}
}
