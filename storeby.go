// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/departed"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/rv"
)

// A StoreBy is a [Store] that is divided by owners, for example the applications or the jobs of an
// operator. One source with a broad selector feeds it. The owner of a pod is what the function of
// NewStoreBy returns: a label, a namespace and a name, an owner reference, or anything else that
// can be compared.
//
// An owner comes with its first pod. It goes when its last pod has left and all readers have been
// shown that. A pod that changes its owner, or has none any more, leaves the first owner once, as
// [Unselected].
//
// Each owner has its own [Snapshot]. Its resource version is common to all
// owners: an event of any owner advances it. An owner that has no pods has an empty snapshot.
//
// Its methods are safe for concurrent use. As with a Store, only one goroutine at a time may call
// the methods of SnapshotsStore, and only one source may feed it. Reading does not wait for
// writing longer than it takes to publish the snapshots of a list. Make a StoreBy with NewStoreBy:
// the methods of the zero StoreBy panic.
type StoreBy[K comparable] struct {
	// Fixed after NewStoreBy.
	owner func(metav1.Object) (K, bool)

	records records

	// Owned by the goroutine that feeds the store.
	// failed has the pods for which owner has failed.
	failed map[types.UID]bool
}

var _ SnapshotsStore = (*StoreBy[string])(nil)

// NewStoreBy returns an empty store. owner returns the owner of a pod, and false if it has none: the
// store then leaves the pod out. An interface key that is nil is no owner either. owner receives the
// metadata of the pod without its managedFields, and may keep and change it. The goroutine that
// feeds the store calls owner for each state of a pod whose metadata has changed, and for each state
// of any pod if the store keeps no pods or receives them decoded.
//
// owner must return equal keys for equal metadata. If it panics, or if it returns two keys that are
// not equal for the same pod, for example pointers or a NaN, the store logs an error with the name
// of the pod. A pod that the store has then stays with its owner, and another one is left out.
// NewStoreBy panics if owner is nil.
func NewStoreBy[K comparable](owner func(pod metav1.Object) (K, bool), opts ...StoreOption) *StoreBy[K] {
	if owner == nil {
		panic("watchsource: NewStoreBy: the function that returns the owner of a pod is nil")
	}
	s := &StoreBy[K]{owner: owner, failed: map[types.UID]bool{}}
	s.records.init(newStoreOptions(opts), true)
	return s
}

var errNotNewStoreBy = errors.New("use NewStoreBy to make a StoreBy")

// made returns an error unless the StoreBy is from NewStoreBy.
func (s *StoreBy[K]) made() error {
	if s.records.first == nil {
		return errNotNewStoreBy
	}
	return nil
}

func (s *StoreBy[K]) mustBeMade() {
	if err := s.made(); err != nil {
		panic("watchsource: " + err.Error())
	}
}

// Snapshot returns the newest snapshot of an owner.
func (s *StoreBy[K]) Snapshot(owner K) Snapshot {
	s.mustBeMade()
	_, snapshot := s.records.newest(owner)
	return snapshot
}

// Latest returns the newest snapshot of an owner, and a channel that is closed when the owner has
// changed, when a bookmark or a list has come, or when the source has stopped.
func (s *StoreBy[K]) Latest(owner K) (Snapshot, <-chan struct{}) {
	s.mustBeMade()
	v, snapshot := s.records.awaited(owner)
	return snapshot, v.superseded()
}

// Owners returns the owners that have an executor, in no order.
func (s *StoreBy[K]) Owners() iter.Seq[K] {
	s.mustBeMade()
	return func(yield func(K) bool) {
		for _, owner := range s.records.owned() {
			if !yield(owner.(K)) {
				return
			}
		}
	}
}

// Batches returns the changes of all owners, one batch for each owner that has changed. A batch
// has the changes and the snapshot of its owner. It is otherwise like [Store.Batches].
//
// At most one round of batches comes per interval, and none while nothing happens. The first round
// comes at once and has each owner, with [Batch.Full]. It is empty if there is no owner. In a
// round the owners are in the order in which they first changed. If the snapshot of a batch is
// empty, the owner has no executors any more.
//
// [WithBacklogLimit] bounds the changes of all owners that wait for a reader. If they were dropped, the
// next round has each owner that has an executor or has lost one meanwhile. Until then the store keeps
// an entry for each of these owners.
func (s *StoreBy[K]) Batches(ctx context.Context, interval time.Duration) iter.Seq2[K, Batch] {
	s.mustBeMade()
	all := s.records.batches(ctx, interval, callSite())
	return func(yield func(K, Batch) bool) {
		for p, batch := range all {
			if !yield(p.owner.(K), batch) {
				return
			}
		}
	}
}

