// SPDX-License-Identifier: Apache-2.0

package modeltest

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// checkingStore is a SnapshotsStore that compares its calls with the history of the server,
// and forwards them to a Store and to a StoreBy. It must receive each event once and in order, except the
// events that a full list includes. Each full list must equal the server's state at the
// version of the list.
type checkingStore struct {
	inner   *watchsource.Store
	divided *dividedStore
	fail    func(format string, args ...any)
	history *history
	trimmed bool

	mu              sync.Mutex
	stopped         bool // Stop has returned
	observedStop    bool // the last call was ObserveStop
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
		inner: watchsource.NewStore(), divided: newDividedStore(fail), fail: fail, history: h, trimmed: trimmed,
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
	case s.observedStop && !strings.HasPrefix(call, "list"):
		s.fail("the store received %q after ObserveStop, want no call but the next list", received)
	case s.awaitingVersion && !strings.HasPrefix(call, "version"):
		s.fail("the store received %q after a full list, want the version of the list first", received)
	case s.lastVersion == 0 && !s.awaitingVersion && !strings.HasPrefix(call, "list"):
		s.fail("the store received %q before the first full list, want that list first", received)
	}
}

// endCall checks the store and unlocks it.
func (s *checkingStore) endCall() {
	snapshot := s.inner.Snapshot()
	if problem := Inconsistency(snapshot); problem != "" {
		s.fail("the snapshot is inconsistent: %s", problem)
	}
	if problem := Regression(s.lastSnapshot, snapshot); problem != "" {
		s.fail("the store went back: %s", problem)
	}
	s.lastSnapshot = snapshot
	s.divided.check(snapshot)
	s.mu.Unlock()
}

func (s *checkingStore) UpdatePod(p *corev1.Pod) {
	s.beginCall("update %s at %s: %s", p.Name, p.ResourceVersion, stateOf(p))
	defer s.endCall()
	s.checkEvent(p, watch.Added, watch.Modified)
	s.recordPod(p)
	s.inner.UpdatePod(p)
	s.divided.UpdatePod(p)
}

func (s *checkingStore) DeletePod(p *corev1.Pod) {
	s.beginCall("delete %s at %s", p.Name, p.ResourceVersion)
	defer s.endCall()
	s.checkEvent(p, watch.Deleted)
	s.recordPod(p)
	s.recordDeletion(p)
	s.inner.DeletePod(p)
	s.divided.DeletePod(p)
}

func (s *checkingStore) ReplaceSnapshot(pods []*corev1.Pod) {
	s.beginCall("list of %d", len(pods))
	defer s.endCall()
	s.awaitingVersion, s.observedStop = true, false
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
	s.divided.ReplaceSnapshot(slices.Clone(pods))
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
	s.divided.ObserveResourceVersion(version)
	s.divided.checkVersion(s.inner.Snapshot())
}

// ObserveStop is the last call of a session.
func (s *checkingStore) ObserveStop() {
	s.beginCall("stop")
	defer s.endCall()
	s.observedStop = true
	s.inner.ObserveStop()
	s.divided.ObserveStop()
}

// hasStopped reports whether the store has received ObserveStop, and no list since.
func (s *checkingStore) hasStopped() (stopped bool) {
	s.withLock(func() { stopped = s.observedStop })
	return stopped
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
	case podtest.Equal(p, s.storedForm(want)):
	case event.Type == watch.Deleted && podtest.Equal(p, s.storedForm(s.history.relabelledAt(p.ResourceVersion))):
	default:
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
	for _, p := range s.history.server.List(podtest.Selector) {
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
		same := podtest.Equal(podOf(&got[i]), podOf(&want[i]))
		if !same || !got[i].Equal(want[i]) {
			s.fail("the store has %+v, want %+v as in a LIST (equal pods: %v)", got[i], want[i], same)
		}
	}
	if !s.inner.Snapshot().Complete() {
		s.fail("the snapshot is not complete, want a complete one")
	}
}
