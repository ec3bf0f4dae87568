// SPDX-License-Identifier: Apache-2.0

package main

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

// The rules of Spark's ExecutorPodsLifecycleManagerSuite, from a real LIST and
// WATCH on. "Removed from Spark" is struck off the roster here.

// ExecutorPodsLifecycleManagerSuite: a failed executor is removed once, with its
// exit code and as the application's fault, and its pod is deleted by name.
func TestSparkL2FailedExecutorIsRemovedAndItsPodDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 1)
		s.begin(t)
		s.update(1, runs)
		s.update(1, fails(1))
		s.wait()
		s.told(t, "executor 1 failed on node-1: exit code 1 (Error)")
		s.lost(t, failed, 1)
		if s.lifecycle.failures != 1 {
			t.Errorf("%d failures count against the application, want 1", s.lifecycle.failures)
		}
		if got, want := s.deletions(), []string{podName("spark-test", 1)}; !slices.Equal(got, want) {
			t.Errorf("asked to delete %q, want %q", got, want)
		}
	})
}

// ExecutorPodsLifecycleManagerSuite: an executor that is failed in two batches,
// because its pod could not be deleted the first time, is removed once and its
// pod is deleted twice.
func TestSparkL3FailedExecutorInTwoBatchesIsRemovedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := failedTwice(t, func(s *stage) {
			s.update(1, func(pod *corev1.Pod) { pod.Annotations = map[string]string{"seen": "again"} })
		})
		s.lost(t, failed, 1)
		s.asked(t, watchtest.Delete, 2)
		if _, there := s.store.Snapshot().Get(podName("spark-test", 1)); there {
			t.Error("the pod is still there")
		}
	})
}

// ExecutorPodsLifecycleManagerSuite: the same, but the pod is gone before the
// second batch, which then has nothing to delete.
func TestSparkL4FailedExecutorThatIsGoneIsDeletedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := failedTwice(t, func(s *stage) { s.delete(1) })
		s.lost(t, failed, 1)
		s.lost(t, deleted, 0)
		s.asked(t, watchtest.Delete, 1)
	})
}

// failedTwice plays an executor that fails, whose pod cannot be deleted at first,
// and with which something happens then.
func failedTwice(t *testing.T, then func(*stage)) *stage {
	t.Helper()
	s := newStage(t, 1)
	s.begin(t)
	s.server.Inject(watchtest.Fault{
		On:    watchtest.Delete,
		Times: 1,
		Do:    watchtest.Answer(apierrors.NewInternalError(errors.New("out of order"))),
	})
	s.update(1, fails(1))
	synctest.Wait() // the first batch has been followed
	s.lost(t, failed, 1)
	s.asked(t, watchtest.Delete, 1)
	then(s)
	s.wait()
	return s
}

// ExecutorPodsLifecycleManagerSuite: an executor that is registered and not in a
// full list is missing if the list is more than missingDelta younger than the
// registration, and not before. It is removed without an exit code, and not as
// the application's fault.
func TestSparkL5RegisteredExecutorIsMissingFromALaterFullListOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, roster := watchsource.NewStore(), newRoster()
		missing := newMissing(roster)
		looks := func() []watchsource.Executor {
			return append(missing.look(store.Snapshot()), missing.look(store.Snapshot())...)
		}

		time.Sleep(7 * time.Millisecond)
		roster.register("exec-1", 1) // nobody knows the version of its pod
		time.Sleep(missingDelta)
		store.ReplaceSnapshot(nil)
		if gone := looks(); len(gone) != 0 {
			t.Errorf("missing after %v: %v", missingDelta, gone)
		}
		time.Sleep(time.Millisecond)
		store.UpdatePod(executorPod(testConfig(), 2)) // makes the view newer, but no list
		if gone := looks(); len(gone) != 0 {
			t.Errorf("missing from no more than an update: %v", gone)
		}
		store.ReplaceSnapshot(nil)
		gone := looks()
		if len(gone) != 1 || gone[0].ID != "1" || gone[0].ExitCode != watchsource.UnknownExitCode {
			t.Errorf("missing after %v and a millisecond: %v, want executor 1", missingDelta, gone)
		}
	})
}

// ExecutorPodsLifecycleManagerSuite (SPARK-49804): the exit code is that of the
// executor's container, also where a sidecar comes first.
func TestSparkL8ExitCodeIsThatOfTheExecutorContainer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 1)
		s.begin(t)
		s.update(1, func(pod *corev1.Pod) {
			sidecar := corev1.Container{Name: "sidecar", Image: "busybox"}
			pod.Spec.Containers = append([]corev1.Container{sidecar}, pod.Spec.Containers...)
			pod.Status.Phase = corev1.PodFailed
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{
				terminated("sidecar", 7),
				terminated(executorContainer, 52),
			}
		})
		s.wait()
		s.told(t, "executor 1 failed: exit code 52 (Error)")
	})
}

// deletions are the pods that were asked to be deleted, in order.
func (s *stage) deletions() []string {
	var names []string
	for _, request := range s.server.Requests() {
		if request.Verb == watchtest.Delete {
			names = append(names, request.Name)
		}
	}
	return names
}
