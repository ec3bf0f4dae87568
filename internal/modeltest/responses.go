// SPDX-License-Identifier: Apache-2.0

package modeltest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// responseMonitor is a RoundTripper that reads the responses of the server and counts the
// reasons that they give the source to list again.
type responseMonitor struct {
	next          http.RoundTripper
	trace         *trace
	sourceVersion func() uint64 // the version up to which the source has received everything

	mu                sync.Mutex
	lostVersions      int // responses and events with one of the relistReasons
	lastBody          *monitoredBody
	shortStreams      int // consecutive streams without events that ended within shortStreamAge
	abandonedVersions int // versions that the source may give up because watches from them fail
	silentStreams     int // consecutive streams without events that the client closed
	verifications     int // requests that were answered
	refusals          int // consecutive responses for which mayConcernVersion is true
}

// The source may give up a version after maxShortStreams consecutive streams from it that
// ended within shortStreamAge without an event.
const (
	shortStreamAge  = time.Second
	maxShortStreams = 4
)

// mayConcernVersion reports whether the third consecutive response like r causes a list.
func mayConcernVersion(r *http.Response) bool {
	switch r.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return false
	}
	return r.StatusCode >= 400 && r.Header.Get("Retry-After") == ""
}

// relistReasons are the texts in a response that cause a list: the version is gone, the
// server has not reached the version, or an object is not a pod.
var relistReasons = []string{"Expired", "ResourceVersionTooLarge", foreignReason}

func (m *responseMonitor) allowedLists() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.countLastStream()
	return m.lostVersions + m.abandonedVersions
}

func (m *responseMonitor) numLostVersions() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lostVersions
}

func (m *responseMonitor) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadataList") {
		return m.verify(r)
	}
	m.mu.Lock()
	m.countLastStream()
	m.mu.Unlock()
	response, err := m.next.RoundTrip(r)
	query := r.URL.Query()
	streaming, list := query.Get("watch") != "", query.Get("sendInitialEvents") != ""
	if err != nil {
		m.trace.add("    request: watch %v, streaming list %v, from %q: %v", streaming, list, query.Get("resourceVersion"), err)
		m.mu.Lock()
		defer m.mu.Unlock()
		if streaming && errors.Is(err, context.Canceled) {
			m.countSilentStream() // the client took an unanswered watch for open
		}
		return nil, err
	}
	m.trace.add("    request: watch %v, streaming list %v, from %q: %s", streaming, list, query.Get("resourceVersion"), response.Status)
	body := &monitoredBody{
		ReadCloser: response.Body, monitor: m, opened: time.Now(),
		streaming: streaming && response.StatusCode == http.StatusOK, startVersion: query.Get("resourceVersion"),
	}
	response.Body = body
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lastBody = body
	if query.Has("fieldSelector") && response.StatusCode >= 400 {
		m.abandonedVersions++ // the server was silent and now refuses to report its version
	}
	switch {
	case body.streaming:
		m.refusals = 0
	case mayConcernVersion(response):
		if m.refusals++; m.refusals == 3 {
			m.refusals = 0
			m.abandonedVersions++
		}
	}
	if response.StatusCode == http.StatusGone {
		m.lostVersions++ // counted here because the client may not read the body
		body.lossCounted = true
	}
	return response, nil
}

// verify passes on a request of a verification, which gives no reason for a list: no event is
// lost.
func (m *responseMonitor) verify(r *http.Request) (*http.Response, error) {
	response, err := m.next.RoundTrip(r)
	if err != nil {
		m.trace.add("    verification at %q: %v", r.URL.Query().Get("resourceVersion"), err)
		return nil, err
	}
	m.trace.add("    verification at %q: %s", r.URL.Query().Get("resourceVersion"), response.Status)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.verifications++
	return response, nil
}

// countLastStream counts how the last stream ended. The monitor calls it at the client's
// next request.
func (m *responseMonitor) countLastStream() {
	b := m.lastBody
	if b == nil || !b.streaming {
		return
	}
	m.lastBody = nil
	advanced := b.startVersion != "" && parseVersion(b.startVersion) != m.sourceVersion()
	if b.closedByClient && advanced {
		m.silentStreams = 1 // the stream had events first and was silent afterwards
	} else if b.closedByClient {
		m.countSilentStream()
	} else if advanced {
		m.silentStreams = 0
	}
	if b.ended.IsZero() || b.ended.Sub(b.opened) >= shortStreamAge || b.startVersion != "" && parseVersion(b.startVersion) != m.sourceVersion() {
		m.shortStreams = 0
		return
	}
	if m.shortStreams++; m.shortStreams == maxShortStreams {
		m.shortStreams = 0
		m.abandonedVersions++
	}
}

// countSilentStream counts a stream that the client gave up without an event.
func (m *responseMonitor) countSilentStream() {
	if m.silentStreams++; m.silentStreams > 1 {
		m.abandonedVersions++
	}
}

// monitoredBody is a response body. It searches for the relistReasons in the bytes that the
// client reads.
type monitoredBody struct {
	io.ReadCloser
	monitor        *responseMonitor
	streaming      bool
	startVersion   string // the version that a stream starts from, "" if it starts with a list
	opened, ended  time.Time
	tail           string // the last bytes read, for words that two reads divide
	lossCounted    bool
	closedByClient bool
}

func (b *monitoredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.monitor.mu.Lock()
	defer b.monitor.mu.Unlock()
	for _, word := range relistReasons {
		if b.lossCounted {
			break
		}
		text := b.tail[max(0, len(b.tail)-len(word)+1):] + string(p[:n])
		b.monitor.lostVersions += strings.Count(text, word)
	}
	if b.tail += string(p[:n]); len(b.tail) > 64 {
		b.tail = b.tail[len(b.tail)-64:]
	}
	if err != nil {
		b.closedByClient = b.closedByClient || errors.Is(err, context.Canceled)
		b.markEnded(err.Error())
	}
	return n, err
}

func (b *monitoredBody) Close() error {
	b.monitor.mu.Lock()
	b.closedByClient = b.closedByClient || b.ended.IsZero()
	b.markEnded("closed by the client")
	b.monitor.mu.Unlock()
	return b.ReadCloser.Close()
}

func (b *monitoredBody) markEnded(why string) {
	if b.ended.IsZero() {
		b.ended = time.Now()
		b.monitor.trace.add("    ended after %v: %s", b.ended.Sub(b.opened), why)
	}
}
