// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"io"
	"slices"
	"sync"
	"time"
)

// beforeTimeout is the time between the last bookmark of a stream and its timeout.
const beforeTimeout = 2 * time.Second

// A Stream is an open WATCH or streaming list.
type Stream struct {
	// Not modified after newStream.
	server  *Server
	call    *call
	body    *body
	from    uint64 // the stream receives only changes newer than this version
	opened  time.Time
	expires time.Time

	// Guarded by Server.mu.
	frames         int            // the number queued so far
	due            []activeEffect // effects that wait for more frames
	omitInitialEnd bool
	omitBookmarks  bool
	lose           int // events to come
	ended          bool
	timeout        *time.Timer
	bookmark       *time.Timer
	idles          []idleTimer
	limits         []*time.Timer
	held           *activeEffect // holds the answer back, nil for none
}

// idleTimer applies an effect when the stream has sent nothing for a time.
type idleTimer struct {
	*time.Timer
	after time.Duration
}

// Streams returns the open streams, the oldest first.
func (s *Server) Streams() []*Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.streams)
}

// Strike applies the effect to all open streams now. For later streams use a [Fault]. See
// [Stream.Strike].
func (s *Server) Strike(e Effect) (lift func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, lift := activate(e)
	for _, st := range slices.Clone(s.streams) {
		st.apply(a)
	}
	return lift
}

// Request returns the request that opened the stream.
func (st *Stream) Request() Request { return st.call.Request }

// Strike applies the effect to the stream, after all frames sent so far. The lift function
// ends [Silence], [Hang] and [Idle]. It does not affect the other effects.
func (st *Stream) Strike(e Effect) (lift func()) {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	a, lift := activate(e)
	st.apply(a)
	return lift
}

func activate(e Effect) (a activeEffect, lift func()) {
	lifted := make(chan struct{})
	return activeEffect{effect: e, lifted: lifted}, sync.OnceFunc(func() { close(lifted) })
}

// The callers of the methods below hold Server.mu.

// start adds the stream to the open streams. The first events are already queued.
func (st *Stream) start() {
	if st.ended {
		return
	}
	s := st.server
	s.streams = append(s.streams, st)
	st.timeout = time.AfterFunc(time.Until(st.expires), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		st.end(io.EOF)
	})
	if st.call.Options.AllowWatchBookmarks {
		st.scheduleBookmark()
	}
}

// scheduleBookmark starts the timer for the next bookmark. Bookmarks come at each interval
// and shortly before the timeout, so that the client resumes from the last one.
func (st *Stream) scheduleBookmark() {
	last := time.Until(st.expires) - beforeTimeout
	wait := st.server.config.bookmarks
	if wait <= 0 || last < wait {
		wait = last
	}
	if wait <= 0 {
		return
	}
	st.bookmark = time.AfterFunc(wait, func() {
		s := st.server
		s.mu.Lock()
		defer s.mu.Unlock()
		if st.ended {
			return
		}
		if !s.lacksBookmarks(st) {
			st.send(bookmark(versionString(s.store.version), false))
		}
		st.scheduleBookmark()
	})
}

// send queues one frame, unless an effect omits it.
func (st *Stream) send(e *event) {
	if st.ended || e.initialEnd && st.omitInitialEnd || e.periodicBookmark() && st.omitBookmarks {
		return
	}
	if st.lose > 0 && e.changesPod() {
		st.lose--
		return
	}
	st.body.push(item{document: e})
	st.frames++
	for _, timer := range st.idles {
		timer.Reset(timer.after)
	}
	st.applyDue()
}

func (st *Stream) applyDue() {
	st.due = slices.DeleteFunc(st.due, func(a activeEffect) bool {
		if a.after > st.frames {
			return false
		}
		st.apply(a)
		return true
	})
}

func (st *Stream) apply(a activeEffect) {
	switch a.effect.kind {
	case omitInitialEnd:
		st.omitInitialEnd = true
	case omitBookmarks:
		st.omitBookmarks = true
	case lose:
		st.lose += a.effect.events
	case answering, sending:
		st.body.push(item{document: errorEvent(a.effect.status)})
	case hang:
		a.effect.kind = silence
		st.body.queueEffect(a)
	case breaking:
		st.body.queueEffect(a)
		st.unregister()
	case idle:
		st.idles = append(st.idles, st.newIdleTimer(a))
	case limit:
		st.limits = append(st.limits, st.newLimitTimer(a))
	case holdHeaders:
		st.held = &a
	default:
		st.body.queueEffect(a)
	}
}

func (st *Stream) newIdleTimer(a activeEffect) idleTimer {
	var timer *time.Timer
	timer = time.AfterFunc(a.effect.pause, func() {
		st.server.mu.Lock()
		defer st.server.mu.Unlock()
		if st.ended || closed(a.lifted) {
			return
		}
		st.apply(activeEffect{effect: *a.effect.then, lifted: a.lifted})
		if !st.ended {
			timer.Reset(a.effect.pause)
		}
	})
	return idleTimer{timer, a.effect.pause}
}

func (st *Stream) newLimitTimer(a activeEffect) *time.Timer {
	return time.AfterFunc(a.effect.pause-time.Since(st.opened), func() {
		st.server.mu.Lock()
		defer st.server.mu.Unlock()
		if !st.ended && !closed(a.lifted) {
			st.apply(activeEffect{effect: *a.effect.then, lifted: a.lifted})
		}
	})
}

// end ends the stream from the server's side.
func (st *Stream) end(err error) {
	st.body.finish(err)
	st.unregister()
}

// unregister stops the timers and removes the stream from the open streams.
func (st *Stream) unregister() {
	st.ended = true
	for _, timer := range []*time.Timer{st.timeout, st.bookmark} {
		if timer != nil {
			timer.Stop()
		}
	}
	for _, timer := range st.idles {
		timer.Stop()
	}
	for _, timer := range st.limits {
		timer.Stop()
	}
	s := st.server
	s.streams = slices.DeleteFunc(s.streams, func(other *Stream) bool { return other == st })
}
