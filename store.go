// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/rv"
)

// A SnapshotsStore is told what the API server says about the selected pods.
// [Store] is the one that this package brings; implement it to feed a cache of
// your own. The model is Spark's ExecutorPodsSnapshotsStore.
//
// One goroutine calls it, from within Start until Stop returns, and waits for
// each call: a store that blocks holds up the watch, and Stop. It must not call
// Stop, which waits for the call to return. It may keep the
// pods but must not change them: the states of a pod share what did not change,
// pods share what they have in common, and with client-go's fake clientset the
// test that made them holds them as well.
//
// A store may have one or both of these methods as well:
//
//	ObserveResourceVersion(resourceVersion string)
//	ObserveStop()
//
// The first says, after every list, event and bookmark, which version of the
// API server's state the store has now been told completely. The second says
// that the source is being stopped; it is the last call before Stop returns,
// and comes only after a Start that succeeded.
type SnapshotsStore interface {
	// UpdatePod reports a pod that was created or has changed.
	UpdatePod(pod *corev1.Pod)
	// DeletePod reports a pod that is gone, or no longer selected; pod is its
	// last known state. It may be a pod that was never reported before.
	DeletePod(pod *corev1.Pod)
	// ReplaceSnapshot reports all pods that there are, at the start and
	// whenever the watch had to begin anew. A pod that is not among them is gone.
	// The pods count also if their resource versions are older than those known:
	// the server may have been restored from a backup.
	ReplaceSnapshot(pods []*corev1.Pod)
}

// The optional parts of a SnapshotsStore.
type (
	resourceVersionObserver interface{ ObserveResourceVersion(resourceVersion string) }
	stopObserver            interface{ ObserveStop() }
)

// A Store is a SnapshotsStore in memory. It turns pods into executors and keeps
// the newest [Snapshot] of them.
//
// Its methods are safe for concurrent use, but what it is told must come from
// one goroutine, or else there is no order to keep. Reading never waits for
// writing, and writing waits for no reader. Make one with NewStore.
type Store struct {
	// Fixed after NewStore.
	rules        rules
	logger       logr.Logger
	backlogLimit int // 0 for none

	current atomic.Pointer[version]

	mu      sync.Mutex // held to write current
	slots   slots      // of the executors in current
	readers map[*reader]struct{}
	lagging []Backlog // to be reported in the log
}

// version is one view and the news that there is a newer one.
type version struct {
	view    view
	stopped bool                          // the source was, and nothing came since
	next    atomic.Pointer[chan struct{}] // made for the first who asks
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
	s := &Store{
		rules:        o.rules,
		logger:       o.logger,
		backlogLimit: o.backlogLimit,
		readers:      map[*reader]struct{}{},
	}
	first := &version{}
	first.view, s.slots = newView(nil)
	s.current.Store(first)
	return s
}

// Snapshot returns the newest snapshot. It neither blocks nor allocates.
func (s *Store) Snapshot() Snapshot {
	return Snapshot{&s.current.Load().view}
}

// Latest returns the newest snapshot and a channel that is closed when there is
// a newer one, or the source has stopped. Whoever loops over Latest may skip
// snapshots; see Batches for every change.
func (s *Store) Latest() (Snapshot, <-chan struct{}) {
	v := s.current.Load()
	return Snapshot{&v.view}, v.superseded()
}

// UpdatePod implements [SnapshotsStore]. A state that is older than the known
// one, by its resource version, is ignored.
func (s *Store) UpdatePod(pod *corev1.Pod) {
	known, e := s.update(pod)
	s.logProblem(known, e)
}

// update stores what a pod says, and returns it and what was known of the pod
// before.
func (s *Store) update(pod *corev1.Pod) (known, e *Executor) {
	s.mu.Lock()
	defer s.unlock()
	view := s.current.Load().view
	index, known := view.of(&s.slots, lifeOf(pod))
	before := s.slots.step(known)
	now := s.rules.read(pod, known, s.slots.end(known))
	e = now.executor
	switch {
	case known == nil:
		view = s.vacate(view, e)
		view = view.added(e, s.slots.take(e))
	case rv.Older(e.ResourceVersion, known.ResourceVersion):
		return known, e
	case !e.sameNames(known):
		view = s.vacate(view.without(known, index), e)
		view = view.added(e, index)
	default:
		view = view.changed(known, e, index)
	}
	view.resourceVersion = rv.Newer(view.resourceVersion, e.ResourceVersion)
	s.publish(view)
	s.slots.setEnd(e, now.end)
	s.tell(s.tellMissed(before, now.missed), s.slots.step(e))
	return known, e
}

// vacate returns the view without the pod whose name has passed to e, where
// nobody has said that it left.
func (s *Store) vacate(view view, e *Executor) view {
	last := view.named(e.Namespace, e.Name)
	if last == nil {
		return view
	}
	view = view.without(last, s.slots.byKey[last.key()])
	left := s.slots.step(last)
	s.slots.release(last)
	s.tell(left, left.gone())
	return view
}

