// SPDX-License-Identifier: Apache-2.0

package request

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource/internal/caught"
	"github.com/executorpods/watchsource/internal/failure"
)

var (
	errStopped = errors.New("stopped")
	errRefused = errors.New("refused")
)

// A value notes that it was closed.
type value struct{ closed *bool }

func (v value) Close() { *v.closed = true }

// A client that takes latency to answer, with an error or a value, and ignores its context unless
// it is obedient.
type client struct {
	latency  time.Duration
	err      error
	obedient bool
}

// In each case the context ends after a minute.
func TestAnswer(t *testing.T) {
	for _, test := range []struct {
		name   string
		client client
		want   error
		took   time.Duration
		// closed is set if the answer is closed.
		closed bool
	}{
		{"an answer", client{latency: time.Second}, nil, time.Second, false},
		{"an error", client{latency: time.Second, err: errRefused}, errRefused, time.Second, false},
		{"a client that ends with its context", client{latency: time.Hour, obedient: true}, errStopped, time.Minute, false},
		{"a client that answers within the grace", client{latency: time.Minute + Grace/2}, errStopped, time.Minute + Grace/2, true},
		{"a client that fails within the grace", client{latency: time.Minute + Grace/2, err: errRefused}, errStopped, time.Minute + Grace/2, false},
		{"a client that ignores its context", client{latency: time.Hour}, errStopped, time.Minute + Grace, true},
		{"a client that fails long after", client{latency: time.Hour, err: errRefused}, errStopped, time.Minute + Grace, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Minute, func() { cancel(errStopped) })
				began, closed := time.Now(), false
				pending := Send(ctx, func(ctx context.Context) (value, error) { return test.client.ask(ctx, value{&closed}) })
				answer, err := pending.Answer()
				if took := time.Since(began); err != test.want || took != test.took {
					t.Errorf("the error %v after %v, want %v after %v", err, took, test.want, test.took)
				}
				if (answer.closed != nil) != (err == nil) {
					t.Errorf("an answer: %v, with the error %v", answer.closed != nil, err)
				}
				time.Sleep(time.Hour)
				synctest.Wait()
				if closed != test.closed {
					t.Errorf("the answer was closed: %v, want %v", closed, test.closed)
				}
			})
		})
	}
}

func (c client) ask(ctx context.Context, v value) (value, error) {
	ended := ctx.Done()
	if !c.obedient {
		ended = nil
	}
	select {
	case <-ended:
		return value{}, ctx.Err()
	case <-time.After(c.latency):
	}
	if c.err != nil {
		return value{}, c.err
	}
	return v, nil
}

// A panic of the client continues in the goroutine that waits, with the stack of the client.
func TestPanic(t *testing.T) {
	defer func() {
		if got, ok := recover().(*caught.Panic); !ok || got.Value != "client" {
			t.Errorf("the panic %v, want that of the client", got)
		}
	}()
	Do(t.Context(), time.Minute, func(context.Context) (int, error) { panic("client") })
}

// A test that fails in a fake ends the goroutine of the request. The request is then given up like
// that of a client that does not answer.
func TestGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := Do(t.Context(), time.Minute, func(context.Context) (int, error) {
			runtime.Goexit()
			return 0, nil
		})
		if took := time.Since(began); !errors.Is(err, failure.ErrNoAnswer) || took != time.Minute+Grace {
			t.Errorf("the error %v after %v, want %v after %v", err, took, failure.ErrNoAnswer, time.Minute+Grace)
		}
	})
}
