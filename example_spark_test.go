// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"sync"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
)

// sparkStore works like Spark's ExecutorPodsSnapshotsStoreImpl: each subscriber is shown
// the snapshot after every single change, in order, when it asks. It takes a snapshot from
// a Store after each call, at no cost. But unlike the changes that a Store keeps for its
// readers, the snapshots accumulate with each event, and the subscriber must find the
// changes in them.
type sparkStore struct {
	*watchsource.Store
	subscribers []*sparkQueue
}

// sparkQueue has what one subscriber has not been shown yet.
type sparkQueue struct {
	mu        sync.Mutex
	snapshots []watchsource.Snapshot // guarded by mu
}

func (s *sparkStore) UpdatePod(pod *corev1.Pod) {
	s.Store.UpdatePod(pod)
	s.enqueue()
}

func (s *sparkStore) DeletePod(pod *corev1.Pod) {
	s.Store.DeletePod(pod)
	s.enqueue()
}

func (s *sparkStore) ReplaceSnapshot(pods []*corev1.Pod) {
	s.Store.ReplaceSnapshot(pods)
	s.enqueue()
}

func (s *sparkStore) enqueue() {
	for _, q := range s.subscribers {
		q.mu.Lock()
		q.snapshots = append(q.snapshots, s.Snapshot())
		q.mu.Unlock()
	}
}

// notify is what a subscriber's timer calls, each at its own interval.
func (q *sparkQueue) notify(subscriber func([]watchsource.Snapshot)) {
	q.mu.Lock()
	snapshots := q.snapshots
	q.snapshots = nil
	q.mu.Unlock()
	if len(snapshots) > 0 {
		subscriber(snapshots)
	}
}

// Spark's way of use on a store of your own: several subscribers, each at its
// own interval, and every transition seen by all of them.
func ExampleSnapshotsStore_spark() {
	allocator, lifecycle := &sparkQueue{}, &sparkQueue{}
	store := &sparkStore{watchsource.NewStore(), []*sparkQueue{allocator, lifecycle}}
	show := func(name string) func([]watchsource.Snapshot) {
		return func(snapshots []watchsource.Snapshot) {
			for _, s := range snapshots {
				e, _ := s.ByID("1")
				fmt.Println(name, "sees", e.State)
			}
		}
	}

	store.UpdatePod(executorPod("1", corev1.PodPending))
	allocator.notify(show("allocator"))
	store.UpdatePod(executorPod("1", corev1.PodRunning))
	store.UpdatePod(executorPod("1", corev1.PodFailed, outOfMemory()))
	allocator.notify(show("allocator"))
	lifecycle.notify(show("lifecycle"))
	// Output:
	// allocator sees Pending
	// allocator sees Running
	// allocator sees Failed
	// lifecycle sees Pending
	// lifecycle sees Running
	// lifecycle sees Failed
}
