// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podwire"
)

// A SnapshotsStore receives the selected pods from a source. [Store] and [StoreBy] are the
// implementations of this package. Implement SnapshotsStore to fill your own cache. The
// model is Spark's ExecutorPodsSnapshotsStore. A store may also implement
// [ResourceVersionObserver] and [StopObserver].
//
// One goroutine at a time makes the calls, between the beginning of Start and the return
// of Stop, and waits for each of them. A store that blocks therefore delays the watch
// and Stop. It must not call Stop, which waits for the call to return.
//
// Use one store for each source: the list of one source would remove the executors of
// another. Start fails with ErrStoreInUse if another source that is started feeds the
// store, or a store in a [Tee]. It recognises a Store, a StoreBy, a type that embeds one, and
// a store that is a pointer, a map or a channel. Two equal values of another type may be
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
// bookmark with the resource version up to which the store has received everything. With
// [WithNamespaces] it does not call it after the server was restored from a backup until all
// namespaces have been listed again: until then the version is unknown.
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
	records records
}

var _ SnapshotsStore = (*Store)(nil)

// NewStore returns an empty store.
func NewStore(opts ...StoreOption) *Store {
	s := &Store{}
	s.records.init(newStoreOptions(opts), false)
	return s
}

var errNotNewStore = errors.New("use NewStore to make a Store")

// made returns an error unless the Store is from NewStore.
func (s *Store) made() error {
	if s.records.first == nil {
		return errNotNewStore
	}
	return nil
}

func (s *Store) mustBeMade() {
	if err := s.made(); err != nil {
		panic("watchsource: " + err.Error())
	}
}

// Snapshot returns the newest snapshot. It neither blocks nor allocates.
func (s *Store) Snapshot() Snapshot {
	s.mustBeMade()
	return Snapshot{s.records.first.view()}
}

// Latest returns the newest snapshot and a channel that is closed when there is a newer
// one, or when the source has stopped. A loop over Latest may skip snapshots. Use
// Batches to see every change.
func (s *Store) Latest() (Snapshot, <-chan struct{}) {
	s.mustBeMade()
	v := s.records.first.current.Load()
	return Snapshot{&v.view}, v.superseded()
}

// UpdatePod implements [SnapshotsStore]. It ignores a state that is older than the known
// state by its resource version. The store keeps the pod, which must not change.
func (s *Store) UpdatePod(pod *corev1.Pod) {
	received := podwire.Of(pod)
	s.updatePod(received, s.records.versionAfter(received))
}

// DeletePod implements [SnapshotsStore]. A pod that the store does not have is
// ignored. The change that reports the deletion has the pod, which must not change.
func (s *Store) DeletePod(pod *corev1.Pod) {
	last := podwire.Of(pod)
	s.deletePod(last, Seen, s.records.versionAfter(last))
}

// ReplaceSnapshot implements [SnapshotsStore]. The pods replace the known states even
// if their resource versions are older, because a server that was restored from a
// backup counts its versions again. The store reports every other executor to readers
// as gone, with its last known state. It keeps the pods, which must not change.
func (s *Store) ReplaceSnapshot(pods []*corev1.Pod) {
	s.replacePods(metav1.NamespaceAll, podwire.OfAll(pods), time.Now())
}

// ObserveResourceVersion implements [ResourceVersionObserver].
func (s *Store) ObserveResourceVersion(resourceVersion string) {
	s.mustBeMade()
	s.records.observeResourceVersion(resourceVersion)
}

// ObserveStop implements [StopObserver]. All waiting calls return, and the sequences of
// Batches end with what waits for their readers. The snapshot does not change.
func (s *Store) ObserveStop() {
	s.mustBeMade()
	s.records.observeStop()
}

// updatePod implements podStore, as the following methods do.
func (s *Store) updatePod(pod *podwire.Pod, version string) {
	s.mustBeMade()
	s.records.mu.Lock()
	defer s.records.unlock()
	s.records.update(s.records.first, pod, version)
}

func (s *Store) deletePod(pod *podwire.Pod, how Departure, version string) {
	s.mustBeMade()
	s.records.mu.Lock()
	defer s.records.unlock()
	s.records.remove(s.records.first, pod, how, version)
}

func (s *Store) replacePods(namespace string, pods []*podwire.Pod, syncedAt time.Time) {
	s.mustBeMade()
	s.records.mu.Lock()
	defer s.records.unlock()
	s.records.replace(ownedList{namespace: namespace, syncedAt: syncedAt, pods: map[*partition][]*podwire.Pod{s.records.first: pods}})
}

func (s *Store) last(key types.UID) (known podwire.Known, ok bool) { return s.records.last(key) }

// kept implements ownStore.
func (s *Store) kept() *records { return &s.records }

// own implements ownStore.
func (s *Store) own() any { return s }
