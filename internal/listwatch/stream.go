// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"context"
	"fmt"
	"io"
	"math"
	"runtime/debug"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/podwire"
)

// cancelGrace is how long a client may take to end a request that was cancelled.
// Real clients end it at once. A fake may ignore its context, and is then left
// behind.
const cancelGrace = 300 * time.Millisecond

// events are the events of one watch.
type events interface {
	// next waits for the next event, and returns io.EOF after the last.
	next() (watch.Event, error)
	// close ends the watch, and returns when the client has ended it too.
	close()
}

// stream is an open watch that is given up when its context ends.
type stream struct {
	events
	ctx     context.Context // of the request
	cancel  context.CancelCauseFunc
	silence *time.Timer // ends ctx, and runs while an event is waited for
	opened  time.Time
	timeout time.Duration // after which the server was asked to end it
	from    string        // the version it was opened from, "" with a streaming list
	probe   bool          // it was opened to see whether the server is there
	held    bool          // it was taken for open before it was answered

	requested time.Time // when the request was made

	waiting atomic.Bool // for an event; any goroutine reads it

	// Owned by the goroutine of Run.
	heard        time.Time     // when the last event came, or the request was made
	bookmark     bool          // a bookmark has come
	quietAtFirst time.Duration // from the opening to the first event, or to the end
}

func newStream(ctx context.Context, cancel context.CancelCauseFunc, events events, timeout time.Duration) *stream {
	silence := time.AfterFunc(timeout, func() { cancel(failure.ErrStalled) })
	silence.Stop()
	return &stream{events: events, ctx: ctx, cancel: cancel, silence: silence, opened: time.Now(), timeout: timeout}
}

// noLimit is the patience with a stream that cannot stall. No timer runs, so that the bubble
// of a test does not jump to its end.
const noLimit time.Duration = math.MaxInt64

// next waits for an event, for no longer than patience. If the stream was given
// up it returns the cause of that.
func (s *stream) next(patience time.Duration) (watch.Event, error) {
	if patience != noLimit {
		s.silence.Reset(patience)
	}
	s.waiting.Store(true)
	event, err := s.events.next()
	s.waiting.Store(false)
	s.silence.Stop()
	if err != nil && s.ctx.Err() != nil {
		err = context.Cause(s.ctx)
	}
	return event, err
}

func (s *stream) close() {
	s.events.close()
	s.cancel(nil)
}

// wireEvents reads a watch from its connection, in the goroutine that asks for
// the next event.
type wireEvents struct {
	*podwire.Stream
	release func() bool
}

func newWireEvents(ctx context.Context, s *podwire.Stream) *wireEvents {
	// For a transport that does not end with the context, as net/http's does.
	return &wireEvents{s, context.AfterFunc(ctx, func() { s.Close() })}
}

func (e *wireEvents) next() (watch.Event, error) { return e.Next() }

func (e *wireEvents) close() {
	e.release()
	e.Close()
}

// clientEvents are those of a watch that client-go or a fake reads in another
// goroutine.
type clientEvents struct {
	watch.Interface
	ctx    context.Context
	cancel context.CancelFunc
}

func newClientEvents(ctx context.Context, open func(context.Context) (watch.Interface, error)) (events, error) {
	ctx, cancel := context.WithCancel(ctx)
	w, err := open(ctx)
	if err == nil && w == nil {
		err = failure.ErrNilWatch
	}
	if err != nil {
		cancel()
		return nil, err
	}
	return &clientEvents{w, ctx, cancel}, nil
}

func (e *clientEvents) next() (watch.Event, error) {
	select {
	case event, open := <-e.ResultChan():
		if !open {
			return event, io.EOF
		}
		return event, nil
	case <-e.ctx.Done():
		return watch.Event{}, e.ctx.Err()
	}
}

func (e *clientEvents) close() {
	e.cancel()
	e.Stop()
	timer := time.NewTimer(cancelGrace)
	defer timer.Stop()
	for {
		select {
		case _, open := <-e.ResultChan():
			if !open {
				return
			}
		case <-timer.C:
			return
		}
	}
}

// A CaughtPanic is a panic of a client, a store or an observer, and the stack of the
// goroutine in which it was caught.
type CaughtPanic struct {
	Value any
	Stack []byte
}

func (p *CaughtPanic) Error() string { return fmt.Sprintf("%v\n\n%s", p.Value, p.Stack) }

// PanicOf returns the panic for a value of recover, nil for nil.
func PanicOf(recovered any) *CaughtPanic {
	switch r := recovered.(type) {
	case nil:
		return nil
	case *CaughtPanic:
		return r
	default:
		return &CaughtPanic{Value: r, Stack: debug.Stack()}
	}
}

// request makes one request and returns its answer, or the cause for which ctx
// ended. An answer of a client that ignores its context is discarded after that.
// A panic of the client continues in the calling goroutine.
func request[T any](ctx context.Context, ask func() (T, error), discard func(T)) (T, error) {
	return send(ask, discard).await(ctx)
}

// A pendingRequest is a request whose answer nobody has taken yet.
type pendingRequest[T any] struct {
	discard func(T)
	answers chan answer[T] // receives the answer, once
	left    chan struct{}  // closed when nobody waits any more
}

type answer[T any] struct {
	value    T
	err      error
	panicked *CaughtPanic
}

// send sends a request in another goroutine.
func send[T any](ask func() (T, error), discard func(T)) *pendingRequest[T] {
	r := &pendingRequest[T]{discard: discard, answers: make(chan answer[T]), left: make(chan struct{})}
	go r.run(ask)
	return r
}

func (r *pendingRequest[T]) run(ask func() (T, error)) {
	var a answer[T]
	var returned bool
	defer func() {
		if recovered := recover(); recovered != nil {
			a.panicked = PanicOf(recovered)
		} else if !returned {
			return // runtime.Goexit, as by a test that fails in a fake
		}
		select {
		case r.answers <- a:
		case <-r.left:
			if a.err == nil && a.panicked == nil {
				r.discard(a.value)
			}
		}
	}()
	a.value, a.err = ask()
	returned = true
}

// await waits for the answer. It is called once.
func (r *pendingRequest[T]) await(ctx context.Context) (T, error) {
	select {
	case a := <-r.answers:
		return a.take(ctx)
	case <-ctx.Done():
		r.abandon()
		var none T
		return none, context.Cause(ctx)
	}
}

// within waits for the answer, for no longer than a time.
func (r *pendingRequest[T]) within(limit time.Duration) (answer[T], bool) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case a := <-r.answers:
		return a, true
	case <-timer.C:
		return answer[T]{}, false
	}
}

// take returns an answer, or the cause for which ctx ended.
func (a answer[T]) take(ctx context.Context) (T, error) {
	if a.panicked != nil {
		panic(a.panicked)
	}
	if a.err != nil && ctx.Err() != nil {
		return a.value, context.Cause(ctx)
	}
	return a.value, a.err
}

// abandon discards the answer. The context of the request has ended.
func (r *pendingRequest[T]) abandon() { r.abandonBy(time.Now().Add(cancelGrace)) }

// abandonBy is abandon for a client that may take until a time to end the request.
func (r *pendingRequest[T]) abandonBy(deadline time.Time) {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case a := <-r.answers:
		if a.panicked != nil {
			panic(a.panicked)
		}
		if a.err == nil {
			r.discard(a.value)
		}
	case <-timer.C:
		close(r.left)
	}
}
