// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"context"
	"sync"
	"time"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/rv"
)

const (
	// checkAfter is how long the API server may show nothing of its store until its version is
	// checked. An API server that has lost its etcd opens and ends watches as before, and sends
	// bookmarks of its last version. kube-apiserver sends a bookmark about once a minute, so the
	// last one that moves the version comes within a minute after the loss. Healthy(3m) fails
	// three minutes after that one, and by then the check is answered or has failed. The time is
	// longer than a watch that is asked to end early because no bookmarks come.
	checkAfter = 125 * time.Second
	// silenceCheckInterval is the shortest time between two lists that are made only because
	// nothing comes.
	silenceCheckInterval = 5 * time.Minute
	// answerStands is how long the answer to a check stands if the streams of the server do not
	// show that it has its store.
	answerStands = silenceCheckInterval + 30*time.Second
	// bookmarkAge is the age of a stream without bookmarks that shows that no more will come.
	bookmarkAge = 65 * time.Second
	// After steadyMoves bookmarks in a row that move the version, one that does not is unusual.
	steadyMoves = 3

	// A check is asked to be answered within checkTimeout, so that the server says itself what
	// is wrong, and is given up checkGrace after that.
	checkTimeout = 20 * time.Second
	checkGrace   = 5 * time.Second
)

// contact knows when the API server last showed that it has its store. Its methods are safe for
// concurrent use.
type contact struct {
	mu         sync.Mutex
	version    string    // that the server has shown last
	heard      time.Time // a list, a check, an event, or a bookmark that shows it
	asked      time.Time // a check was answered
	unanswered bool      // the last check was not answered
	quiet      bool      // the server has its store, and its streams may not show it
	idle       bool      // nothing changes in its store, so that bookmarks do not move the version
	moves      int       // bookmarks in a row that moved the version
}

// received notes a list or an event.
func (c *contact) received(now time.Time, version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard, c.version = now, version
}

// bookmark notes a bookmark, and reports whether it shows that the server has its store. It does
// if it moves the version. If the answer to a check has shown that bookmarks do not always do
// that, any bookmark does: for answerStands, or while nothing changes in the cluster.
func (c *contact) bookmark(now time.Time, version string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	moved := rv.Older(c.version, version)
	c.version = version
	switch {
	case !moved:
		c.moves = 0
		if !c.idle && !c.vouched(now) {
			return false
		}
	default:
		c.idle = false
		if now.Sub(c.asked) < answerStands {
			break // the check may have moved it
		}
		if c.moves++; c.moves >= steadyMoves {
			c.quiet = false
		}
	}
	c.heard = now
	return true
}

// answered notes the answer to a check. The server has its store although its streams do not
// show it, unless it had lost it.
func (c *contact) answered(now time.Time, version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.heard.IsZero() && now.Sub(c.heard) >= bookmarkAge && !c.unanswered {
		c.quiet, c.idle, c.moves = true, !rv.Older(c.version, version), 0
	}
	c.unanswered = false
	c.heard, c.asked = now, now
}

// held returns the version that the server has shown last.
func (c *contact) held() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.version
}

// failed notes a check that was not answered.
func (c *contact) failed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unanswered = true
}

// opened reports whether the opening of a watch is a sign of life, although nothing has come.
func (c *contact) opened(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.vouched(now)
}

// vouched reports whether the answer to a check still stands. The caller holds mu.
func (c *contact) vouched(now time.Time) bool {
	return c.quiet && now.Sub(c.asked) < answerStands
}

// due returns when the server's version must be checked.
func (c *contact) due() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	due := c.heard.Add(checkAfter)
	if stands := c.asked.Add(answerStands); c.quiet && stands.After(due) {
		return stands
	}
	return due
}

// mayResume reports whether a watch may be resumed without a check.
func (c *contact) mayResume(now time.Time) bool { return now.Before(c.due()) }

// watchStore checks the server's version beside a stream, whenever that is due, until the
// function that it returns is called. It ends the stream with the error of a check that is not
// answered, or that shows a new history.
func (l *Loop) watchStore(s *stream) (stop func()) {
	if l.fake || s.probe {
		return func() {}
	}
	ctx, cancel := context.WithCancel(s.ctx)
	busy := make(chan struct{}, 1) // holds a token during a check; a mutex would stop the clock of a synctest bubble
	contact := &l.policy.contact
	var timer *time.Timer
	timer = time.AfterFunc(time.Hour, func() {
		busy <- struct{}{}
		defer func() { <-busy }()
		if ctx.Err() != nil {
			return
		}
		if wait := time.Until(contact.due()); wait > 0 {
			timer.Reset(wait)
			return
		}
		if !s.waiting.Load() { // the store or the observer is silent, not the server
			timer.Reset(checkGrace)
			return
		}
		if err := l.checkStore(ctx); err != nil {
			s.cancel(err)
			return
		}
		timer.Reset(time.Until(contact.due()))
	})
	timer.Reset(time.Until(contact.due()))
	return func() {
		cancel()
		busy <- struct{}{}
		timer.Stop()
		<-busy
	}
}

// checkStore checks that the server has its store.
func (l *Loop) checkStore(ctx context.Context) error {
	held := l.policy.contact.held()
	version, err := l.version(ctx)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case failure.RefusesClient(err):
		version = held
	case err != nil:
		return failure.Late(err)
	case rv.Older(version, held):
		return failure.ErrNewHistory
	}
	l.policy.contact.answered(time.Now(), version)
	l.Report(Event{Kind: Checked, Heard: true})
	return nil
}
