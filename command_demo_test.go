package klink

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestTheDemoTellsWhatIsNotAsExpected(t *testing.T) {
	good := demoCase{name: "good", status: 200}
	bad := demoCase{name: "bad", status: 401, reason: "signature_mismatch"}
	asSent := demoResult{status: 200, reached: true, same: true, bytes: 7}
	refused := demoResult{status: 401, reason: "signature_mismatch"}
	for _, tt := range []struct {
		name string
		c    demoCase
		got  demoResult
		want string // in the output; "" when all is well
	}{
		{"delivered", good, asSent, ""},
		{"refused", bad, refused, ""},
		{"refused in error", good, refused, "  ^ expected: 200 and the same bytes at the backend"},
		{"let through in error", bad, asSent, "  ^ expected: 401 signature_mismatch"},
		{"other bytes", good, demoResult{status: 200, reached: true, bytes: 7}, "something else"},
		{"not delivered", good, demoResult{status: 200}, "nothing"},
		{"another reason", bad, demoResult{status: 401, reason: "credential_missing"}, "credential_missing"},
		{"another status", bad, demoResult{status: 400, reason: "signature_mismatch"}, "400"},
		{"refused and delivered", bad, demoResult{status: 401, reason: "signature_mismatch", reached: true, same: true, bytes: 7}, "the same 7 bytes"},
	} {
		var out strings.Builder
		err := showDemo(&out, []demoCase{good, tt.c}, func(c demoCase) (demoResult, error) {
			if c.name == tt.c.name {
				return tt.got, nil
			}
			return asSent, nil
		})
		if (err == nil) != (tt.want == "") {
			t.Errorf("%s: error %v", tt.name, err)
		}
		if !strings.Contains(out.String(), tt.want) {
			t.Errorf("%s: %q is not in\n%s", tt.name, tt.want, out.String())
		}
		if ended := strings.Contains(out.String(), "Next: "); ended != (tt.want == "") {
			t.Errorf("%s: the end is shown: %v", tt.name, ended)
		}
	}
	broken := errors.New("connection refused")
	err := showDemo(new(strings.Builder), []demoCase{good}, func(demoCase) (demoResult, error) { return asSent, broken })
	if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "good: ") {
		t.Errorf("an error of sending: %v", err)
	}
}

func TestTheDemoComparesWhatArrives(t *testing.T) {
	backend, err := startDemoBackend()
	if err != nil {
		t.Fatal(err)
	}
	defer backend.stop()
	d := &demo{backend: backend, gateway: &demoGateway{refusals: bufio.NewReader(strings.NewReader(""))}}
	arrives := func(method, target, body string) demoCase {
		return demoCase{send: func(ctx context.Context, _ *demo) (demoSent, error) {
			r, err := http.NewRequestWithContext(ctx, method, backend.url+target, strings.NewReader(body))
			if err != nil {
				return demoSent{}, err
			}
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				return demoSent{}, err
			}
			return demoSent{demoRequest{"POST", "/signed?a=1", []byte("{}")}, response.StatusCode}, response.Body.Close()
		}}
	}
	for _, tt := range []struct {
		name string
		c    demoCase
		same bool
	}{
		{"the same", arrives("POST", "/signed?a=1", "{}"), true},
		{"another method", arrives("PUT", "/signed?a=1", "{}"), false},
		{"another target", arrives("POST", "/signed?a=2", "{}"), false},
		{"another body", arrives("POST", "/signed?a=1", "{ }"), false},
	} {
		got, err := d.try(t.Context(), tt.c)
		if err != nil || got.status != 204 || !got.reached || got.same != tt.same {
			t.Errorf("%s: %+v, %v", tt.name, got, err)
		}
	}
	nothing := demoCase{send: func(context.Context, *demo) (demoSent, error) { return demoSent{}, nil }}
	if got, err := d.try(t.Context(), nothing); err != nil || got.reached {
		t.Errorf("nothing sent: %+v, %v", got, err)
	}
}
