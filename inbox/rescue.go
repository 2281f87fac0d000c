package inbox

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/klinkgate/caddy-klink/inbox/queue"
)

// first is the first attempt at a delivery, made while K-LINK waits.
type first struct {
	done   chan struct{} // closed when it has ended
	cancel context.CancelCauseFunc
	answer *answer
	result queue.Result
}

// rescue passes a delivery on, and stores it if the backend does not take it in
// time.
func (in *Inbox) rescue(ctx context.Context, running *call, d *delivery) {
	if !in.state.late.room() {
		in.keep(ctx, running, d, queue.When{}, "too many attempts are late; this one was not made")
		return
	}
	pass, may := in.queue.Enter()
	if !may && in.keepUntried(ctx, running, d) {
		return
	}
	f := in.begin(ctx, d, pass)
	deadline := time.NewTimer(time.Until(d.Received.Add(time.Duration(in.Deadline))))
	defer deadline.Stop()
	select {
	case <-f.done:
	case <-deadline.C:
		in.queue.Linger(pass)
		f.endWithin(time.Until(d.Received.Add(time.Duration(in.Timeout))))
		if in.leaveRunning(ctx, running, d, f) {
			return
		}
		<-f.done // it cannot be stored: all there is left is the backend's answer
	}
	in.conclude(ctx, running, d, f)
}

// keepUntried stores a delivery without an attempt. It returns false when that is not
// possible.
func (in *Inbox) keepUntried(ctx context.Context, running *call, d *delivery) bool {
	stored, err := in.put(ctx, d, queue.When{})
	if err != nil {
		return false
	}
	in.endStored(running, stored, nil)
	if !stored.Duplicate {
		in.rescued(d, "the backend is down, and another event is being tried")
	}
	return true
}

// begin makes the first attempt, which is not bounded in time yet.
func (in *Inbox) begin(ctx context.Context, d *delivery, pass *queue.Pass) *first {
	ctx, cancel := context.WithCancelCause(ctx)
	f := &first{done: make(chan struct{}), cancel: cancel}
	in.ended.Go(func() {
		reserveStack()
		defer close(f.done)
		defer cancel(nil)
		f.answer, f.result = in.attempt(ctx, d, 0)
		in.queue.Leave(pass, f.result.Outcome)
	})
	return f
}

// reserveStack makes the stack large enough for reverse_proxy in one step, while there is hardly anything on it to copy.
//
//go:noinline
func reserveStack() {
	var frame [12 << 10]byte
	runtime.KeepAlive(&frame)
}

// endWithin bounds an attempt that is late. Most never are, and need no timer.
func (f *first) endWithin(d time.Duration) {
	time.AfterFunc(d, func() { f.cancel(context.DeadlineExceeded) })
}

// conclude makes an answer of the backend's.
func (in *Inbox) conclude(ctx context.Context, running *call, d *delivery, f *first) {
	if f.result.Outcome == queue.Delivered || f.result.Outcome == queue.Rejected && in.PassRejections {
		in.state.calls.end(running, f.answer, nil, f.result.Outcome == queue.Delivered)
		return
	}
	in.keep(ctx, running, d, in.afterFirst(f.result), f.result.Detail)
}

// afterFirst says when an event is to be delivered whose first attempt has
// failed.
func (in *Inbox) afterFirst(result queue.Result) queue.When {
	when := queue.When{Tried: true, Detail: result.Detail, Dead: result.Outcome == queue.Rejected}
	if result.Outcome == queue.Failed {
		when.At = time.Now().Add(time.Duration(in.Retry[0]))
	}
	return when
}

// keep stores a delivery that the backend does not take now, and ends its call.
func (in *Inbox) keep(ctx context.Context, running *call, d *delivery, when queue.When, why string) {
	stored, err := in.put(ctx, d, when)
	in.endStored(running, stored, err)
	if err == nil && !stored.Duplicate {
		in.rescued(d, why)
	}
}

// rescued notes an event that K-LINK would have had to send again.
func (in *Inbox) rescued(d *delivery, detail string) {
	in.state.tally.rescued.Add(1)
	in.logger.Warn("an event was stored because the backend did not take it", in.fields(d, zap.String("detail", detail))...)
}

// leaseMargin is how much later than it can end the first attempt at a stored
// event is taken to be over, when nobody has told.
const leaseMargin = 5 * time.Second

