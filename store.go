// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/rv"
)

// A SnapshotsStore receives the selected pods from a source. [Store] is the
// implementation of this package. Implement SnapshotsStore to fill your own cache. The
// model is Spark's ExecutorPodsSnapshotsStore. A store may also implement
// [ResourceVersionObserver] and [StopObserver].
//
// One goroutine at a time makes the calls, between the beginning of Start and the return
// of Stop, and waits for each of them. A store that blocks therefore delays the watch
// and Stop. It must not call Stop, which waits for the call to return.
//
// Use one store for each source: the list of one source would remove the executors of
// another. Start fails with ErrStoreInUse if another source that is started feeds the
// store, or a store in a [Tee]. It recognises a Store, a type that embeds one, and a
// store that is a pointer, a map or a channel. Two equal values of another type may be
// different stores, so Start does not compare them.
//
// A store may keep the pods but must not change them: another store may receive the same
// pods, for example in a [Tee], and with client-go's fake clientset the test uses them. The
// pods lack their managedFields. Different pods, and different states of a pod, share no
// memory, so a store that keeps one of them keeps no part of another.
type SnapshotsStore interface {
	// UpdatePod reports a pod that was created or has changed.
	UpdatePod(pod *corev1.Pod)
	// DeletePod reports a pod that is gone or is no longer selected, in its last
	// known state. The store may not have received the pod before.
	DeletePod(pod *corev1.Pod)
	// ReplaceSnapshot reports all pods, at the start and after each relist. Every
	// other pod is gone. The resource versions of the pods may be older than those
	// that the store has, because the server may have been restored from a backup.
	ReplaceSnapshot(pods []*corev1.Pod)
}

// A ResourceVersionObserver is a [SnapshotsStore] that wants to know how far it is.
// The source calls ObserveResourceVersion after every list, event and
// bookmark with the resource version up to which the store has received everything.
type ResourceVersionObserver interface {
	ObserveResourceVersion(resourceVersion string)
}

// A StopObserver is a [SnapshotsStore] that wants to know when the source stops. The
// watch goroutine calls ObserveStop as its last call before Stop returns, if Start
// had succeeded. On a [SharedWatch], Stop may also end a Start that has called the store
// already; the store receives ObserveStop then too.
//
// A store that forwards its calls to a Store must forward this one too. Otherwise the
// waiting calls and the readers of that Store go on waiting after Stop, and after a Start
// for another application the readers are shown that the executors of the first have left.
type StopObserver interface {
	ObserveStop()
}

// A Store is a SnapshotsStore in memory. It turns pods into executors and keeps
// the newest [Snapshot] of them.
//
// A source passes pods to a Store as bytes. The Store keeps them until the executor and all
// snapshots and changes that have it are gone, and [Executor.Pod] decodes them. Pods that the
// Store receives by UpdatePod, DeletePod and ReplaceSnapshot are kept unchanged: do not change
// them afterwards. A Store receives them in this way from a [Tee], from a type that embeds it,
// and from your own calls. They need several times the memory.
//
// Its methods are safe for concurrent use. Only one goroutine at a time may call the
// methods of SnapshotsStore, because their order matters. Reading never blocks
// writing, and writing never blocks reading. Make a Store with NewStore: the methods of
// the zero Store panic.
type Store struct {
	// Fixed after NewStore.
	rules        rules
	logger       logr.Logger
	backlogLimit int

	current publishedPointer
	// followVersions asks a shared watch for versions that no event of the application
	// brings, until the function that it returns is called. It is nil for other sources.
	followVersions atomic.Pointer[func() (stop func())]

	// mu is held to write current, and guards the fields below.
	mu        sync.Mutex
	positions positions // in the view of current
	readers   map[*reader]struct{}
	// lagging are the backlogs that unlock logs.
	lagging []Backlog
}

// made reports whether the Store is from NewStore.
func (s *Store) made() bool { return s.current.Pointer.Load() != nil }

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
	first := &published{}
	first.view, s.positions = newView(nil, &view{})
	s.current.Store(first)
	return s
}

