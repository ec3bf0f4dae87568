// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"errors"
	"time"

	"github.com/executorpods/watchsource/internal/failure"
)

const (
	// A stream that something cuts before its first bookmark leaves the version where it was.
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

	// After maxBare bounded streams in a row without a bookmark cuts teach nothing for
	// bareInterval: the server sends none. An idle server that has sent one may send the next.
	maxBare      = 5
	bareInterval = 5 * time.Minute
)

// cuts learns when a proxy, or the client itself, cuts streams. The zero value has seen no cut.
type cuts struct {
	clientTimeout time.Duration // at which the client cuts each stream, 0 for never

	age     time.Duration // of the stream that was last cut, 0 for none
	silence time.Duration // of that stream before the cut
	room    time.Duration // the silence of the last cut that a bookmark could have filled
	bounded bool          // the next stream is asked to end before such a silence
	trust   time.Duration // how long the bound is kept once it is confirmed, 0 until then
	until   time.Time     // when a stream is opened without the bound again
	seen    bool          // the server has sent bookmarks
	bare    int           // bounded streams in a row without one
	ignored time.Time     // cuts teach nothing before
}

// bound returns the longest time after which a stream may be asked to end, 0 for any.
func (c *cuts) bound() time.Duration {
	var silence time.Duration
	if c.bounded {
		silence = c.room
	}
	if c.clientTimeout >= minSilence && (silence == 0 || c.clientTimeout < silence) {
		silence = c.clientTimeout
	}
	return time.Duration(cutPart * float64(silence)).Truncate(time.Second)
}

// isKnown reports whether a stream ended as the one that was cut before it: at the same age, or
// after the same silence. On a busy stream any end comes after a short silence.
func (c *cuts) isKnown(end streamEnd) bool {
	return similar(end.asked, c.age) || end.silence >= minSilence && similar(end.silence, c.silence)
}

func similar(a, b time.Duration) bool { return b > 0 && (a-b).Abs() <= max(2*time.Second, b/5) }

// ended learns from the end of a stream.
func (c *cuts) ended(now time.Time, end streamEnd) {
	c.seen = c.seen || end.bookmark
	switch {
	case isCut(end):
		c.cut(now, end)
	case !end.asAsked():
	case !c.bounded:
		c.forget() // nothing cuts any more
	case end.bookmark || c.seen:
		c.bare = 0
		c.keep(now, end)
	default:
		if c.bare++; c.bare == maxBare {
			c.bare, c.bounded, c.ignored = 0, false, now.Add(bareInterval)
		}
	}
}

// forget forgets the last cut.
func (c *cuts) forget() {
	*c = cuts{clientTimeout: c.clientTimeout, seen: c.seen, ignored: c.ignored}
}

// keep keeps the bound after a stream that ended before it, or lets the next stream show whether
// anything still cuts. That streams are cut behind a proxy that holds answers back needs no proof.
func (c *cuts) keep(now time.Time, end streamEnd) {
	if end.heldBack && c.trust == 0 {
		c.trust = maxCutTrust
		c.until = now.Add(c.trust)
	}
	c.bounded = now.Before(c.until)
}

// cut learns from a stream that was cut.
func (c *cuts) cut(now time.Time, end streamEnd) {
	known := c.isKnown(end)
	c.age, c.silence = end.asked, end.silence
	if end.silence < minSilence || end.received && end.silence < freshSilence || now.Before(c.ignored) {
		return
	}
	c.room, c.bounded, c.until = end.silence, true, now
	if known {
		c.trust = min(max(minCutTrust, 2*c.trust), maxCutTrust)
		c.until = now.Add(c.trust)
	}
}

// isCut reports whether a stream ended before it was asked to, and not because of what the API
// server said or did not say.
func isCut(end streamEnd) bool {
	return !end.asAsked() && !failure.Answered(end.err) && !errors.Is(end.err, failure.ErrStalled) &&
		!errors.Is(end.err, failure.ErrNotUnderstood) && !errors.Is(end.err, failure.ErrNewHistory)
}
