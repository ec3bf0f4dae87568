// SPDX-License-Identifier: Apache-2.0

// Package request makes requests of clients that may ignore their context, or panic.
//
// A client of client-go ends a request when its context ends. A fake, a wrapper and a transport
// of the user may not, and a caller must not wait for them. So another
// goroutine makes each request, and the request is given up [Grace] after its context has ended.
package request

import (
	"context"
	"sync"
	"time"

	"github.com/executorpods/watchsource/internal/caught"
	"github.com/executorpods/watchsource/internal/failure"
)

// Grace is how long a client may take to end a request whose context has ended.
const Grace = 300 * time.Millisecond

// Do makes one request, which must be answered within limit, and returns the answer as
// [Pending.Answer] does.
func Do[T any](ctx context.Context, limit time.Duration, ask func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, failure.NoAnswerWithin(limit))
	defer cancel()
	return Send(ctx, ask).Answer()
}

// A Pending is a request that may not be answered yet.
type Pending[T any] struct {
	ctx  context.Context
	once sync.Once
	done chan struct{}

	// Fixed when done is closed.
	value    T
	err      error
	panicked *caught.Panic
}

// Send makes a request in another goroutine.
func Send[T any](ctx context.Context, ask func(context.Context) (T, error)) *Pending[T] {
	p := &Pending[T]{ctx: ctx, done: make(chan struct{})}
	answered := context.AfterFunc(ctx, func() {
		time.AfterFunc(Grace, func() { p.end(*new(T), context.Cause(ctx), nil) })
	})
	go func() {
		p.run(ask)
		answered()
	}()
	return p
}

// run makes the request. It closes an answer that comes after the context has ended, because
// it may have been given up. A request that calls runtime.Goexit, as a test that fails in a fake does,
// is not answered.
func (p *Pending[T]) run(ask func(context.Context) (T, error)) {
	defer func() {
		if panicked := caught.Of(recover()); panicked != nil {
			p.end(*new(T), nil, panicked)
		}
	}()
	value, err := ask(p.ctx)
	if p.ctx.Err() == nil && p.end(value, err, nil) {
		return
	}
	if late, ok := any(value).(interface{ Close() }); ok && err == nil {
		late.Close()
	}
	p.end(*new(T), context.Cause(p.ctx), nil)
}

// end ends the request with an answer, unless it has ended, and reports whether it did.
func (p *Pending[T]) end(value T, err error, panicked *caught.Panic) (ended bool) {
	p.once.Do(func() {
		p.value, p.err, p.panicked = value, err, panicked
		close(p.done)
		ended = true
	})
	return ended
}

// Done is closed when the request was answered, or was given up.
func (p *Pending[T]) Done() <-chan struct{} { return p.done }

// Answer waits for the answer. If the context of the request has ended before the answer came,
// it returns the cause of that. A panic of the client continues in the calling goroutine.
func (p *Pending[T]) Answer() (T, error) {
	<-p.done
	if p.panicked != nil {
		panic(p.panicked)
	}
	return p.value, p.err
}
