// SPDX-License-Identifier: Apache-2.0

package retry

import (
	"sync"
	"time"

	"github.com/executorpods/watchsource/internal/rv"
)

const (
	// checkAfter is how long the API server may show nothing of its store until its version is
	// checked. An API server that has lost its etcd opens and ends watches as before, and sends
	// bookmarks of its last version. kube-apiserver sends a bookmark about once a minute, so the
	// last bookmark that moves the version comes within a minute after the loss. Healthy(3m) fails
	// three minutes after it, and by then the check is answered or has failed. The time is
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
	// After steadyMoves bookmarks in a row that move the version, it is unusual if one does not.
	steadyMoves = 3
)

// A Contact knows when the API server last showed that it has its store. Its methods are safe for
// concurrent use.
type Contact struct {
	// Guarded by mu.
	mu sync.Mutex
	// version is the last version of the server.
	version string
	// heard is the time of the last list, check, event, or bookmark that shows that the server has its store.
	heard time.Time
	// asked is the time of the last check that was answered.
	asked time.Time
	// unanswered is set if the last check was not answered.
	unanswered bool
	// quiet is set if the server has its store, and its streams may not show it.
	quiet bool
	// idle is set if nothing changes in the server's store, so that bookmarks do not move the version.
	idle bool
	// moves counts the bookmarks in a row that have moved the version.
	moves int
}

// Received notes a list or an event.
func (c *Contact) Received(now time.Time, version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard, c.version = now, version
}

// Bookmark notes a bookmark, and reports whether it shows that the server has its store. It does
// if it moves the version. If the answer to a check has shown that bookmarks do not always do
// that, any bookmark does: for answerStands, or while nothing changes in the cluster.
func (c *Contact) Bookmark(now time.Time, version string) bool {
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

// Answered notes the answer to a check. The server has its store although its streams do not
// show it, unless it had lost it.
func (c *Contact) Answered(now time.Time, version string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.heard.IsZero() && now.Sub(c.heard) >= bookmarkAge && !c.unanswered {
		c.quiet, c.idle, c.moves = true, !rv.Older(c.version, version), 0
	}
	c.unanswered = false
	c.heard, c.asked = now, now
}

// Version returns the last version that the server has shown.
func (c *Contact) Version() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.version
}

// Failed notes a check that was not answered.
func (c *Contact) Failed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unanswered = true
}

// vouchedAt reports whether the opening of a watch is a sign of life, although nothing has come.
func (c *Contact) vouchedAt(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.vouched(now)
}

// vouched reports whether the answer to a check still stands. The caller holds mu.
func (c *Contact) vouched(now time.Time) bool {
	return c.quiet && now.Sub(c.asked) < answerStands
}

// Due returns when the server's version must be checked.
func (c *Contact) Due() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	due := c.heard.Add(checkAfter)
	if stands := c.asked.Add(answerStands); c.quiet && stands.After(due) {
		return stands
	}
	return due
}

// MayResume reports whether a watch may be resumed without a check.
func (c *Contact) MayResume(now time.Time) bool { return now.Before(c.Due()) }
