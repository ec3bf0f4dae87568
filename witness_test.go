// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/podtest"
)

// This file has the checks of the model test. A checkingStore stands between the source
// and the Store, checkingReaders read the Store, and a responseMonitor reads the responses
// of the server.

// checkingStore is a SnapshotsStore that compares its calls with the history of the server,
// and forwards them to a Store. It must receive each event once and in order, except the
// events that a full list includes. Each full list must equal the server's state at the
// version of the list.
type checkingStore struct {
	inner   *watchsource.Store
	fail    func(format string, args ...any)
	history *history
	trimmed bool

	mu              sync.Mutex
	stopped         bool // Stop has returned
	callCount       int
	nextEvent       int // index in the history of the next event that the store must receive
	lastVersion     uint64
	awaitingVersion bool // the last call was a full list, and its version follows
	pods            map[types.NamespacedName]*corev1.Pod
	expected        []lifecycleEvent // readers must receive these, in this order for each executor
	lastSnapshot    watchsource.Snapshot
}

// lifecycleEvent is the end or the deletion of an executor. Every reader must receive it.
type lifecycleEvent struct {
	uid  types.UID
	kind string // "end " and the number of the end, or gone
}

const gone = "gone"

func newCheckingStore(fail func(string, ...any), h *history, trimmed bool) *checkingStore {
	return &checkingStore{
		inner: watchsource.NewStore(), fail: fail, history: h, trimmed: trimmed,
		pods: map[types.NamespacedName]*corev1.Pod{},
	}
}

// beginCall locks the store and checks that the call is allowed now: only the version may
// follow a full list.
func (s *checkingStore) beginCall(call string, args ...any) {
	s.mu.Lock()
	s.callCount++
	received := fmt.Sprintf(call, args...)
	s.history.trace.add("  store: %s", received)
	switch {
	case s.stopped:
		s.fail("the store received %q after Stop, want no call", received)
	case s.awaitingVersion && !strings.HasPrefix(call, "version"):
		s.fail("the store received %q after a full list, want the version of the list first", received)
	case s.lastVersion == 0 && !s.awaitingVersion && !strings.HasPrefix(call, "list"):
		s.fail("the store received %q before the first full list, want that list first", received)
	}
}

// endCall checks the store and unlocks it.
func (s *checkingStore) endCall() {
	snapshot := s.inner.Snapshot()
	if problem := inconsistency(snapshot); problem != "" {
		s.fail("the snapshot is inconsistent: %s", problem)
	}
	if problem := regression(s.lastSnapshot, snapshot); problem != "" {
		s.fail("the store went back: %s", problem)
	}
	s.lastSnapshot = snapshot
	s.mu.Unlock()
}

func (s *checkingStore) UpdatePod(p *corev1.Pod) {
	s.beginCall("update %s at %s: %s", p.Name, p.ResourceVersion, stateOf(p))
	defer s.endCall()
	s.checkEvent(p, watch.Added, watch.Modified)
	s.recordPod(p)
	s.inner.UpdatePod(p)
}

func (s *checkingStore) DeletePod(p *corev1.Pod) {
	s.beginCall("delete %s at %s", p.Name, p.ResourceVersion)
	defer s.endCall()
	s.checkEvent(p, watch.Deleted)
	s.recordPod(p)
	s.recordDeletion(p)
	s.inner.DeletePod(p)
}

func (s *checkingStore) ReplaceSnapshot(pods []*corev1.Pod) {
	s.beginCall("list of %d", len(pods))
	defer s.endCall()
	s.awaitingVersion = true
	present := map[types.NamespacedName]*corev1.Pod{}
	for _, p := range pods {
		present[keyOf(p)] = p
	}
	for at, p := range s.pods {
		if now := present[at]; now == nil || now.UID != p.UID {
			s.recordDeletion(p)
		}
	}
	for _, p := range pods {
		s.recordPod(p)
	}
	s.inner.ReplaceSnapshot(pods)
}

