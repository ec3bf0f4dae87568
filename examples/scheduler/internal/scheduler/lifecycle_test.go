// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource"
)

// An executor is lost once, at the first change after which it cannot work. The outcome is
// the one in that change.
func TestLosesAnExecutorOnce(t *testing.T) {
	type state = watchsource.Executor
	running := state{State: watchsource.Running}
	draining := state{State: watchsource.Running, Terminating: true}
	killed := state{State: watchsource.Failed, Terminating: true, ExitCode: 143}
	broken := state{State: watchsource.Failed, ExitCode: 1}
	done := state{State: watchsource.Succeeded}
	gone := state{State: watchsource.Deleted}

	for _, tt := range []struct {
		name   string
		states []state // the first is a change without Before
		lostAt int     // index of the state that ends it
		as     outcome
	}{
		{name: "fails", states: []state{running, broken, gone}, lostAt: 1, as: failed},
		{name: "ends", states: []state{running, done, gone}, lostAt: 1, as: finished},
		{name: "is deleted", states: []state{running, draining, killed, gone}, lostAt: 1, as: deleted},
		{name: "is deleted between two looks", states: []state{running, killed, gone}, lostAt: 1, as: deleted},
		{name: "vanishes", states: []state{running, gone}, lostAt: 1, as: deleted},
		{name: "is seen too late", states: []state{broken, gone}, lostAt: 0, as: failed},
		{name: "is never seen alive or dead", states: []state{gone}, lostAt: 0, as: deleted},
		{name: "cannot be reached for a while", states: []state{running, {State: watchsource.Unknown}, running, broken}, lostAt: 3, as: failed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			allocator := newTestAllocator(1)
			if _, err := allocator.create(t.Context()); err != nil {
				t.Fatal(err)
			}
			l := newLifecycle(1, allocator.pods, allocator, newReport(io.Discard))

			var before *state
			for i, after := range tt.states {
				after.Name, after.ID = podName("spark-test", 1), "1"
				endings, err := l.handle(t.Context(), watchsource.Batch{Changes: []watchsource.Change{{Before: before, After: &after}}})
				if err != nil {
					t.Fatal(err)
				}
				if lost := len(endings) > 0; lost != (i == tt.lostAt) {
					t.Errorf("after state %d: endings %v", i, endings)
				} else if lost && endings[0].outcome != tt.as {
					t.Errorf("outcome = %v, want %v", endings[0].outcome, tt.as)
				}
				before = &after
			}
		})
	}
}

// A batch that is Full shows all present executors as new, and no executor that has left.
// The scheduler must not adopt or count known executors again, and must notice the absent
// ones.
func TestRebuildsFromAFullBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := new(strings.Builder)
		allocator := newTestAllocator(5)
		l := newLifecycle(10, allocator.pods, allocator, newReport(out))
		store := watchsource.NewStore(watchsource.WithBacklogLimit(2))
		for id := range 5 {
			if _, err := allocator.create(t.Context()); err != nil {
				t.Fatal(err)
			}
			store.UpdatePod(podInPhase(id+1, corev1.PodRunning))
		}
		store.UpdatePod(podInPhase(3, corev1.PodFailed)) // the pod stays
		store.UpdatePod(podInPhase(5, corev1.PodFailed)) // the pod goes, and no change shows this

		var ends []string
		handle := func(batch watchsource.Batch) {
			endings, err := l.handle(t.Context(), batch)
			if err != nil {
				t.Fatal(err)
			}
			for _, end := range endings {
				ends = append(ends, end.executor.ID)
			}
		}
		batches := 0
		for batch := range store.Batches(t.Context(), time.Second) {
			handle(batch)
			if batches++; batches == 2 {
				if !batch.Full || batch.Missed != 3 {
					t.Errorf("full %v, missed %d; the limit was not reached", batch.Full, batch.Missed)
				}
				break
			}
			// More than the limit, before the reader comes back.
			store.DeletePod(podInPhase(1, corev1.PodRunning))
			store.DeletePod(podInPhase(2, corev1.PodRunning))
			store.DeletePod(podInPhase(5, corev1.PodFailed))
			store.UpdatePod(podInPhase(4, corev1.PodFailed))
			store.UpdatePod(podInPhase(9, corev1.PodRunning))
		}
		if want := []string{"3", "5", "1", "2", "4"}; !slices.Equal(ends, want) {
			t.Errorf("ends %q, want %q", ends, want)
		}
		if l.failures != 3 {
			t.Errorf("%d failures, want 3", l.failures)
		}
		if n := strings.Count(out.String(), "is there already"); n != 1 {
			t.Errorf("adopted %d, want executor 9 alone:\n%s", n, out)
		}
		if !strings.Contains(out.String(), "3 executors left unseen") {
			t.Errorf("the report does not say what was missed:\n%s", out)
		}
	})
}

// A late change that shows a missing executor is not a second end. The executor does not
// count as one of an earlier run either.
func TestAMissingExecutorEndsOnce(t *testing.T) {
	out := new(strings.Builder)
	allocator := newTestAllocator(1)
	l := newLifecycle(10, allocator.pods, allocator, newReport(out))
	if _, err := allocator.create(t.Context()); err != nil {
		t.Fatal(err)
	}
	store := watchsource.NewStore()
	store.ReplaceSnapshot(nil)
	store.ObserveResourceVersion(allocator.written)
	if missing := l.missing(store.Snapshot()); len(missing) != 1 {
		t.Fatalf("missing %v, want executor 1", missing)
	}
	gone := watchsource.Executor{Name: podName("spark-test", 1), ID: "1", State: watchsource.Deleted}
	endings, err := l.handle(t.Context(), watchsource.Batch{Changes: []watchsource.Change{{After: &gone}}})
	if err != nil || len(endings) != 0 || out.Len() > 0 {
		t.Errorf("endings %v, %v; report:\n%s", endings, err, out)
	}
}

func podInPhase(executorID int, phase corev1.PodPhase) *corev1.Pod {
	pod := executorPod(config{appID: "spark-test", namespace: "default", work: demoWork}, executorID)
	pod.UID = types.UID(pod.Name)
	pod.Status.Phase = phase
	return pod
}
