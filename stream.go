// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/podwire"
)

// partingTime is how long a client may take to let go of a request that has
// been cancelled. Real ones do at once; a fake may not look at its context at
// all, and is left behind.
const partingTime = 300 * time.Millisecond

// events is a watch as it is read.
type events interface {
	// next waits for the next event, and returns io.EOF after the last.
	next() (watch.Event, error)
	// close ends the watch, and returns when the client has let go of it.
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
}

func newStream(ctx context.Context, cancel context.CancelCauseFunc, events events, timeout time.Duration) *stream {
	silence := time.AfterFunc(timeout, func() { cancel(errStalled) })
	silence.Stop()
	return &stream{events: events, ctx: ctx, cancel: cancel, silence: silence, opened: time.Now(), timeout: timeout}
}

// next waits for an event, for no longer than patience. Where the stream was
// given up it returns the cause of that.
func (s *stream) next(patience time.Duration) (watch.Event, error) {
	s.silence.Reset(patience)
	event, err := s.events.next()
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

// wireEvents is a watch that is read from its connection, in the goroutine that
// asks for the next event.
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

// clientEvents is a watch that a client reads in a goroutine of its own.
type clientEvents struct {
	watch.Interface
	ctx    context.Context
	cancel context.CancelFunc
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
	timer := time.NewTimer(partingTime)
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

// request asks the API server something and returns its answer, or the cause
// for which ctx ended. Whatever a client that does not heed its context answers
// after that is discarded.
func request[T any](ctx context.Context, ask func() (T, error), discard func(T)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer)
	left := make(chan struct{})
	go func() {
		value, err := ask()
		select {
		case answers <- answer{value, err}:
		case <-left:
			if err == nil {
				discard(value)
			}
		}
	}()

	var none T
	select {
	case a := <-answers:
		if a.err != nil && ctx.Err() != nil {
			return none, context.Cause(ctx)
		}
		return a.value, a.err
	case <-ctx.Done():
	}
	timer := time.NewTimer(partingTime)
	defer timer.Stop()
	select {
	case a := <-answers:
		if a.err == nil {
			discard(a.value)
		}
	case <-timer.C:
		close(left)
	}
	return none, context.Cause(ctx)
}