func (s *checkingStore) ObserveResourceVersion(version string) {
	s.beginCall("version %s", version)
	defer s.endCall()
	now := parseVersion(version)
	if now < s.lastVersion && !(s.awaitingVersion && s.lastVersion-now > historyGap) {
		s.fail("the store received version %d after version %d, want none that is older", now, s.lastVersion)
		return
	}
	s.lastVersion = now
	if s.awaitingVersion {
		s.awaitingVersion = false
		var want map[types.NamespacedName]*corev1.Pod
		want, s.nextEvent = s.history.podsAt(now)
		s.checkList(want)
	} else if event, p, ok := s.history.eventAt(s.nextEvent, now); ok && versionOf(p) <= now {
		s.fail("the store received version %d, want %s %s at %d before it", now, event.Type, p.Name, versionOf(p))
	}
	s.inner.ObserveResourceVersion(version)
}

// checkEvent compares a received pod with the next event of the history.
func (s *checkingStore) checkEvent(p *corev1.Pod, kinds ...watch.EventType) {
	event, want, ok := s.history.eventAt(s.nextEvent, versionOf(p))
	s.nextEvent++
	switch {
	case !ok:
		s.fail("the store received %s at %s, want no event", p.Name, p.ResourceVersion)
	case want.ResourceVersion != p.ResourceVersion || !slices.Contains(kinds, event.Type):
		s.fail("the store received %v of %s at %s, want %s of %s at %s", kinds, p.Name, p.ResourceVersion, event.Type, want.Name, want.ResourceVersion)
	case !podtest.Equal(p, s.storedForm(want)):
		s.fail("the store received %s at %s as\n%v\nwant\n%v", p.Name, p.ResourceVersion, p, s.storedForm(want))
	}
}

// checkList compares the pods of a full list with the history.
func (s *checkingStore) checkList(want map[types.NamespacedName]*corev1.Pod) {
	if len(s.pods) != len(want) {
		s.fail("a full list has %d pods, want %d", len(s.pods), len(want))
	}
	for at, p := range want {
		if got := s.pods[at]; got == nil || !podtest.Equal(got, s.storedForm(p)) {
			s.fail("a full list has\n%v\nwant\n%v", got, s.storedForm(p))
		}
	}
}

// storedForm returns a pod in the form that the store receives.
func (s *checkingStore) storedForm(p *corev1.Pod) *corev1.Pod {
	p = p.DeepCopy()
	p.ManagedFields = nil
	if s.trimmed {
		p.Spec = podtest.TrimmedSpec(p)
	}
	return p
}

// recordPod records a state of a pod. If the state has an end that the previous state did
// not have, every reader must receive that end.
func (s *checkingStore) recordPod(p *corev1.Pod) {
	before := s.pods[keyOf(p)]
	if before != nil && before.UID != p.UID {
		s.fail("the store received %s with UID %s, want a deletion of UID %s first", p.Name, p.UID, before.UID)
	}
	if end := endOf(p); end != "" && (before == nil || endOf(before) != end) {
		s.expected = append(s.expected, lifecycleEvent{p.UID, "end " + end})
	}
	s.pods[keyOf(p)] = p
}

func (s *checkingStore) recordDeletion(p *corev1.Pod) {
	s.expected = append(s.expected, lifecycleEvent{p.UID, gone})
	delete(s.pods, keyOf(p))
}

// The test calls markStopped after Stop, and markStarted before the next Start. A new
// session may begin at a version that the store already has.
func (s *checkingStore) markStopped() { s.withLock(func() { s.stopped = true }) }
func (s *checkingStore) markStarted() { s.withLock(func() { s.stopped = false }) }

func (s *checkingStore) withLock(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *checkingStore) numCalls() (n int) {
	s.withLock(func() { n = s.callCount })
	return n
}

func (s *checkingStore) resourceVersion() (version uint64) {
	s.withLock(func() { version = s.lastVersion })
	return version
}

// expectedFromNow returns the events that a reader that starts now must receive: those in
// its first batch, and the index in s.expected of the first event after these.
func (s *checkingStore) expectedFromNow() (first int, atStart []lifecycleEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pods {
		if end := endOf(p); end != "" {
			atStart = append(atStart, lifecycleEvent{p.UID, "end " + end})
		}
	}
	return len(s.expected), atStart
}

