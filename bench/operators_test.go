// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/controller"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// workerOf is a pod of an owner.
func workerOf(owner string, i int, phase corev1.PodPhase) *corev1.Pod {
	pod := podtest.Executor(i, i, true)
	pod.Labels[watchsource.LabelApp] = owner
	pod.Status.Phase = phase
	return pod
}

// In virtual time, with the queue of a controller: 3,000 events of an owner use up the tokens of
// the next 290 seconds, so that an event of another owner waits as long. The pods of the initial
// list use up none.
func TestRateLimitedHandlerDelaysOtherOwners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := priorityqueue.New("owners", func(o *priorityqueue.Opts[reconcile.Request]) { o.RateLimiter = newRateLimiter() })
		defer queue.ShutDown()
		h := rateLimitedHandler()
		for i := range 500 {
			h.Create(t.Context(), event.CreateEvent{Object: workerOf(nthApp(2), i, corev1.PodRunning), IsInInitialList: true}, queue)
		}
		if owner, wait := next(queue); owner != nthApp(2) || wait != 0 {
			t.Errorf("the first owner in the queue is %s after %v, want %s at once", owner, wait, nthApp(2))
		}
		first, second := workerOf(firstOwner, 1, corev1.PodRunning), workerOf(secondOwner, 2, corev1.PodRunning)
		h.Create(t.Context(), event.CreateEvent{Object: first}, queue)
		for range 2998 {
			h.Update(t.Context(), event.UpdateEvent{ObjectOld: first, ObjectNew: first}, queue)
		}
		h.Delete(t.Context(), event.DeleteEvent{Object: first}, queue)
		h.Update(t.Context(), event.UpdateEvent{ObjectOld: second, ObjectNew: second}, queue)
		if owner, wait := next(queue); owner != firstOwner || wait > time.Second {
			t.Errorf("the next owner in the queue is %s after %v, want %s within a second", owner, wait, firstOwner)
		}
		// The bucket of 100 has been filled up at first, and gets ten tokens a second.
		const want = (3000 + 1 - 100) * time.Second / 10
		if owner, wait := next(queue); owner != secondOwner || wait.Round(time.Second) != want.Round(time.Second) {
			t.Errorf("the next owner in the queue is %s after %v, want %s after %v", owner, wait, secondOwner, want)
		}
	})
}

// next returns the next owner in the queue, and how long it took to come.
func next(queue workqueue.TypedRateLimitingInterface[reconcile.Request]) (owner string, wait time.Duration) {
	began := time.Now()
	request, _ := queue.Get()
	queue.Forget(request)
	queue.Done(request)
	return request.Name, time.Since(began)
}

// All operators count an owner's pods in the same way, and no pods of another owner or namespace.
func TestOperatorsCountTheSame(t *testing.T) {
	store := watchsource.NewStoreBy(controller.ByLabel(watchsource.LabelApp))
	var pods []client.Object
	add := func(owner, namespace string, phase corev1.PodPhase) {
		pod := workerOf(owner, len(pods), phase)
		pod.Namespace, pod.Status = namespace, corev1.PodStatus{Phase: phase}
		store.UpdatePod(pod)
		pods = append(pods, pod)
	}
	for _, phase := range []corev1.PodPhase{
		corev1.PodPending,
		corev1.PodRunning, corev1.PodRunning,
		corev1.PodSucceeded, corev1.PodSucceeded, corev1.PodSucceeded,
		corev1.PodFailed, corev1.PodFailed, corev1.PodFailed, corev1.PodFailed,
		corev1.PodUnknown,
	} {
		add(firstOwner, namespace, phase)
		add(secondOwner, namespace, corev1.PodRunning)
		add(firstOwner, "elsewhere", corev1.PodRunning)
	}
	owner := requestFor(pods[0])
	want := workerCounts{pending: 1, running: 2, succeeded: 3, failed: 4}
	counts, err := countPods(t.Context(), fake.NewClientBuilder().WithObjects(pods...).Build(), owner.NamespacedName)
	if err != nil {
		t.Fatal(err)
	}
	if counts != want {
		t.Errorf("the usual operators count %+v, want %+v", counts, want)
	}
	if counts := countExecutors(store.Snapshot(owner)); counts != want {
		t.Errorf("the operator with watchsource counts %+v, want %+v", counts, want)
	}
}
