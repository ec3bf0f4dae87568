// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/watch"
)

// partingTime is how long a client may take to let go of a request that has
// been cancelled. Real ones do at once; a fake may not look at its context at
// all, and is left behind.
const partingTime = 300 * time.Millisecond

// stream is an open watch.
type stream struct {
	watch.Interface
	cancel  func() // ends the request
	opened  time.Time
	timeout time.Duration // after which the server was asked to end it
}

// close ends the stream.
func (s *stream) close() {
	s.cancel()
	drain(s.Interface)
}

// drain stops a watch, and returns when the client has let go of it, so that no
// goroutine of the client is left.
func drain(w watch.Interface) {
	w.Stop()
	timer := time.NewTimer(partingTime)
	defer timer.Stop()
	for {
		select {
		case _, open := <-w.ResultChan():
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