// expectedSince returns, by executor, the events that a reader must have received. Its
// arguments are the results of expectedFromNow when the reader started.
func (s *checkingStore) expectedSince(first int, atStart []lifecycleEvent) map[types.UID][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return byExecutor(append(slices.Clip(atStart), s.expected[first:]...))
}

func byExecutor(events []lifecycleEvent) map[types.UID][]string {
	kinds := map[types.UID][]string{}
	for _, e := range events {
		kinds[e.uid] = append(kinds[e.uid], e.kind)
	}
	return kinds
}

// compareToList compares the store with a LIST, field by field.
func (s *checkingStore) compareToList() {
	fresh := watchsource.NewStore()
	for _, p := range s.history.server.List(executors) {
		if s.history.selects(&p) {
			fresh.UpdatePod(s.storedForm(&p))
		}
	}
	want := slices.Collect(fresh.Snapshot().All())
	got := slices.Collect(s.inner.Snapshot().All())
	if len(got) != len(want) {
		s.fail("the store has %d executors, want %d as in a LIST", len(got), len(want))
		return
	}
	for i := range want {
		same := podtest.Equal(got[i].Pod, want[i].Pod)
		got[i].Pod, want[i].Pod = nil, nil
		if !same || got[i] != want[i] {
			s.fail("the store has %+v, want %+v as in a LIST (equal pods: %v)", got[i], want[i], same)
		}
	}
	if !s.inner.Snapshot().Complete() {
		s.fail("the snapshot is not complete, want a complete one")
	}
}

// inconsistency describes the first place where the order, a count or a look-up of a
// snapshot does not agree with its contents. It returns "" for a consistent snapshot.
func inconsistency(s watchsource.Snapshot) string {
	counts := map[watchsource.State]int{}
	byName, byID := map[string]watchsource.Executor{}, map[string]watchsource.Executor{}
	last, n := watchsource.Executor{}, 0
	for e := range s.All() {
		if n > 0 && (e.Name < last.Name || e.Name == last.Name && e.Namespace <= last.Namespace) {
			return fmt.Sprintf("%s/%s comes after %s/%s, want it before", e.Namespace, e.Name, last.Namespace, last.Name)
		}
		last, n = e, n+1
		counts[e.State]++
		if _, ok := byName[e.Name]; !ok {
			byName[e.Name] = e
		}
		if other, ok := byID[e.ID]; !ok || e.CreatedAt.After(other.CreatedAt) {
			byID[e.ID] = e
		}
	}
	if s.Len() != n {
		return fmt.Sprintf("Len is %d, want %d as in All", s.Len(), n)
	}
	if counts[watchsource.Deleted] > 0 {
		return fmt.Sprintf("%d executors are Deleted, want none", counts[watchsource.Deleted])
	}
	for state := range watchsource.Deleted + 2 {
		if s.Count(state) != counts[state] {
			return fmt.Sprintf("Count(%v) is %d, want %d as in All", state, s.Count(state), counts[state])
		}
	}
	for name, want := range byName {
		if got, ok := s.Get(name); !ok || got != want {
			return fmt.Sprintf("Get(%q) is %v, %+v, want %+v", name, ok, got, want)
		}
	}
	for id, want := range byID {
		if got, ok := s.ByID(id); id != "" && (!ok || got != want) {
			return fmt.Sprintf("ByID(%q) is %v, %+v, want %+v", id, ok, got, want)
		}
	}
	return ""
}

// regression describes the first value that is older in the second snapshot than in the
// first. It returns "" if nothing is older.
func regression(before, after watchsource.Snapshot) string {
	versions := map[types.UID]string{}
	for e := range before.All() {
		versions[podKey(e)] = e.ResourceVersion
	}
	for e := range after.All() {
		if v := versions[podKey(e)]; precedes(e.ResourceVersion, v) {
			return fmt.Sprintf("%s is at version %s after version %s", e.Name, e.ResourceVersion, v)
		}
	}
	if a, b := before.ResourceVersion(), after.ResourceVersion(); precedes(b, a) {
		return fmt.Sprintf("the snapshot's version is %s after %s", b, a)
	}
	if before.Complete() && !after.Complete() || after.SyncedAt().Before(before.SyncedAt()) {
		return fmt.Sprintf("complete %v, synced at %v, after complete %v, synced at %v", after.Complete(), after.SyncedAt(), before.Complete(), before.SyncedAt())
	}
	return ""
}