// Snapshot returns the newest snapshot. It neither blocks nor allocates.
func (s *Store) Snapshot() Snapshot {
	return Snapshot{&s.current.Load().view}
}

// Latest returns the newest snapshot and a channel that is closed when there is a newer
// one, or when the source has stopped. A loop over Latest may skip snapshots. Use
// Batches to see every change.
func (s *Store) Latest() (Snapshot, <-chan struct{}) {
	v := s.current.Load()
	return Snapshot{&v.view}, v.superseded()
}

// UpdatePod implements [SnapshotsStore]. It ignores a state that is older than the known
// state by its resource version. The store keeps the pod, which must not change.
func (s *Store) UpdatePod(pod *corev1.Pod) {
	received := podwire.Of(pod)
	s.updatePod(received, received.ResourceVersion)
}

func (s *Store) updatePod(pod *podwire.Pod, version string) {
	known, e := s.update(pod, version)
	s.logProblem(known, e)
}

// update stores the state of a pod. It returns the state known before, and the new one.
func (s *Store) update(pod *podwire.Pod, version string) (known, e *Executor) {
	s.mu.Lock()
	defer s.unlock()
	view := s.current.Load().view
	index, known := view.of(&s.positions, pod.Key())
	before := s.positions.step(known)
	now := s.rules.read(pod, known, s.positions.endsOf(known, index))
	e = now.executor
	if now.replaced {
		view, known, before = s.removeNamesake(view, e), nil, step{}
	}
	switch {
	case known == nil:
		view = s.removeNamesake(view, e)
		index = s.positions.take(e)
		view = view.added(e, index, rv.Number(e.ResourceVersion))
	case rv.Older(e.ResourceVersion, known.ResourceVersion):
		return known, e
	case !e.sameNames(known):
		first := view.firstVersion(known)
		view = s.removeNamesake(view.without(known, index), e)
		view = view.added(e, index, first)
	default:
		view = view.changed(known, e, index)
	}
	view.resourceVersion = rv.Newer(view.resourceVersion, version)
	s.publish(view)
	s.positions.setEnds(e, index, now.ends)
	s.notify(s.notifyMissed(before, now.missed), s.positions.step(e))
	return known, e
}

// removeNamesake removes the previous pod of the same name from the view if its
// deletion was never reported.
func (s *Store) removeNamesake(view view, e *Executor) view {
	last := view.named(e.Namespace, e.Name)
	if last == nil {
		return view
	}
	view = view.without(last, s.positions.byKey[last.key()])
	left := s.positions.step(last)
	s.positions.release(last)
	s.notify(left, left.gone(Missed))
	return view
}

// DeletePod implements [SnapshotsStore]. A pod that the store does not have is
// ignored. The change that reports the deletion has the pod, which must not change.
func (s *Store) DeletePod(pod *corev1.Pod) {
	last := podwire.Of(pod)
	s.deletePod(last, Seen, last.ResourceVersion)
}

func (s *Store) deletePod(pod *podwire.Pod, how Departure, version string) {
	s.mu.Lock()
	defer s.unlock()
	view := s.current.Load().view
	index, known := view.of(&s.positions, pod.Key())
	if known == nil {
		return
	}
	before := s.positions.step(known)
	now := s.rules.read(pod, known, s.positions.endsOf(known, index))
	if now.replaced || rv.Older(now.executor.ResourceVersion, known.ResourceVersion) {
		now = reading{executor: known, ends: s.positions.endsOf(known, index)}
	}
	last := step{Executor: now.executor, ends: now.ends.Shown}
	view = view.without(known, index)
	s.positions.release(known)
	view.resourceVersion = rv.Newer(view.resourceVersion, version)
	s.publish(view)
	before = s.notifyMissed(before, now.missed)
	if last.State.Ended() && last.ends > before.ends {
		// An end that shows for the first time in the pod's last state.
		s.notify(before, last)
		before = last
	}
	s.notify(before, last.gone(how))
}

// ReplaceSnapshot implements [SnapshotsStore]. The pods replace the known states even
// if their resource versions are older, because a server that was restored from a
// backup counts its versions again. The store reports every other executor to readers
// as gone, with its last known state. It keeps the pods, which must not change.
func (s *Store) ReplaceSnapshot(pods []*corev1.Pod) {
	s.replacePods(metav1.NamespaceAll, podwire.OfAll(pods))
}

