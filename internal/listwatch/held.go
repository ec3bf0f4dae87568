// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/rv"
)

// headerPatience is how long a resumed watch may be unanswered until it may be taken for open.
// nginx passes the headers of an answer on with the first byte of its body, and a quiet watch
// sends that after a minute. The time is below that after which the phase becomes Retrying.
const headerPatience = 3 * time.Second

// maxRefusedLate bounds how much longer a watch may be unanswered because the one before it was
// refused late. Time is left until openTimeout.
const maxRefusedLate = openTimeout / 2

// checkMargin is how long after a watch the check that was made beside it may be answered.
const checkMargin = time.Second

// heldEvents are the events of a watch that was taken for open before it was answered.
type heldEvents struct {
	loop    *Loop
	pending *pendingRequest[events]
	ctx     context.Context
	cancel  context.CancelCauseFunc
	events  events // nil until the answer was taken
}

func (e *heldEvents) next() (watch.Event, error) {
	if e.events == nil {
		opened, err := e.pending.await(e.ctx)
		if err != nil {
			e.pending = nil
			err = e.loop.failed(failure.WatchPods, err)
			if failure.StatusCode(err) != 0 {
				err = failure.Late(err)
			}
			return watch.Event{}, err
		}
		e.events = opened
	}
	return e.events.next()
}

func (e *heldEvents) close() {
	switch {
	case e.events != nil:
		e.events.close()
	case e.pending != nil:
		e.cancel(nil)
		e.pending.abandon()
	}
}

// awaitOpened waits for the answer to a watch from a version. If a proxy seems to hold the
// answer back it returns the events that will come with it, and true.
func (l *Loop) awaitOpened(ctx context.Context, cancel context.CancelCauseFunc, pending *pendingRequest[events], from string) (opened events, held bool, err error) {
	if l.fake || !l.started || from == "" {
		opened, err = pending.await(ctx)
		return opened, false, err
	}
	timer := time.NewTimer(headerPatience + l.refusedLate)
	defer timer.Stop()
	select {
	case a := <-pending.answers:
		opened, err = a.take(ctx)
		return opened, false, err
	case <-ctx.Done():
		pending.abandon()
		return nil, false, context.Cause(ctx)
	case <-timer.C:
	}
	late := &heldEvents{loop: l, pending: pending, ctx: ctx, cancel: cancel}
	if l.holdsBack {
		return late, true, nil
	}
	return l.checkHeld(ctx, late, from)
}

// checkHeld asks for the server's version while a watch from a version is unanswered. If the
// server answers that, and is not behind the version, something between holds the answer to the
// watch back. The two answers may come together: nginx passes the headers of a watch on with the
// answer to another request of the same connection.
func (l *Loop) checkHeld(ctx context.Context, late *heldEvents, from string) (opened events, held bool, err error) {
	asking, cancel := versionContext(ctx)
	defer cancel()
	version := l.askVersion(asking)
	select {
	case a := <-version.answers:
		held, err = l.showsHeld(asking, a, from)
	case a := <-late.pending.answers:
		late.events, err = a.take(ctx)
		if err != nil {
			cancel()
			version.abandon()
			return nil, false, err
		}
		if a, ok := version.within(checkMargin); ok {
			held, err = l.showsHeld(asking, a, from)
		} else {
			cancel()
			version.abandon()
		}
	case <-asking.Done():
		deadline := time.Now().Add(cancelGrace) // of both, if ctx has ended
		version.abandonBy(deadline)
		if ctx.Err() != nil {
			late.pending.abandonBy(deadline)
			return nil, false, context.Cause(ctx)
		}
	}
	switch {
	case err != nil:
		late.close()
		return nil, false, err
	case held:
		return late, true, nil
	case late.events != nil:
		return late.events, false, nil
	}
	opened, err = late.pending.await(ctx)
	return opened, false, err
}

// showsHeld reports whether the answer to a check shows that something holds the answer to a
// watch back. The error is that of a server that is behind the version.
func (l *Loop) showsHeld(asking context.Context, a answer[string], from string) (bool, error) {
	now, err := a.take(asking)
	switch {
	case failure.RefusesClient(err):
		now = from
	case err != nil:
		return false, nil // the watch may still be answered
	}
	l.policy.checked(time.Now(), now)
	if rv.Older(now, from) {
		return false, failure.ErrNewHistory
	}
	l.holdsBack, l.checked = true, true
	return true, nil
}

// learnHeld notes whether a stream showed that nothing holds answers back: it was answered at
// once, and was quiet after that.
func (l *Loop) learnHeld(s *stream) {
	if !s.held && s.quietAtFirst >= headerPatience {
		l.holdsBack = false
	}
}
