// SPDX-License-Identifier: Apache-2.0

package retry

import (
	"errors"
	"time"

	"github.com/executorpods/watchsource/internal/failure"
)

const (
	// A stream that something cuts before its first bookmark does not move the version.
	// On a busy cluster that version soon leaves the API server's cache. Therefore the next
	// stream is asked to end after cutPart of the time that the cut stream was silent:
	// kube-apiserver sends a bookmark about two seconds before that end. The part leaves room
	// for a proxy that closes the connection a second after it has ended the request (Envoy).
	cutPart = 0.8
	// minSilence is the silence before a cut that a bookmark can fill.
	minSilence = 4 * time.Second
	// freshSilence is the silence before a cut that leaves the version fresh enough if an event
	// or a bookmark came before it.
	freshSilence = 10 * time.Second

	// One cut may be a broken connection, so the stream after the next is not bounded. Two
	// similar cuts are those of one proxy. After those the bound is kept for minCutTrust, and
	// twice as long each time that another cut confirms it, so that a proxy that has changed
	// is noticed.
	minCutTrust = 10 * time.Minute
	maxCutTrust = 2 * time.Hour
	// Behind a proxy that holds answers back, one cut after idleLimit is enough: such proxies cut
	// idle streams, after a minute by default. A shorter silence may be a connection that broke.
	idleLimit = 30 * time.Second

	// After maxBare bounded streams in a row without a bookmark cuts teach nothing for
	// bareInterval: the server sends none. An idle server that has sent one may send the next.
	maxBare      = 5
	bareInterval = 5 * time.Minute
)

// A StreamEnd is how a stream ended.
type StreamEnd struct {
	// Err is nil if the stream ended in good order.
	Err error
	// Age is the time since the stream was opened, and Asked the time since it was requested.
	Age, Asked time.Duration
	// Silence is the time since the last event or bookmark, or since the stream was requested.
	Silence time.Duration
	// Timeout is the time after which the server was asked to end the stream.
	Timeout time.Duration
	// Progressed is set if the version to resume from has moved.
	Progressed bool
	// Received is set if an event or a bookmark came, and Bookmark if a bookmark came.
	Received, Bookmark bool
	// HeldBack is set if a proxy holds answers back until the first event.
	HeldBack bool
}

// AsAsked reports whether the server ended the stream in good order when it
// was asked to. This shows that the server can still be heard.
func (e StreamEnd) AsAsked() bool {
	return e.Err == nil && e.Asked > 0 && e.Asked >= e.Timeout-time.Second
}

func (e StreamEnd) heard() bool { return e.Received || e.AsAsked() }

// Cuts learns when a proxy, or the client itself, cuts streams. The zero value has seen no cut.
type Cuts struct {
	// ClientTimeout is the age at which the client cuts each stream, 0 for never.
	ClientTimeout time.Duration

	// age is the age of the stream that was last cut, 0 for none. silence is the time without an event before that cut.
	age, silence time.Duration
	// room is the silence of the last cut that a bookmark could have filled.
	room time.Duration
	// bounded is set if the next stream is asked to end before such a silence.
	bounded bool
	// trust is how long the bound is kept once it is confirmed, 0 until then.
	trust time.Duration
	// until is when a stream is opened without the bound again.
	until time.Time
	// seen is set if the server has sent bookmarks.
	seen bool
	// bare counts the bounded streams in a row without a bookmark.
	bare int
	// ignored is the time before which cuts teach nothing.
	ignored time.Time
}

// Bound returns the longest time after which a stream may be asked to end, 0 for any.
func (c *Cuts) Bound() time.Duration {
	var silence time.Duration
	if c.bounded {
		silence = c.room
	}
	if c.ClientTimeout >= minSilence && (silence == 0 || c.ClientTimeout < silence) {
		silence = c.ClientTimeout
	}
	return time.Duration(cutPart * float64(silence)).Truncate(time.Second)
}

// isKnown reports whether a stream ended like the stream that was cut before it: at the same age, or
// after the same silence. On a busy stream any end comes after a short silence.
func (c *Cuts) isKnown(end StreamEnd) bool {
	return similar(end.Asked, c.age) || end.Silence >= minSilence && similar(end.Silence, c.silence)
}

func similar(a, b time.Duration) bool { return b > 0 && (a-b).Abs() <= max(2*time.Second, b/5) }

// ended learns from the end of a stream.
func (c *Cuts) ended(now time.Time, end StreamEnd) {
	c.seen = c.seen || end.Bookmark
	switch {
	case isCut(end):
		c.cut(now, end)
	case !end.AsAsked():
	case !c.bounded:
		c.forget() // nothing cuts any more
	case end.Bookmark || c.seen:
		c.bare = 0
		c.keep(now, end)
	default:
		if c.bare++; c.bare == maxBare {
			c.bare, c.bounded, c.ignored = 0, false, now.Add(bareInterval)
		}
	}
}

// forget forgets the last cut.
func (c *Cuts) forget() {
	*c = Cuts{ClientTimeout: c.ClientTimeout, seen: c.seen, ignored: c.ignored}
}

// keep keeps the bound after a stream that ended before it, or lets the next stream show whether
// anything still cuts. That idle streams are cut behind a proxy that holds answers back needs no
// other proof.
func (c *Cuts) keep(now time.Time, end StreamEnd) {
	if end.HeldBack && c.trust == 0 && c.room >= idleLimit {
		c.trust = maxCutTrust
		c.until = now.Add(c.trust)
	}
	c.bounded = now.Before(c.until)
}

// cut learns from a stream that was cut.
func (c *Cuts) cut(now time.Time, end StreamEnd) {
	known := c.isKnown(end)
	c.age, c.silence = end.Asked, end.Silence
	if end.Silence < minSilence || end.Received && end.Silence < freshSilence || now.Before(c.ignored) {
		return
	}
	c.room, c.bounded, c.until = end.Silence, true, now
	if known {
		c.trust = min(max(minCutTrust, 2*c.trust), maxCutTrust)
		c.until = now.Add(c.trust)
	}
}

// isCut reports whether a stream ended before it was asked to, and not because of what the API
// server said or did not say.
func isCut(end StreamEnd) bool {
	return !end.AsAsked() && !failure.Answered(end.Err) && !errors.Is(end.Err, failure.ErrStalled) &&
		!errors.Is(end.Err, failure.ErrNotUnderstood) && !errors.Is(end.Err, failure.ErrNewHistory)
}
