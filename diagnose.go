package klink

import (
	"bytes"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/klinkgate/caddy-klink/verifier"
)

// Bounds on diagnosis: one at a time, at most so many in a while, and none of a
// body larger than this.
const (
	diagnosisInterval = time.Second
	diagnosisBurst    = 5
	diagnosisMaxBody  = 64 << 10
)

const noReading = "no documented reading gives this signature: compare the signature secret with K-LINK's, and look for a proxy that changes the body"

// diagnosis looks, beside the requests, for the reason of signatures that do not
// match.
type diagnosis struct {
	limiter *rate.Limiter
	running sync.WaitGroup
	busy    atomic.Bool
}

func newDiagnosis() *diagnosis {
	return &diagnosis{limiter: rate.NewLimiter(rate.Every(diagnosisInterval), diagnosisBurst)}
}

// diagnose looks for a reading under which the refused delivery is right, and
// leaves it as a hint in the log and with the refusal.
func (w *Webhook) diagnose(a *attempt, r *http.Request) {
	d := w.diagnosis
	if len(a.body.buf.data) > diagnosisMaxBody || !d.busy.CompareAndSwap(false, true) {
		return
	}
	if !d.limiter.Allow() {
		d.busy.Store(false)
		return
	}
	delivery := a.delivery
	delivery.Header = maps.Clone(a.delivery.Header)
	body := bytes.Clone(a.body.buf.data)
	hosts := verifier.OtherHosts(r.Host, r.Header)
	at, client := a.arrived, a.delivery.Client
	d.running.Go(func() {
		defer d.busy.Store(false)
		hint := noReading
		finding, found := w.verifier.HMAC.Diagnose(&delivery, hosts, body)
		if found {
			hint = w.advice(finding)
		}
		w.endpoint.hint(at, hint)
		w.logger.Info("diagnosis of a signature that does not match",
			zap.String("endpoint", w.Name),
			zap.Bool("found", found),
			zap.String("hint", hint),
			zap.String("client_ip", client.String()),
		)
	})
}

// advice says what to write so that the finding is accepted.
func (w *Webhook) advice(f verifier.Finding) string {
	return w.verifier.HMAC.Advice(f, w.secretNames[f.Secret-1])
}
