// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

func newTestAllocator(executors int) *allocator {
	c := config{appID: "spark-test", executors: executors, namespace: "default", work: demoWork}
	return newAllocator(c, watchtest.NewServer().Client().CoreV1().Pods("default"))
}

// A creation counts as soon as the API server has answered, before the watch has shown it.
func TestCreatesNobodyTwice(t *testing.T) {
	a := newTestAllocator(3)
	store := watchsource.NewStore()
	for range 3 {
		if _, err := a.fill(t.Context(), store.Snapshot()); err != nil {
			t.Fatal(err)
		}
	}
	if a.nextID != 4 {
		t.Errorf("created %d executors, want 3", a.nextID-1)
	}
	if a.readsOwnWrites(store.Snapshot()) {
		t.Error("readsOwnWrites = true before the watch has shown the creations, want false")
	}
}

// If the answer to a creation was lost, the next attempt finds the pod and succeeds.
func TestTakesAPodThatIsThereForItsOwn(t *testing.T) {
	a := newTestAllocator(1)
	if _, err := a.pods.Create(t.Context(), executorPod(a.config, 1), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	created, err := a.fill(t.Context(), watchsource.Snapshot{})
	if err != nil || !slices.Equal(created, []int{1}) {
		t.Errorf("created %v, %v; want executor 1", created, err)
	}
}

// A pod that came and went while the watch was broken counts as lost, but only after a full
// list that was certainly requested after the creation.
func TestGivesUpWhatAFullListDoesNotHave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTestAllocator(2)
		store := watchsource.NewStore()
		if _, err := a.fill(t.Context(), store.Snapshot()); err != nil {
			t.Fatal(err)
		}
		present := executorPod(a.config, 2)
		present.Status.Phase = corev1.PodRunning

		time.Sleep(missingAfter)
		store.ReplaceSnapshot([]*corev1.Pod{present})
		if lost := a.lost(store.Snapshot()); len(lost) != 0 {
			t.Fatalf("lost %v too early, want none yet", lost)
		}

		time.Sleep(time.Second)
		store.ReplaceSnapshot([]*corev1.Pod{present})
		lost := a.lost(store.Snapshot())
		if len(lost) != 1 || lost[0].executor.ID != "1" || lost[0].outcome != deleted {
			t.Fatalf("lost %v, want executor 1", lost)
		}
		if again := a.lost(store.Snapshot()); len(again) != 0 {
			t.Errorf("lost %v again, want each once", again)
		}
		a.acknowledge(present.Name)
		if created, err := a.fill(t.Context(), store.Snapshot()); err != nil || !slices.Equal(created, []int{3}) {
			t.Errorf("created %v, %v; want executor 3", created, err)
		}
	})
}

// A scheduler that decides on a view without its own creations would create more executors,
// or the same again (SPARK-44609).
func TestDecidesNothingBeforeItSeesItsOwnCreations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFixture(t, 3)
		lift := s.server.Strike(watchtest.Silence())
		s.begin(t)
		s.wait(time.Minute) // shorter than the stall timeout
		s.wantRequests(t, watchtest.Create, 3)
		if s.store.Snapshot().Len() > 0 {
			t.Fatal("the watch is not silent, want it silent")
		}
		lift()
		s.wait(tickInterval)
		s.wantRequests(t, watchtest.Create, 3)
		s.delete(2)
		s.wait(tickInterval)
		s.wantRequests(t, watchtest.Create, 4)
		s.wantEnds(t, deleted, 1)
	})
}

// A pod that came and went while the watch was broken is in no list and in no event.
func TestReplacesAnExecutorThatWasNeverShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFixture(t, 1)
		s.server.Strike(watchtest.Silence())
		s.begin(t)
		s.delete(1)
		s.server.Compact() // the next watch must begin with a list
		s.server.Strike(watchtest.Reset())
		s.wait(missingAfter - 3*time.Second)
		s.wantRequests(t, watchtest.Create, 2)
		s.wantEnds(t, deleted, 1)
	})
}
