// SPDX-License-Identifier: Apache-2.0

package modeltest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// responseMonitor is a RoundTripper that reads the responses of the server and counts the
// reasons that they give the source to list again.
type responseMonitor struct {
	next          http.RoundTripper
	trace         *trace
	sourceVersion func() string // the version up to which the source has received everything, "" before its first list

	mu                sync.Mutex
	lostVersions      int            // responses and events with one of the relistReasons
	lastStream        *monitoredBody // the answer to the last watch, nil once it is counted
	shortStreams      int            // consecutive streams without events that ended within shortStreamAge
	abandonedVersions int            // versions that the source may give up because watches from them fail
	silentStreams     int            // consecutive streams without events that the client closed
	verifications     int            // requests that were answered
	checking          bool           // a check of the server's version is not answered
	refusals          int            // consecutive responses for which mayConcernVersion is true
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
	return m.lostVersions + m.abandonedVersions
}

// beginSession forgets the rows of the session before: the source counts from zero after each
// Start. That session's last stream gave no reason for a list, because none followed.
func (m *responseMonitor) beginSession() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lastStream, m.shortStreams, m.silentStreams, m.refusals = nil, 0, 0, 0
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
	query := r.URL.Query()
	streaming, list, check := query.Get("watch") != "", query.Get("sendInitialEvents") != "", query.Has("fieldSelector")
	if check {
		m.mu.Lock()
		m.checking = true
		m.mu.Unlock()
	}
	response, err := m.next.RoundTrip(r)
	if err != nil {
		m.trace.add("    request: watch %v, streaming list %v, from %q: %v", streaming, list, query.Get("resourceVersion"), err)
		m.failed(query, err)
		return nil, err
	}
	m.trace.add("    request: watch %v, streaming list %v, from %q: %s", streaming, list, query.Get("resourceVersion"), response.Status)
	m.answered(query, response)
	return response, nil
}

// failed notes a request that was not answered.
func (m *responseMonitor) failed(query url.Values, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if query.Get("watch") != "" && errors.Is(err, context.Canceled) {
		// The client may have taken an unanswered watch for open.
		m.lastStream = &monitoredBody{startVersion: query.Get("resourceVersion"), ended: time.Now(), closedByClient: true}
	}
	if query.Has("fieldSelector") {
		m.noteCheck()
	}
}

// answered notes an answer, and watches its body.
func (m *responseMonitor) answered(query url.Values, response *http.Response) {
	check := query.Has("fieldSelector")
	body := &monitoredBody{
		ReadCloser: response.Body, monitor: m, opened: time.Now(),
		accepted: response.StatusCode == http.StatusOK, check: check, startVersion: query.Get("resourceVersion"),
	}
	response.Body = body
	m.mu.Lock()
	defer m.mu.Unlock()
	if query.Get("watch") != "" {
		body.unchecked = m.checking
		m.lastStream = body
	}
	switch {
	case check && response.StatusCode >= 400:
		m.abandonedVersions++ // the server was silent and now refuses to report its version
	case !check && mayConcernVersion(response):
		if m.refusals++; m.refusals == 3 {
			m.refusals = 0
			m.abandonedVersions++
		}
	}
	if response.StatusCode == http.StatusGone {
		m.lostVersions++ // counted here because the client may not read the body
		body.lossCounted = true
	}
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

// noteCheck notes that a check of the server's version has ended, with an answer or without.
func (m *responseMonitor) noteCheck() {
	m.checking = false
	if b := m.lastStream; b != nil {
		b.checked = time.Now()
		if b.unchecked { // the client opens the stream only now
			b.opened, b.unchecked = b.checked, false
		}
	}
}

// countLastStream counts how the last stream ended. The monitor calls it at the client's
// next request. A check of the server's version is made beside the stream.
func (m *responseMonitor) countLastStream() {
	b := m.lastStream
	if b == nil || b.ended.IsZero() {
		return
	}
	m.lastStream = nil
	if b.startVersion == "" && !b.listed {
		return // a list that failed
	}
	advanced := m.hasAdvanced(b)
	switch {
	case b.closedByClient && advanced:
		m.silentStreams = 1 // the stream had events first and was silent afterwards
	case b.closedByClient:
		m.countSilentStream()
	case advanced:
		m.silentStreams = 0
	}
	if !b.accepted || b.closedByClient && b.ended.Equal(b.checked) {
		return // a check that was refused or not answered counts as a refusal of the stream
	}
	m.refusals = 0
	m.countShortStream(b, advanced)
}

// hasAdvanced reports whether the source has received anything since the version from which a
// stream started.
func (m *responseMonitor) hasAdvanced(b *monitoredBody) bool {
	now := m.sourceVersion()
	return b.startVersion != "" && now != "" && now != b.startVersion
}

// countShortStream counts a stream that was accepted if it ended within shortStreamAge.
func (m *responseMonitor) countShortStream(b *monitoredBody, advanced bool) {
	if advanced || b.ended.Sub(b.opened) >= shortStreamAge {
		m.shortStreams = 0
		return
	}
	if m.shortStreams++; m.shortStreams == maxShortStreams {
		m.shortStreams = 0
		m.abandonedVersions++
	}
}

// countSilentStream counts a stream that the client gave up without an event. The client also
// takes a watch for open whose refusal has a silent body.
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
	accepted       bool   // the status is 200
	check          bool   // it is the answer to a check of the server's version
	startVersion   string // the version that a stream starts from, "" if it starts with a list
	listed         bool   // the initial events of a streaming list are complete
	opened, ended  time.Time
	unchecked      bool      // it was answered during a check
	checked        time.Time // when a check beside the stream last ended
	tail           string    // the last bytes read, for words that two reads divide
	lossCounted    bool
	closedByClient bool
}

func (b *monitoredBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.monitor.mu.Lock()
	defer b.monitor.mu.Unlock()
	if !b.lossCounted {
		for _, word := range relistReasons {
			b.monitor.lostVersions += b.count(word, p[:n])
		}
	}
	if !b.listed && b.count(metav1.InitialEventsAnnotationKey, p[:n]) > 0 {
		b.listed, b.monitor.silentStreams = true, 0
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

// count counts a word in bytes that were read, and in the tail together with them.
func (b *monitoredBody) count(word string, read []byte) int {
	return strings.Count(b.tail[max(0, len(b.tail)-len(word)+1):]+string(read), word)
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
		if b.check {
			b.monitor.noteCheck()
		}
		b.monitor.trace.add("    ended after %v: %s", b.ended.Sub(b.opened), why)
	}
}
