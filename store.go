// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A SnapshotsStore is told what the API server says about the selected pods.
// [Store] is the one that this package brings; implement it to feed a cache of
// your own. The model is Spark's ExecutorPodsSnapshotsStore.
//
// One goroutine calls it, from within Start until Stop returns, and waits for
// each call: a store that blocks holds up the watch, and Stop. It may keep the
// pods but must not change them; with client-go's fake clientset the test that
// made them holds them as well.
//
// A store that also has the method
//
//	ObserveResourceVersion(resourceVersion string)
//
// is told, after every list, event and bookmark, which version of the API
// server's state it has now been told completely.
type SnapshotsStore interface {
	// UpdatePod reports a pod that was created or has changed.
	UpdatePod(pod *corev1.Pod)
	// DeletePod reports a pod that is gone, or no longer selected; pod is its
	// last known state. It may be a pod that was never reported before.
	DeletePod(pod *corev1.Pod)
	// ReplaceSnapshot reports all pods that there are, at the start and
	// whenever the watch had to begin anew. What is not among them is gone.
	ReplaceSnapshot(pods []*corev1.Pod)
}

// resourceVersionObserver is the optional part of a SnapshotsStore.
type resourceVersionObserver interface {
	ObserveResourceVersion(resourceVersion string)
}

// A Store is a SnapshotsStore in memory. It turns pods into executors and keeps
// the newest [Snapshot] of them.
//
// Its methods are safe for concurrent use, but what it is told must come from
// one goroutine, or else there is no order to keep. Reading never waits for
// writing, and writing waits for no reader. Make one with NewStore.
type Store struct {
	// Fixed after NewStore.
	rules  rules
	logger logr.Logger

	current atomic.Pointer[version]

	mu      sync.Mutex // held to write current
	readers map[*reader]struct{}
}

// version is one view and the news that there is a newer one.
type version struct {
	view *view
	next atomic.Pointer[chan struct{}] // made for the first who asks
}

var closedChannel = func() *chan struct{} {
	c := make(chan struct{})
	close(c)
	return &c
}()

// superseded returns the channel that is closed once a newer version exists.
func (v *version) superseded() <-chan struct{} {
	if c := v.next.Load(); c != nil {
		return *c
	}
	c := make(chan struct{})
	if v.next.CompareAndSwap(nil, &c) {
		return c
	}
	return *v.next.Load()
}

func (v *version) supersede() {
	if c := v.next.Swap(closedChannel); c != nil {
		close(*c)
	}
}

var _ SnapshotsStore = (*Store)(nil)

// NewStore returns an empty store.
func NewStore(opts ...StoreOption) *Store {
	o := newStoreOptions(opts)
	s := &Store{rules: o.rules, logger: o.logger, readers: map[*reader]struct{}{}}
	s.current.Store(&version{view: newView(nil)})
	return s
}

// Snapshot returns the newest snapshot. It neither blocks nor allocates.
func (s *Store) Snapshot() Snapshot {
	return Snapshot{s.current.Load().view}
}

// Latest returns the newest snapshot and a channel that is closed when there is
// a newer one. Whoever loops over Latest may skip snapshots; see Batches for
// every change.
func (s *Store) Latest() (Snapshot, <-chan struct{}) {
	v := s.current.Load()
	return Snapshot{v.view}, v.superseded()
}

// UpdatePod implements [SnapshotsStore]. A state that is older than the known
// one, by its resource version, is ignored.
func (s *Store) UpdatePod(pod *corev1.Pod) {
	e := s.rules.executor(pod)
	known := s.update(e)
	s.logProblem(known, e)
}

// update stores e and returns what was known of the pod before.
func (s *Store) update(e *Executor) (known *Executor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	view := s.current.Load().view
	known, _ = view.byName.Get(e)
	switch {
	case known == nil:
	case older(e.ResourceVersion, known.ResourceVersion):
		return known
	case known.key() != e.key():
		// The name has passed to another pod, and nobody said that the first
		// one left.
		view = view.without(known)
		s.tell(known, known.gone())
		known = nil
	}
	view = view.with(known, e)
	view.resourceVersion = newer(view.resourceVersion, e.ResourceVersion)
	s.publish(view)
	s.tell(known, e)
	return known
}

// DeletePod implements [SnapshotsStore]. A pod that the store does not have is
// ignored.
func (s *Store) DeletePod(pod *corev1.Pod) {
	last := s.rules.executor(pod)
	s.mu.Lock()
	defer s.mu.Unlock()
	view := s.current.Load().view
	known, _ := view.byName.Get(last)
	if known == nil || known.key() != last.key() {
		return
	}
	if older(last.ResourceVersion, known.ResourceVersion) {
		last = known
	}
	view = view.without(known)
	view.resourceVersion = newer(view.resourceVersion, last.ResourceVersion)
	s.publish(view)
	if last.State.Ended() && last.State != known.State {
		// An end that shows for the first time in the pod's last state.
		s.tell(known, last)
		known = last
	}
	s.tell(known, last.gone())
}

// ReplaceSnapshot implements [SnapshotsStore]. Executors that are not among the
// pods are reported to readers as gone, with their last known state.
func (s *Store) ReplaceSnapshot(pods []*corev1.Pod) {
	executors := make([]*Executor, len(pods))
	for i, pod := range pods {
		executors[i] = s.rules.executor(pod)
	}
	before := s.replace(executors)
	for _, e := range executors {
		known, _ := before.byName.Get(e)
		s.logProblem(known, e)
	}
}

// replace stores the executors and returns the view that was there before.
func (s *Store) replace(executors []*Executor) *view {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.current.Load().view
	for i, e := range executors {
		if known, _ := before.byName.Get(e); known != nil && (older(e.ResourceVersion, known.ResourceVersion) || known.equals(e)) {
			executors[i] = known
		}
	}
	next := newView(executors)
	next.syncedAt = time.Now()
	s.publish(next)

	for known := range before.byName.All() {
		if e, _ := next.byName.Get(known); e == nil || e.key() != known.key() {
			s.tell(known, known.gone())
		}
	}
	for e := range next.byName.All() {
		known, _ := before.byName.Get(e)
		if known != nil && known.key() != e.key() {
			known = nil
		}
		if known != e {
			s.tell(known, e)
		}
	}
	return before
}

// ObserveResourceVersion records that the store has been told everything up to
// a version.
func (s *Store) ObserveResourceVersion(resourceVersion string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	view := *s.current.Load().view
	if newest := newer(view.resourceVersion, resourceVersion); newest != view.resourceVersion {
		view.resourceVersion = newest
		s.publish(&view)
	}
}

// publish makes view the current one. s.mu is held.
func (s *Store) publish(view *view) {
	s.current.Swap(&version{view: view}).supersede()
}

// tell queues a change for every reader. s.mu is held.
func (s *Store) tell(before, after *Executor) {
	for r := range s.readers {
		r.add(before, after)
	}
}

// logProblem reports a pod that could not be understood, once.
func (s *Store) logProblem(known, e *Executor) {
	if e.Problem != "" && (known == nil || known.Problem != e.Problem) {
		s.logger.Info("Executor pod not fully understood",
			"pod", types.NamespacedName{Namespace: e.Namespace, Name: e.Name}, "problem", e.Problem)
	}
}