// leaveRunning stores an event whose first attempt is under way, so that K-LINK
// can be answered. It returns false when that is not possible.
func (in *Inbox) leaveRunning(ctx context.Context, running *call, d *delivery, f *first) bool {
	put := in.putRunning(ctx, d)
	select {
	case <-put.done:
	case <-f.done: // before the database has answered, which may take seconds when it is away
		if f.result.Outcome == queue.Delivered {
			in.state.calls.end(running, f.answer, nil, true)
			in.ended.Go(func() {
				<-put.done
				in.leave(ctx, d, f, put)
			})
			return true
		}
		<-put.done
	}
	if put.err != nil {
		return false
	}
	in.endStored(running, put.stored, nil)
	in.leave(ctx, d, f, put)
	return true
}

// runningPut is an event that is being stored while its first attempt is under way.
type runningPut struct {
	done   chan struct{} // closed when it is stored, or cannot be
	stored queue.Stored
	err    error
}

func (in *Inbox) putRunning(ctx context.Context, d *delivery) *runningPut {
	lease := d.Received.Add(time.Duration(in.Timeout) + leaseMargin)
	put := &runningPut{done: make(chan struct{})}
	in.ended.Go(func() {
		defer close(put.done)
		put.stored, put.err = in.put(ctx, d, queue.When{Tried: true, At: lease})
	})
	return put
}

// leave sees to it that the queue is told how the first attempt at an event has
// ended that was stored meanwhile.
func (in *Inbox) leave(ctx context.Context, d *delivery, f *first, put *runningPut) {
	if put.err != nil || put.stored.Duplicate { // our attempt is the other gateway's
		return
	}
	in.rescued(d, "no answer within "+time.Duration(in.Deadline).String()+"; the attempt goes on")
	in.state.late.add(1, d.Body)
	in.state.late.firsts.Store(d.Key, f)
	in.ended.Go(func() {
		in.finish(ctx, d, f, put.stored.ID)
		in.state.late.firsts.Delete(d.Key)
		in.state.late.add(-1, d.Body)
	})
}

// late are the attempts that go on after K-LINK was answered, with their bodies
// in memory, until it is noted how they ended.
type late struct {
	attempts, bytes atomic.Int64
	firsts          sync.Map // of queue.Key and *first
}

// A backend that hangs must not fill the memory: when as many attempts are late,
// or with bodies of so many bytes, others are not made but stored.
const (
	mostLate      = 1000
	mostLateBytes = 64 << 20
)

func (l *late) add(n int64, body []byte) {
	l.attempts.Add(n)
	l.bytes.Add(n * int64(len(body)))
}

// succeeded says whether the backend got an event in its first attempt, which the
// database did not let us note before the event's turn came again.
func (l *late) succeeded(key queue.Key) bool {
	f, ok := l.firsts.Load(key)
	if !ok {
		return false
	}
	select {
	case <-f.(*first).done:
		return f.(*first).result.Outcome == queue.Delivered
	default:
		return false
	}
}

func (l *late) room() bool { return l.attempts.Load() < mostLate && l.bytes.Load() < mostLateBytes }

const (
	finishTimeout = 10 * time.Second
	finishPause   = 2 * time.Second
	finishTries   = 30
)

// finish tells the queue how the first attempt at a stored event has ended. When
// that is not possible, the event is delivered again after its lease.
func (in *Inbox) finish(ctx context.Context, d *delivery, f *first, id int64) {
	<-f.done
	var err error
	for range finishTries {
		if err = in.tryFinish(ctx, f, id); err == nil {
			return
		}
		time.Sleep(finishPause)
	}
	in.logger.Error("how an attempt ended cannot be noted; the event is delivered once more",
		in.fields(d, zap.Bool("delivered", f.result.Outcome == queue.Delivered), zap.String("detail", f.result.Detail), zap.Error(err))...)
}

func (in *Inbox) tryFinish(ctx context.Context, f *first, id int64) error {
	q := in.queue
	if current := in.state.current(); current != nil && current.queue.url == q.url {
		q = current.queue // that of our own configuration may be closed
	}
	ctx, cancel := context.WithTimeout(ctx, finishTimeout)
	defer cancel()
	if f.result.Outcome == queue.Delivered {
		return q.Finish(ctx, id)
	}
	when := in.afterFirst(f.result)
	if when.At.IsZero() {
		when.At = time.Now()
	}
	return q.Release(ctx, id, when)
}