func (s *Store) replacePods(_ string, pods []*podwire.Pod) {
	for _, c := range s.replace(pods) {
		if c.After.State != Deleted {
			s.logProblem(c.Before, c.After)
		}
	}
}

// replace stores the states of all pods. It returns the changes.
func (s *Store) replace(pods []*podwire.Pod) []Change {
	s.mu.Lock()
	defer s.unlock()
	before, had := &s.current.Load().view, s.positions
	list := s.rules.readList(pods, before, &had)
	next, has := newView(list.executors, before)
	for _, now := range list.readings {
		if index, ok := has.of(now.executor.key()); ok { // or another pod of the list has its name
			has.setEnds(now.executor, index, now.ends)
		}
	}
	next.syncedAt = time.Now()
	s.positions = has
	s.publish(next)
	changes := before.changesTo(&next, &had, &has, list.replaced)
	for _, c := range changes {
		first, after := had.step(c.Before), has.step(c.After)
		if c.After.State == Deleted {
			after.ends, after.how = first.ends, Missed
		} else {
			first = s.notifyMissed(first, list.missed[c.After.key()])
		}
		s.notify(first, after)
	}
	return changes
}

// known returns what the store has of the pod with a UID, so that its next state can share it.
func (s *Store) known(uid []byte) podwire.Known {
	s.mu.Lock()
	defer s.mu.Unlock()
	index, ok := s.positions.ofUID(uid)
	if !ok {
		return podwire.Known{}
	}
	return s.current.Load().view.executors.Get(index).known()
}

// last implements podStore.
func (s *Store) last(key types.UID) (known podwire.Known, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, e := s.current.Load().view.of(&s.positions, key)
	if e == nil {
		return podwire.Known{}, false
	}
	return e.known(), true
}

// ObserveResourceVersion implements [ResourceVersionObserver].
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

// ObserveStop implements [StopObserver]. All waiting calls return, and the sequences of
// Batches end with what waits for their readers. The snapshot does not change.
func (s *Store) ObserveStop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.current.Load()
	s.current.Store(&published{view: last.view, stopped: true})
	last.supersede()
	for r := range s.readers {
		r.stop(&last.view, s.positions.ends)
	}
}

// publish makes view the current one. s.mu is held.
func (s *Store) publish(view view) {
	s.current.Swap(&published{view: view}).supersede()
}

// notifyMissed queues a missed end that follows the step before, if there is one. It
// returns the last step. s.mu is held.
func (s *Store) notifyMissed(before step, missed *Executor) step {
	if missed == nil {
		return before
	}
	after := step{Executor: missed, ends: before.ends + 1}
	s.notify(before, after)
	return after
}

// notify queues a change for every reader. s.mu is held.
func (s *Store) notify(before, after step) {
	if len(s.readers) == 0 {
		return
	}
	now := time.Now()
	for r := range s.readers {
		if r.last != nil {
			continue // the reader is of the time before the source stopped
		}
		r.add(before, after, s.positions.ends, now)
		if r.lags(now) {
			r.logged = true
			s.lagging = append(s.lagging, r.backlog())
		}
	}
}

// unlock releases s.mu, and then logs the readers that lag. A logger may block, so
// s.mu must not be held.
func (s *Store) unlock() {
	lagging := s.lagging
	s.lagging = nil
	s.mu.Unlock()
	for _, b := range lagging {
		s.logger.Info("Reader of batches lags", "reader", b.Reader, "changes", b.Changes, "since", b.Since, "dropped", b.Dropped)
	}
}

// logProblem logs the problem of a pod, once.
func (s *Store) logProblem(known, e *Executor) {
	if e.Problem != "" && (known == nil || known.Problem != e.Problem) {
		s.logger.Info("Executor pod not fully understood",
			"pod", types.NamespacedName{Namespace: e.Namespace, Name: e.Name}, "problem", e.Problem)
	}
}

// own implements ownStore.
func (s *Store) own() *Store { return s }