// podKey returns a key that differs between a pod and a later pod of the same name.
func podKey(e watchsource.Executor) types.UID {
	if e.UID != "" {
		return e.UID
	}
	return types.UID(e.Namespace + "/" + e.Name)
}

// precedes reports whether version a is known to be older than b. No object has the
// version "0" (KEP-5504).
func precedes(a, b string) bool {
	if a == "0" || b == "0" {
		return false
	}
	m, err := strconv.ParseUint(a, 10, 64)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(b, 10, 64)
	return err == nil && m < n && n-m < historyGap // a larger gap separates two histories
}

// checkingReader reads the batches of a store and checks them.
type checkingReader struct {
	fail       func(format string, args ...any)
	interval   time.Duration
	pause      time.Duration // after each batch
	ctx        context.Context
	cancel     context.CancelFunc
	allowOlder bool // a list may come from an earlier history

	firstExpected   int // the results of expectedFromNow when the reader started
	expectedAtStart []lifecycleEvent
	view            map[types.UID]watchsource.Executor // after the last batch
	received        []lifecycleEvent

	batches   int
	lastBatch time.Time
}

// longestInterval is the longest time between two batches of a checkingReader.
const longestInterval = 3 * time.Minute

func newCheckingReader(ctx context.Context, fail func(string, ...any), r *rand.Rand) *checkingReader {
	ctx, cancel := context.WithCancel(ctx)
	intervals := []time.Duration{0, 0, time.Millisecond, time.Second, time.Minute, 2 * time.Minute}
	pauses := []time.Duration{0, 0, 0, 5 * time.Second, time.Minute}
	return &checkingReader{
		fail: fail, interval: intervals[r.IntN(len(intervals))], pause: pauses[r.IntN(len(pauses))],
		ctx: ctx, cancel: cancel, view: map[types.UID]watchsource.Executor{},
	}
}

// readBatches checks each batch until the reader is cancelled.
func (r *checkingReader) readBatches(store *watchsource.Store) {
	for batch := range store.Batches(r.ctx, r.interval) {
		r.checkBatch(batch)
		time.Sleep(r.pause)
	}
}

// readLatest checks the order of the snapshots that Latest returns.
func (r *checkingReader) readLatest(store *watchsource.Store) {
	var before watchsource.Snapshot
	for {
		snapshot, superseded := store.Latest()
		if problem := regression(before, snapshot); problem != "" {
			r.fail("Latest returned an older snapshot: %s", problem)
		}
		before = snapshot
		select {
		case <-superseded:
		case <-r.ctx.Done():
			return
		}
	}
}

// checkBatch checks that the changes of a batch lead from the reader's view to the snapshot
// of the batch.
func (r *checkingReader) checkBatch(batch watchsource.Batch) {
	if r.batches++; r.batches > 1 {
		if len(batch.Changes) == 0 {
			r.fail("a batch after the first has no changes, want at least one")
		}
		if d := time.Since(r.lastBatch); d < r.interval {
			r.fail("a batch arrived %v after another, want at least %v", d, r.interval)
		}
	}
	r.lastBatch = time.Now()
	for _, c := range batch.Changes {
		r.checkChange(c)
	}
	n := 0
	for e := range batch.Snapshot.All() {
		n++
		if r.view[podKey(e)] != e {
			r.fail("the changes lead to %+v, want %+v as in the snapshot", r.view[podKey(e)], e)
		}
	}
	if n != len(r.view) {
		r.fail("the changes lead to %d executors, want %d as in the snapshot", len(r.view), n)
	}
}

