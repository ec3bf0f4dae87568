// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// These tests check the rules of Spark's ExecutorPodsLifecycleManagerSuite. The pods come
// from a LIST and a WATCH. Where Spark removes an executor from its scheduler, this scheduler counts an end.

// ExecutorPodsLifecycleManagerSuite: a failed executor is removed with its exit
// code as the application's fault, and its pod is deleted by name.
func TestSparkL2AFailedExecutorEndsAndItsPodIsDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFixture(t, 1)
		s.begin(t)
		s.update(1, runs)
		s.update(1, fails(1))
		s.wantReport(t, "executor 1 failed on node-1: exit code 1 (Error)")
		s.wantEnds(t, failed, 1)
		if s.lifecycle.failures != 1 {
			t.Errorf("%d failures count, want 1", s.lifecycle.failures)
		}
		var deleted []string
		for _, request := range s.server.Requests() {
			if request.Verb == watchtest.Delete {
				deleted = append(deleted, request.Name)
			}
		}
		if want := []string{podName("spark-test", 1)}; !slices.Equal(deleted, want) {
			t.Errorf("asked to delete %q, want %q", deleted, want)
		}
	})
}

// ExecutorPodsLifecycleManagerSuite: an executor that is failed in two batches is removed
// once, and its pod is deleted twice. Here it is deleted twice only if the first attempt
// failed (SPARK-54198).
func TestSparkL3AFailedExecutorInTwoBatchesEndsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := failedWithoutDeletion(t)
		s.update(1, func(pod *corev1.Pod) { pod.Status.Message = "the same again" })
		s.wantEnds(t, failed, 1)
		s.wantEnds(t, deleted, 0)
		s.wantRequests(t, watchtest.Delete, 2)
	})
}

// ExecutorPodsLifecycleManagerSuite: the same, but the pod is gone before the second batch,
// so no second deletion follows.
func TestSparkL4AFailedExecutorThatIsGoneIsDeletedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := failedWithoutDeletion(t)
		s.delete(1)
		s.wait(tickInterval)
		s.wantEnds(t, failed, 1)
		s.wantEnds(t, deleted, 0)
		s.wantRequests(t, watchtest.Delete, 1)
	})
}

// failedWithoutDeletion returns a scheduler with an executor that has failed. The first
// deletion of its pod was refused.
func failedWithoutDeletion(t *testing.T) *fixture {
	t.Helper()
	s := newFixture(t, 1)
	s.begin(t)
	s.server.Inject(watchtest.Fault{On: watchtest.Delete, Times: 1, Do: watchtest.Answer(
		apierrors.NewInternalError(errors.New("out of order")))})
	s.update(1, fails(1))
	s.wantEnds(t, failed, 1)
	s.wantRequests(t, watchtest.Delete, 1)
	return s
}

// ExecutorPodsLifecycleManagerSuite: an executor that is registered but absent from a full
// list is removed, without an exit code and not as the application's fault. The list must be
// newer than the registration by a certain time. If the creation has a version, a view that
// contains it is enough (SPARK-33711).
func TestSparkL5ARegisteredExecutorIsMissingFromANewerViewOnly(t *testing.T) {
	for _, tt := range []struct {
		name    string
		version string // of the creation
		show    func(*watchsource.Store)
		missing bool
	}{
		{name: "a list right at the limit", show: func(s *watchsource.Store) {
			time.Sleep(missingAfter)
			s.ReplaceSnapshot(nil)
		}},
		{name: "a list after the limit", show: func(s *watchsource.Store) {
			time.Sleep(missingAfter + time.Millisecond)
			s.ReplaceSnapshot(nil)
		}, missing: true},
		{name: "no list after the limit", version: "100", show: func(s *watchsource.Store) {
			s.ReplaceSnapshot(nil)
			time.Sleep(10 * missingAfter)
			s.ObserveResourceVersion("99")
		}},
		{name: "a view with the creation", version: "100", show: func(s *watchsource.Store) {
			s.ReplaceSnapshot(nil)
			s.ObserveResourceVersion("100")
		}, missing: true},
		{name: "a view that is not complete", version: "100", show: func(s *watchsource.Store) {
			s.ObserveResourceVersion("100")
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(7 * time.Millisecond)
				a := newTestAllocator(1)
				a.unseen["exec-1"] = creation{executorID: 1, at: time.Now(), version: tt.version}
				store := watchsource.NewStore()
				tt.show(store)
				lost := a.lost(store.Snapshot())
				if missing := len(lost) == 1; missing != tt.missing {
					t.Fatalf("lost %v, want one executor: %v", lost, tt.missing)
				}
				if !tt.missing {
					return
				}
				if e := lost[0].executor; e.ID != "1" || e.ExitCode != watchsource.UnknownExitCode || lost[0].outcome != deleted {
					t.Errorf("lost %+v, want executor 1 deleted without an exit code", lost[0])
				}
			})
		})
	}
}

// ExecutorPodsLifecycleManagerSuite (SPARK-49804): the exit code is the code of the
// executor container, even if a sidecar is listed first.
func TestSparkL8TheExitCodeIsThatOfTheExecutor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFixture(t, 1)
		s.begin(t)
		s.update(1, func(pod *corev1.Pod) {
			pod.Spec.Containers = append([]corev1.Container{{Name: "sidecar"}}, pod.Spec.Containers...)
			pod.Status.Phase = corev1.PodFailed
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{terminated("sidecar", 7), terminated(executorContainer, 52)}
		})
		s.wantReport(t, "executor 1 failed: exit code 52 (Error)")
	})
}
