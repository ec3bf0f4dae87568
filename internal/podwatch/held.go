// SPDX-License-Identifier: Apache-2.0

package podwatch

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/podclient"
	"github.com/executorpods/watchsource/internal/request"
	"github.com/executorpods/watchsource/internal/retry"
	"github.com/executorpods/watchsource/internal/rv"
)

const (
	// headerPatience is how long a resumed watch may be unanswered until it may be taken for open.
	// nginx passes the headers of an answer on with the first byte of its body, and a quiet watch
	// sends that after a minute. The time is below that after which the phase becomes Retrying.
	headerPatience = 3 * time.Second
	// maxRefusedLate bounds how much longer a watch may be unanswered because the one before it was
	// refused late. Time is left until AnswerTimeout.
	maxRefusedLate = podclient.AnswerTimeout / 2
	// checkMargin is how long after a watch the check that was made beside it may be answered.
	checkMargin = time.Second
)

// A proxy is what seems to stand between the loop and the server: something that holds the answer
// to a watch back until the first event, or nothing.
type proxy struct {
	// Fixed after NewOpener.
	checker *Checker
	policy  *retry.Policy

	// Owned by the goroutine that opens watches.

	// holdsBack is set if the proxy holds answers back.
	holdsBack bool
	// refusedLate is the time after which the last watch was refused that was taken for open. It
	// is 0 if one was open since.
	refusedLate time.Duration
}

// answer waits for the answer to a watch from a version. If the proxy seems to hold the answer
// back, it returns the events that will come with the answer, and true.
func (p *proxy) answer(late *lateEvents, from string) (opened podclient.Events, held bool, err error) {
	timer := time.NewTimer(headerPatience + p.refusedLate)
	defer timer.Stop()
	select {
	case <-timer.C:
		if p.holdsBack {
			return late, true, nil
		}
		return p.check(late, from)
	case <-late.ctx.Done():
	case <-late.pending.Done():
	}
	opened, err = late.pending.Answer()
	return opened, false, err
}

// check asks for the server's version while a watch from a version is unanswered. If the server
// answers that, and is not behind the version, something between holds the answer to the watch
// back. The two answers may come together: nginx passes the headers of a watch on with the
// answer to another request of the same connection.
func (p *proxy) check(late *lateEvents, from string) (opened podclient.Events, held bool, err error) {
	ctx, cancel := context.WithTimeoutCause(late.ctx, checkLimit, failure.NoAnswerWithin(checkLimit))
	defer cancel()
	version := request.Send(ctx, p.checker.ask)
	select {
	case <-version.Done():
	case <-late.pending.Done():
		margin := time.AfterFunc(checkMargin, cancel)
		defer margin.Stop()
		if late.events, err = late.pending.Answer(); err != nil {
			cancel()
			version.Answer()
			return nil, false, err
		}
	}
	held, err = p.showsHeld(version, from)
	switch {
	case err != nil:
		late.Close()
		return nil, false, err
	case held:
		return late, true, nil
	case late.events != nil:
		return late.events, false, nil
	}
	opened, err = late.pending.Answer()
	return opened, false, err
}

// showsHeld reports whether the answer to a check shows that something holds the answer to a
// watch back. The error is that of a server that is behind the version.
func (p *proxy) showsHeld(version *request.Pending[string], from string) (bool, error) {
	now, err := version.Answer()
	switch {
	case failure.RefusesClient(err):
		now = from
	case err != nil:
		return false, nil // the watch may still be answered
	}
	p.policy.Checked(time.Now(), now)
	if rv.Older(now, from) {
		return false, failure.ErrNewHistory
	}
	p.holdsBack = true
	return true, nil
}

// lateEvents are the events of a watch that was taken for open before it was answered.
type lateEvents struct {
	namespace string
	pending   *request.Pending[podclient.Events]
	ctx       context.Context
	cancel    context.CancelCauseFunc
	// events is nil until the answer was taken.
	events podclient.Events
}

func (e *lateEvents) Next() (watch.Event, error) {
	if e.events == nil {
		opened, err := e.pending.Answer()
		if err != nil {
			err = &failure.RequestError{Kind: failure.WatchPods, Namespace: e.namespace, Err: err}
			if failure.StatusCode(err) != 0 {
				err = failure.Late(err)
			}
			return watch.Event{}, err
		}
		e.events = opened
	}
	return e.events.Next()
}

func (e *lateEvents) Close() {
	if e.events == nil {
		e.cancel(nil)
		e.events, _ = e.pending.Answer()
	}
	if e.events != nil {
		e.events.Close()
	}
}