// Backlogs returns the readers for which changes wait, as [Store.Backlogs] does.
func (s *StoreBy[K]) Backlogs() []Backlog {
	s.mustBeMade()
	return s.records.backlogs()
}

// WaitFor returns the first snapshot of an owner for which cond returns true, as [Store.WaitFor]
// does. An event of another owner does not call cond again: to wait for a version, use
// WaitForResourceVersion.
func (s *StoreBy[K]) WaitFor(ctx context.Context, owner K, cond func(Snapshot) bool) (Snapshot, error) {
	s.mustBeMade()
	return waitFor(ctx, s.awaitedOf(owner), cond)
}

// WaitForResourceVersion returns the first snapshot of an owner that contains everything up to a
// resource version, as [Store.WaitForResourceVersion] does. An event of any owner may bring the
// version.
func (s *StoreBy[K]) WaitForResourceVersion(ctx context.Context, owner K, version string) (Snapshot, error) {
	s.mustBeMade()
	return s.records.waitForVersion(ctx, s.awaitedOf(owner), version)
}

// WaitForEnd returns the end of a pod of an owner, as [Store.WaitForEnd] does. If the pod changes
// its owner, it has left.
func (s *StoreBy[K]) WaitForEnd(ctx context.Context, owner K, podName, createdVersion string) (Executor, error) {
	s.mustBeMade()
	newest := func() (*published, Snapshot) { return s.records.newest(owner) }
	return s.records.waitForEnd(ctx, newest, departed.NewWait[Executor](owner, podName, createdVersion))
}

// awaitedOf returns a function that returns the newest view of an owner, to wait for the next one.
func (s *StoreBy[K]) awaitedOf(owner K) func() (*published, Snapshot) {
	return func() (*published, Snapshot) { return s.records.awaited(owner) }
}

// UpdatePod implements [SnapshotsStore], as [Store.UpdatePod] does.
func (s *StoreBy[K]) UpdatePod(pod *corev1.Pod) {
	received := podwire.Of(pod)
	s.updatePod(received, s.records.versionAfter(received))
}

// DeletePod implements [SnapshotsStore], as [Store.DeletePod] does.
func (s *StoreBy[K]) DeletePod(pod *corev1.Pod) {
	last := podwire.Of(pod)
	s.deletePod(last, Seen, s.records.versionAfter(last))
}

// ReplaceSnapshot implements [SnapshotsStore], as [Store.ReplaceSnapshot] does.
func (s *StoreBy[K]) ReplaceSnapshot(pods []*corev1.Pod) {
	s.replacePods(metav1.NamespaceAll, podwire.OfAll(pods), time.Now())
}

// ObserveResourceVersion implements [ResourceVersionObserver].
func (s *StoreBy[K]) ObserveResourceVersion(resourceVersion string) {
	s.mustBeMade()
	s.records.observeResourceVersion(resourceVersion)
}

// ObserveStop implements [StopObserver], as [Store.ObserveStop] does.
func (s *StoreBy[K]) ObserveStop() {
	s.mustBeMade()
	s.records.observeStop()
}

// updatePod implements podStore, as the following methods do.
func (s *StoreBy[K]) updatePod(pod *podwire.Pod, version string) {
	s.mustBeMade()
	owner, owned := s.ownerOf(pod)
	r := &s.records
	r.mu.Lock()
	defer r.unlock()
	r.eventVersion = version
	before, known := r.find(pod)
	if known != nil && rv.Older(pod.ResourceVersion, known.ResourceVersion) {
		return
	}
	p := before
	if p != nil && (!owned || p.owner != owner) {
		r.remove(p, pod, Unselected, version)
		p = nil
	}
	if p == nil && owned {
		p = r.partitionOf(owner)
	}
	if p != nil {
		r.update(p, pod, version)
	}
	if before != nil {
		r.forgetIfUnused(before)
	}
}

