// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
)

// sparkSubscriber is a reader that writes down the batches it is given, each as
// its changes and the snapshot after them.
type sparkSubscriber struct {
	mu sync.Mutex

	// Guarded by mu.
	batches []string
}

func subscribe(t *testing.T, store *watchsource.Store, interval time.Duration) *sparkSubscriber {
	s := &sparkSubscriber{}
	go func() {
		for batch := range store.Batches(t.Context(), interval) {
			s.mu.Lock()
			s.batches = append(s.batches, fmt.Sprintf("%s: %s", changeLines(batch.Changes), names(batch.Snapshot)))
			s.mu.Unlock()
		}
	}()
	return s
}

func (s *sparkSubscriber) want(t *testing.T, step string, want ...string) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.batches, want) {
		t.Errorf("%s: batches %q, want %q", step, s.batches, want)
	}
}

// The cases of Spark's ExecutorPodsSnapshotsStoreSuite in their order, as one
// story. Where Spark hands over every snapshot in between, a batch has the
// changes that lead from one to the next.
func TestSparkStoreSuite(t *testing.T) {
	const (
		none  = ": "
		one   = "exec-1 nothing>Running: exec-1=Running"
		three = "exec-2 nothing>Running, exec-3 nothing>Running: exec-1=Running exec-2=Running exec-3=Running"
	)
	run := func(id string) *corev1.Pod { return pod(id, uid(id), version(id), phase(corev1.PodRunning)) }
	synctest.Test(t, func(t *testing.T) {
		store := watchsource.NewStore()
		fast, slow := subscribe(t, store, time.Second), subscribe(t, store, 2*time.Second)
		fast.want(t, "subscribers begin with what there is", none)
		slow.want(t, "subscribers begin with what there is", none)

		store.UpdatePod(run("1"))
		time.Sleep(time.Second)
		fast.want(t, "an update after one second", none, one)
		slow.want(t, "an update after one second", none)

		time.Sleep(time.Second)
		fast.want(t, "nothing is repeated", none, one)
		slow.want(t, "the second catches up", none, one)

		store.UpdatePod(run("2"))
		store.UpdatePod(run("3"))
		time.Sleep(time.Second)
		fast.want(t, "two updates, in order", none, one, three)
		slow.want(t, "two updates, too soon for the second", none, one)
		time.Sleep(time.Second)
		slow.want(t, "both histories are equal", none, one, three)
		if at := store.Snapshot().SyncedAt(); !at.IsZero() {
			t.Errorf("updates have set the time of the last full list to %v", at)
		}

		late := subscribe(t, store, time.Second)
		late.want(t, "one who comes later begins with what there is",
			"exec-1 nothing>Running, exec-2 nothing>Running, exec-3 nothing>Running: exec-1=Running exec-2=Running exec-3=Running")

		time.Sleep(100 * time.Millisecond)
		listed := time.Now()
		store.ReplaceSnapshot([]*corev1.Pod{run("2")})
		time.Sleep(time.Second)
		fast.want(t, "a full list removes what it lacks", none, one, three,
			"exec-1 Running>Deleted, exec-3 Running>Deleted: exec-2=Running")
		if at := store.Snapshot().SyncedAt(); !at.Equal(listed) {
			t.Errorf("the last full list was at %v, the snapshot says %v", listed, at)
		}
	})
}
