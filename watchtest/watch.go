// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"io"
	"net/http"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// defaultTimeout is the timeout of a watch without timeoutSeconds. A real server takes a
// random time between 30 and 60 minutes.
const defaultTimeout = 45 * time.Minute

// watch answers a WATCH or a streaming list.
func (s *Server) watch(c *call, effects []activeEffect) (*http.Response, error) {
	unavailable, err := s.awaitStore(c, streamingListPatience)
	if err != nil {
		return nil, err
	}
	st, refusal := s.openStream(c, effects, unavailable)
	if refusal != nil {
		return c.refuse(refusal, effects), nil
	}
	if held := st.holdsHeaders(); held != nil {
		st.body.awaitFirst(held.lifted)
		if err := c.http.Context().Err(); err != nil {
			return nil, err
		}
	}
	return c.response(http.StatusOK, http.Header{}, c.media.streamType, st.body), nil
}

// holdsHeaders returns the effect that holds the answer back, nil for none. A Strike on all
// streams may add one at any time.
func (st *Stream) holdsHeaders() *activeEffect {
	st.server.mu.Lock()
	defer st.server.mu.Unlock()
	return st.held
}

// openStream opens a stream. If unavailable is not nil the stream has this error only. It
// holds mu, so the initial events are queued before any later change.
func (s *Server) openStream(c *call, effects []activeEffect, unavailable *apierrors.StatusError) (*Stream, *apierrors.StatusError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, err := s.firstEvents(c)
	if unavailable != nil {
		first, err = nil, unavailable
	}
	if err != nil && (apierrors.IsBadRequest(err) || s.config.expiredAtConnect && apierrors.IsResourceExpired(err)) {
		return nil, err
	}
	st := s.newStream(c, effects)
	for _, e := range first {
		st.send(e)
	}
	if err != nil {
		// Like the watch cache: a valid request is accepted, and a problem with its
		// version is reported in the stream.
		st.send(errorEvent(err.Status()))
		st.end(io.EOF)
	}
	st.start()
	return st, nil
}

func (s *Server) newStream(c *call, effects []activeEffect) *Stream {
	st := &Stream{
		server:  s,
		call:    c,
		opened:  time.Now(),
		expires: time.Now().Add(timeoutOf(c.opts)),
		due:     effects,
	}
	if !sendsInitialState(c.opts) {
		st.from, _ = parseVersion(c.opts.ResourceVersion)
	}
	st.body = newBody(c.http.Context(), c.media, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		st.unregister()
	})
	st.applyDue()
	return st
}

func timeoutOf(opts metav1.ListOptions) time.Duration {
	if opts.TimeoutSeconds == nil || *opts.TimeoutSeconds <= 0 {
		return defaultTimeout
	}
	return time.Duration(*opts.TimeoutSeconds) * time.Second
}

// firstEvents returns the first events of a stream: the current state, the changes since a
// version, or none.
func (s *Server) firstEvents(c *call) ([]*event, *apierrors.StatusError) {
	from, err := parseVersion(c.opts.ResourceVersion)
	if err != nil {
		return nil, err
	}
	switch {
	case sendsInitialState(c.opts) && from > s.store.version:
		return nil, tooLarge(from, s.store.version)
	case sendsInitialState(c.opts):
		return s.initialState(c), nil
	case from == 0:
		return nil, nil
	case from < s.store.compacted:
		return nil, tooOld(from, s.store.compacted)
	default:
		return s.changesAfter(from, c.selection), nil
	}
}

// sendsInitialState reports whether a stream begins with the current state. It does if the
// client requests that or, without sendInitialEvents, gives no version.
func sendsInitialState(opts metav1.ListOptions) bool {
	if opts.SendInitialEvents != nil {
		return *opts.SendInitialEvents
	}
	return opts.ResourceVersion == "" || opts.ResourceVersion == "0"
}

// initialState returns every selected pod as an ADDED event.
func (s *Server) initialState(c *call) []*event {
	var events []*event
	for _, pod := range s.store.at(s.store.version) {
		if c.selection.matches(pod) {
			events = append(events, podEvent(watch.Added, pod))
		}
	}
	if c.opts.SendInitialEvents != nil && c.opts.AllowWatchBookmarks {
		events = append(events, bookmark(versionString(s.store.version), true))
	}
	return events
}

func (s *Server) changesAfter(version uint64, sel selection) []*event {
	var events []*event
	for _, change := range s.store.after(version) {
		if e := change.eventFor(sel); e != nil {
			events = append(events, e)
		}
	}
	return events
}

// publish sends a change to the open streams.
func (s *Server) publish(change *change) {
	for _, st := range slices.Clone(s.streams) {
		if e := change.eventFor(st.call.selection); e != nil && change.version > st.from {
			st.send(e)
		}
	}
}
