package klink

import (
	"bytes"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/klinkgate/caddy-klink/verifier"
)

// Bounds on diagnosis: at most so many of an endpoint in a while, none of a body
// larger than this, and after each a pause of so many times what it took.
const (
	diagnosisInterval = time.Second
	diagnosisBurst    = 5
	diagnosisMaxBody  = 64 << 10
	diagnosisPause    = 9
)

// diagnosisTurn is locked while there is a diagnosis in the process: there is one at
// a time, however many endpoints there are.
var diagnosisTurn struct {
	sync.Mutex
	next time.Time // when there may be another
}

const noReading = "no documented reading gives this signature: compare the signature secret with K-LINK's, and look for a proxy that changes the body"

// diagnosis looks, beside the requests, for the reason of signatures that do not
// match.
type diagnosis struct {
	limiter *rate.Limiter
	running sync.WaitGroup
}

func newDiagnosis() *diagnosis {
	return &diagnosis{limiter: rate.NewLimiter(rate.Every(diagnosisInterval), diagnosisBurst)}
}

// diagnose looks for a reading under which the refused delivery is right, and
// leaves it as a hint in the log and with the refusal.
func (w *Webhook) diagnose(a *attempt, r *http.Request) {
	d := w.diagnosis
	if len(a.body.buf.data) > diagnosisMaxBody || !diagnosisTurn.TryLock() {
		return
	}
	begun := time.Now()
	if begun.Before(diagnosisTurn.next) || !d.limiter.AllowN(begun, 1) {
		diagnosisTurn.Unlock()
		return
	}
	delivery := a.delivery
	delivery.Header = http.Header(a.delivery.Header).Clone()
	body := bytes.Clone(a.body.buf.data)
	hosts := verifier.OtherHosts(r.Host, r.Header)
	at, client := a.arrived, a.delivery.Client
	d.running.Go(func() {
		defer func() {
			now := time.Now()
			diagnosisTurn.next = now.Add(diagnosisPause * now.Sub(begun))
			diagnosisTurn.Unlock()
		}()
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
			zap.String("client_ip", addressText(client)),
		)
	})
}

// addressText is empty for a client without an IP address, such as one on a unix
// socket: as in JSON.
func addressText(client netip.Addr) string {
	if !client.IsValid() {
		return ""
	}
	return client.String()
}

// advice says what to write so that the finding is accepted.
func (w *Webhook) advice(f verifier.Finding) string {
	return w.verifier.HMAC.Advice(f, w.secretNames[f.Secret-1])
}
