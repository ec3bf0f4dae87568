// SPDX-License-Identifier: Apache-2.0

package watchtest

import (
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	// requestPatience is how long a server without its etcd lets a request wait, unless the
	// request asks for less with the parameter timeout.
	requestPatience = time.Minute
	// streamingListPatience is the same for a streaming list.
	streamingListPatience = 30 * time.Second
)

// A lostStore is the time in which the server has lost its etcd.
type lostStore struct {
	since time.Time
	back  chan struct{} // closed when the etcd is back
}

// LoseStore makes the server lose its etcd, until the function that it returns is called. As a
// real server that nobody stops does, it goes on from its cache:
//
//   - open streams stay open, and receive no events, and bookmarks of the last version;
//   - a WATCH from a version and a LIST from version "0" are answered, and the stream of that
//     WATCH receives no bookmarks;
//   - any other request waits for a minute, or for as long as its parameter timeout says, and
//     is answered with 504; a streaming list waits for 30 seconds, and then has an ERROR event.
//
// The methods of the server, as [Server.Create], still change pods. Do not call them before
// the etcd is back.
func (s *Server) LoseStore() (restore func()) {
	lost := &lostStore{since: time.Now(), back: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lost = lost
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.lost == lost {
			s.lost = nil
		}
		close(lost.back)
	})
}

// lacksBookmarks reports whether a stream was opened after the server has lost its etcd. The
// caller holds mu.
func (s *Server) lacksBookmarks(st *Stream) bool {
	return s.lost != nil && !st.opened.Before(s.lost.since)
}

// awaitStore waits until the server can answer a request, which may be at once. If it cannot
// within the time it returns the answer, and if the client gives up an error.
func (s *Server) awaitStore(c *call, patience time.Duration) (*apierrors.StatusError, error) {
	s.mu.Lock()
	lost := s.lost
	s.mu.Unlock()
	if lost == nil || c.fromCache() {
		return nil, nil
	}
	if asked, err := time.ParseDuration(c.http.URL.Query().Get("timeout")); err == nil && asked > 0 {
		patience = min(patience, asked)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	ctx := c.http.Context()
	select {
	case <-lost.back:
		return nil, nil
	case <-timer.C:
		return apierrors.NewTimeoutError("request did not complete within the allotted timeout", 0), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fromCache reports whether a real server answers a request from its cache alone.
func (c *call) fromCache() bool {
	return c.Verb == Watch || c.Verb == List && c.Options.ResourceVersion == "0"
}