func (r *checkingReader) checkChange(c watchsource.Change) {
	key := podKey(*c.After)
	before, known := r.view[key]
	if known != (c.Before != nil) || known && *c.Before != before {
		r.fail("a change of %s has Before %+v, want the last reported state %+v (known: %v)", c.After.Name, c.Before, before, known)
		return
	}
	if known && !r.allowOlder && precedes(c.After.ResourceVersion, before.ResourceVersion) {
		r.fail("a change of %s leads from version %s to %s, want a newer one", c.After.Name, before.ResourceVersion, c.After.ResourceVersion)
	}
	if c.After.State == watchsource.Deleted {
		r.received = append(r.received, lifecycleEvent{key, gone})
		delete(r.view, key)
		return
	}
	r.view[key] = *c.After
	if want := stateOf(c.After.Pod); want != "" && want != c.After.State.String() {
		r.fail("%s has state %v, want %s", c.After.Name, c.After.State, want)
	}
	if end := endOf(c.After.Pod); end != "" && (!known || endOf(before.Pod) != end) {
		r.received = append(r.received, lifecycleEvent{key, "end " + end})
	}
}

// checkComplete checks that the reader received every end and every deletion that the store
// received, each once and in order for each executor. A cancelled reader may lack the last
// of them.
func (r *checkingReader) checkComplete(s *checkingStore) {
	expected, received := s.expectedSince(r.firstExpected, r.expectedAtStart), byExecutor(r.received)
	if s.history.isRestored() {
		// If a restore undoes an end, the same end can happen again.
		for _, events := range []map[types.UID][]string{expected, received} {
			for uid := range events {
				events[uid] = slices.Compact(events[uid])
			}
		}
	}
	for uid, want := range expected {
		got := received[uid]
		if r.ctx.Err() != nil && len(got) < len(want) {
			want = want[:len(got)]
		}
		if !slices.Equal(got, want) {
			r.fail("the reader with interval %v received %q of %s, want %q", r.interval, got, uid, want)
		}
	}
	for uid, got := range received {
		if expected[uid] == nil {
			r.fail("the reader with interval %v received %q of %s, want nothing", r.interval, got, uid)
		}
	}
}

// responseMonitor is a RoundTripper that reads the responses of the server and counts the
// reasons that they give the source to list again.
type responseMonitor struct {
	next         http.RoundTripper
	trace        *trace
	storeVersion func() uint64 // the version up to which the store is complete

	mu                sync.Mutex
	lostVersions      int // responses and events with one of the relistReasons
	lastBody          *monitoredBody
	shortStreams      int // consecutive streams without events that ended within shortStreamAge
	abandonedVersions int // versions that the source may give up because watches from them fail
	silentStreams     int // consecutive streams without events that the client closed
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
	m.mu.Lock()
	m.countLastStream()
	m.mu.Unlock()
	response, err := m.next.RoundTrip(r)
	query := r.URL.Query()
	streaming, list := query.Get("watch") != "", query.Get("sendInitialEvents") != ""
	if err != nil {
		m.trace.add("    request: watch %v, streaming list %v, from %q: %v", streaming, list, query.Get("resourceVersion"), err)
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

// countLastStream counts how the last stream ended. The monitor calls it at the client's
// next request.
func (m *responseMonitor) countLastStream() {
	b := m.lastBody
	if b == nil || !b.streaming {
		return
	}
	m.lastBody = nil
	advanced := b.startVersion != "" && parseVersion(b.startVersion) != m.storeVersion()
	if b.closedByClient && advanced {
		m.silentStreams = 1 // the stream had events first and was silent afterwards
	} else if b.closedByClient {
		if m.silentStreams++; m.silentStreams > 1 {
			m.abandonedVersions++
		}
	} else if advanced {
		m.silentStreams = 0
	}
	if b.ended.IsZero() || b.ended.Sub(b.opened) >= shortStreamAge || b.startVersion != "" && parseVersion(b.startVersion) != m.storeVersion() {
		m.shortStreams = 0
		return
	}
	if m.shortStreams++; m.shortStreams == maxShortStreams {
		m.shortStreams = 0
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