// DeletePod implements [SnapshotsStore]. A pod that the store does not have is
// ignored.
func (s *Store) DeletePod(pod *corev1.Pod) {
	s.mu.Lock()
	defer s.unlock()
	view := s.current.Load().view
	index, known := view.of(&s.slots, lifeOf(pod))
	if known == nil {
		return
	}
	before := s.slots.step(known)
	now := s.rules.read(pod, known, s.slots.end(known))
	if rv.Older(now.executor.ResourceVersion, known.ResourceVersion) {
		now = reading{executor: known, end: s.slots.end(known)}
	}
	last := step{now.executor, now.end.number}
	view = view.without(known, index)
	s.slots.release(known)
	view.resourceVersion = rv.Newer(view.resourceVersion, last.ResourceVersion)
	s.publish(view)
	before = s.tellMissed(before, now.missed)
	if last.State.Ended() && last.ends > before.ends {
		// An end that shows for the first time in the pod's last state.
		s.tell(before, last)
		before = last
	}
	s.tell(before, last.gone())
}

// ReplaceSnapshot implements [SnapshotsStore]. The pods are the truth, also where
// their resource versions are older than those known: a server that was restored
// from a backup counts its versions again. Executors that are not among the pods
// are reported to readers as gone, with their last known state.
func (s *Store) ReplaceSnapshot(pods []*corev1.Pod) {
	for _, c := range s.replace(pods) {
		if c.After.State != Deleted {
			s.logProblem(c.Before, c.After)
		}
	}
}

// replace stores what the pods say and returns what has changed: who has left,
// and then who has come or is in another state.
func (s *Store) replace(pods []*corev1.Pod) []Change {
	s.mu.Lock()
	defer s.unlock()
	before, had := &s.current.Load().view, s.slots
	executors := make([]*Executor, len(pods))
	ends := map[types.UID]end{}
	missed := map[types.UID]*Executor{}
	for i, pod := range pods {
		life := lifeOf(pod)
		_, known := before.of(&had, life)
		now := s.rules.read(pod, known, had.end(known))
		if known != nil && known.equals(now.executor) {
			now.executor = known
		}
		if now.missed != nil {
			missed[life] = now.missed
		}
		if now.end != (end{}) {
			ends[life] = now.end
		}
		executors[i] = now.executor
	}
	next, has := newView(executors)
	has.ends = ends
	next.syncedAt = time.Now()
	s.slots = has
	s.publish(next)

	var changes []Change
	for known := range before.all() {
		if _, here := has.byKey[known.key()]; !here {
			changes = append(changes, Change{Before: known, After: known.gone()})
		}
	}
	for e := range next.all() {
		if _, known := before.of(&had, e.key()); known != e {
			changes = append(changes, Change{Before: known, After: e})
		}
	}
	for _, c := range changes {
		after := has.step(c.After)
		if c.After.State == Deleted {
			after.ends = had.end(c.Before).number
		}
		s.tell(s.tellMissed(had.step(c.Before), missed[c.After.key()]), after)
	}
	return changes
}

// toldOf implements knowingStore.
func (s *Store) toldOf(life types.UID) (resourceVersion string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, known := s.current.Load().view.of(&s.slots, life)
	if known == nil {
		return "", false
	}
	return known.ResourceVersion, true
}

// ObserveResourceVersion records that the store has been told everything up to
// a version.
func (s *Store) ObserveResourceVersion(resourceVersion string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := s.current.Load().view.resourceVersion
	if newest := rv.Newer(held, resourceVersion); newest != held {
		view := s.current.Load().view
		view.resourceVersion = newest
		s.publish(view)
	}
}

// ObserveStop ends all waiting: nothing will come until the source is started
// again. The snapshot stays as it is.
func (s *Store) ObserveStop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.current.Load()
	s.current.Store(&version{view: last.view, stopped: true})
	last.supersede()
}

// publish makes view the current one. s.mu is held.
func (s *Store) publish(view view) {
	s.current.Swap(&version{view: view}).supersede()
}

// tellMissed queues the end between before and what is known now, if there was
// one, and returns the step that is the last then. s.mu is held.
func (s *Store) tellMissed(before step, missed *Executor) step {
	if missed == nil {
		return before
	}
	after := step{missed, before.ends + 1}
	s.tell(before, after)
	return after
}

// tell queues a change for every reader. s.mu is held.
func (s *Store) tell(before, after step) {
	if len(s.readers) == 0 {
		return
	}
	now := time.Now()
	for r := range s.readers {
		r.add(before, after, s.slots.ends, now)
		if r.lags(now) {
			r.named = true
			s.lagging = append(s.lagging, r.backlog())
		}
	}
}

// unlock releases s.mu, and then reports the readers that were found to lag: a
// logger may block, and must hold up nobody who reads.
func (s *Store) unlock() {
	lagging := s.lagging
	s.lagging = nil
	s.mu.Unlock()
	for _, b := range lagging {
		s.logger.Info("Reader of batches lags", "reader", b.Reader, "changes", b.Changes, "since", b.Since, "givenUp", b.GivenUp)
	}
}

// logProblem reports a pod that could not be understood, once.
func (s *Store) logProblem(known, e *Executor) {
	if e.Problem != "" && (known == nil || known.Problem != e.Problem) {
		s.logger.Info("Executor pod not fully understood",
			"pod", types.NamespacedName{Namespace: e.Namespace, Name: e.Name}, "problem", e.Problem)
	}
}