func (s *StoreBy[K]) deletePod(pod *podwire.Pod, how Departure, version string) {
	s.mustBeMade()
	delete(s.failed, pod.Key())
	r := &s.records
	r.mu.Lock()
	defer r.unlock()
	r.eventVersion = version
	if p, known := r.find(pod); known != nil {
		r.remove(p, pod, how, version)
		r.forgetIfUnused(p)
	}
}

func (s *StoreBy[K]) replacePods(namespace string, pods []*podwire.Pod, syncedAt time.Time) {
	s.mustBeMade()
	clear(s.failed)
	pods = lastOfEach(pods)
	owners := make([]any, len(pods)) // nil for a pod without an owner
	for i, pod := range pods {
		if owner, ok := s.ownerOf(pod); ok {
			owners[i] = owner
		}
	}
	r := &s.records
	r.mu.Lock()
	defer r.unlock()
	byPartition, moved := map[*partition][]*podwire.Pod{}, map[types.UID]bool{}
	for i, pod := range pods {
		if r.hasLeft(pod, owners[i]) {
			moved[pod.Key()] = true
		}
		if owners[i] != nil {
			p := r.partitionOf(owners[i])
			byPartition[p] = append(byPartition[p], pod)
		}
	}
	r.replace(ownedList{namespace, syncedAt, byPartition, moved})
}

// lastOfEach returns the last state of each pod in a list. A pod that was changed while the list was
// read may be in it twice, with two owners.
func lastOfEach(pods []*podwire.Pod) []*podwire.Pod {
	index := make(map[types.UID]int, len(pods))
	for i, pod := range pods {
		index[pod.Key()] = i
	}
	if len(index) == len(pods) {
		return pods
	}
	var kept []*podwire.Pod
	for i, pod := range pods {
		if index[pod.Key()] == i {
			kept = append(kept, pod)
		}
	}
	return kept
}

func (s *StoreBy[K]) last(key types.UID) (known podwire.Known, ok bool) { return s.records.last(key) }

// own implements ownStore, as the following method does.
func (s *StoreBy[K]) own() any       { return s }
func (s *StoreBy[K]) kept() *records { return &s.records }

// ownerOf returns the owner of a pod, and false if it has none. It asks the function of NewStoreBy
// only if the metadata has changed. No mutex is held, because the function is of the user.
func (s *StoreBy[K]) ownerOf(pod *podwire.Pod) (owner any, ok bool) {
	known, owner, has := s.records.knownOwner(pod)
	if has && known.Pod != nil && pod.SameMetadata(known.Pod) {
		return owner, true
	}
	now, ok, err := s.ask(pod)
	if err == nil && ok && now != owner { // a new pod, or another owner
		err = s.askAgain(pod, now)
	}
	switch key := pod.Key(); {
	case err == nil:
		return now, ok
	case !s.failed[key]:
		s.failed[key] = true
		s.records.logger.Error(err, "Owner of a pod is not known; correct the function of NewStoreBy", "pod", pod.NamespacedName())
	}
	return owner, has
}

var errOtherKeys = errors.New("the function returned two keys that are not equal for one pod; it must return a value, not a pointer, and not depend on anything but the pod")

// ask calls the function of NewStoreBy. It returns an error if the function panics.
func (s *StoreBy[K]) ask(pod *podwire.Pod) (owner any, ok bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the function panicked: %v", p)
		}
	}()
	metadata, err := pod.Metadata()
	if err != nil {
		return nil, false, err
	}
	key, ok := s.owner(metadata)
	owner = key
	switch {
	case !ok, owner == nil:
		return nil, false, nil
	case owner != any(key): // a NaN; a key that cannot be compared panics
		return nil, false, errOtherKeys
	}
	return owner, true, nil
}

// askAgain returns an error if the function returns another key for the same pod.
func (s *StoreBy[K]) askAgain(pod *podwire.Pod, before any) (err error) {
	again, ok, err := s.ask(pod)
	if err == nil && !(ok && again == before) {
		err = errOtherKeys
	}
	return err
}
