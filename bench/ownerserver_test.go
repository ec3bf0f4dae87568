// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource"
)

var testSizes = ownerSizes{Workers: 30, Others: 4, Each: 3}

// client-go decodes the stream into the running workers of the other owners, the stages of the
// first owner's workers, and the end of one worker of the second owner.
func TestOwnerServerStream(t *testing.T) {
	s := newOwnerServer(newOwnerScript(testSizes), 0)
	pods := newClient(t, startReplayServer(t, s)).CoreV1().Pods(namespace)
	w, err := pods.Watch(t.Context(), metav1.ListOptions{
		LabelSelector: executorSelector.String(), AllowWatchBookmarks: true,
		SendInitialEvents: new(true), ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	seen := map[string]*corev1.Pod{}
	readView(t, w, seen)
	running := map[string]int{}
	for _, pod := range seen {
		if pod.Status.Phase == corev1.PodRunning {
			running[ownerOf(t, pod)]++
		}
	}
	if want := map[string]int{nthApp(1): 3, nthApp(2): 3, nthApp(3): 3, nthApp(4): 3}; fmt.Sprint(running) != fmt.Sprint(want) {
		t.Errorf("the initial list has the running workers %v, want %v", running, want)
	}
	s.release()
	readStages(t, w, seen)
	last := (<-w.ResultChan()).Object.(*corev1.Pod)
	if ownerOf(t, last) != secondOwner || last.Status.Phase != corev1.PodSucceeded || seen[last.Name] == nil || ownerOf(t, seen[last.Name]) != secondOwner {
		t.Errorf("the last event is of a pod of %s that is %s, want a known pod of %s that has succeeded", ownerOf(t, last), last.Status.Phase, secondOwner)
	}
	if r := s.seen().(ownerRequests); r.StreamingLists != 1 || r.Lists+r.Watches+r.Patches != 0 || r.LastOfFirst == 0 || r.Second < r.LastOfFirst {
		t.Errorf("the server has noted %+v", r)
	}
}

// readStages reads the events of the first owner, whose pods are not in the initial list.
func readStages(t *testing.T, w watch.Interface, seen map[string]*corev1.Pod) {
	t.Helper()
	phases, version := map[string]string{}, ""
	inOrder := [stages]corev1.PodPhase{corev1.PodPending, corev1.PodRunning, corev1.PodSucceeded}
	for j := range testSizes.events() {
		event := <-w.ResultChan()
		pod := event.Object.(*corev1.Pod)
		if pod.ResourceVersion <= version { // texts of one length
			t.Fatalf("version %s after %s", pod.ResourceVersion, version)
		}
		version = pod.ResourceVersion
		if ownerOf(t, pod) != firstOwner || seen[pod.Name] != nil {
			t.Fatalf("an event of the pod %s of %s, want only new pods of %s", pod.Name, ownerOf(t, pod), firstOwner)
		}
		if want := inOrder[j/testSizes.Workers]; pod.Status.Phase != want {
			t.Fatalf("event %d is of a pod that is %s, want %s", j, pod.Status.Phase, want)
		}
		phases[pod.Name] += fmt.Sprintf("%s %s, ", event.Type, pod.Status.Phase)
	}
	if len(phases) != testSizes.Workers {
		t.Errorf("events of %d workers, want %d", len(phases), testSizes.Workers)
	}
	for name, got := range phases {
		if want := "ADDED Pending, MODIFIED Running, MODIFIED Succeeded, "; got != want {
			t.Errorf("events of %s: %s, want %s", name, got, want)
		}
	}
}

// ownerOf returns the owner that all operators find.
func ownerOf(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	reference := metav1.GetControllerOf(pod)
	if reference == nil || reference.Name != pod.Labels[watchsource.LabelApp] || reference.Kind != "Job" {
		t.Fatalf("the pod %s has the controller %v and the labels %v", pod.Name, reference, pod.Labels)
	}
	return reference.Name
}

// A patch of a status is answered with the new status, and is counted once the events have begun.
func TestOwnerServerPatch(t *testing.T) {
	s := newOwnerServer(newOwnerScript(testSizes), 0)
	jobs := newClient(t, startReplayServer(t, s)).BatchV1().Jobs(namespace)
	patch := func() {
		t.Helper()
		job, err := jobs.Patch(t.Context(), secondOwner, types.MergePatchType, []byte(`{"status":{"succeeded":7}}`), metav1.PatchOptions{}, "status")
		if err != nil {
			t.Fatal(err)
		}
		if job.Name != secondOwner || job.Status.Succeeded != 7 {
			t.Errorf("the answer is %v", job)
		}
	}
	patch()
	if n := s.seen().(ownerRequests).Patches; n != 0 {
		t.Errorf("%d patches before the events, want none counted", n)
	}
	s.release()
	patch()
	patch()
	if n := s.seen().(ownerRequests).Patches; n != 2 {
		t.Errorf("%d patches are counted, want 2", n)
	}
	if _, err := jobs.Patch(t.Context(), secondOwner, types.MergePatchType, []byte(`{"status":`), metav1.PatchOptions{}, "status"); !apierrors.IsBadRequest(err) {
		t.Errorf("a patch that is no JSON: %v, want 400", err)
	}
}

// Lists, watches from a version and other selectors are refused, and the first two are counted.
func TestOwnerServerRefuses(t *testing.T) {
	s := newOwnerServer(newOwnerScript(testSizes), 0)
	pods := newClient(t, startReplayServer(t, s)).CoreV1().Pods(namespace)
	if _, err := pods.List(t.Context(), metav1.ListOptions{LabelSelector: executorSelector.String()}); !apierrors.IsGone(err) {
		t.Errorf("list: %v, want 410", err)
	}
	if _, err := pods.Watch(t.Context(), metav1.ListOptions{ResourceVersion: "1000000007"}); !apierrors.IsGone(err) {
		t.Errorf("watch from a version: %v, want 410", err)
	}
	if _, err := pods.Watch(t.Context(), metav1.ListOptions{LabelSelector: "a=b", SendInitialEvents: new(true)}); !apierrors.IsBadRequest(err) {
		t.Errorf("watch with another selector: %v, want 400", err)
	}
	if r := s.seen().(ownerRequests).requests; r != (requests{Lists: 1, Watches: 1}) {
		t.Errorf("the server has counted %+v", r)
	}
}

// In virtual time: with a rate the events keep their distance, and end with the request.
func TestOwnerServerRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, began := newOwnerServer(newOwnerScript(testSizes), 100), time.Now()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.serveEvents(ctx, newChunks(httptest.NewRecorder())) }()
		time.Sleep(time.Hour)
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		// The first of the 90 events comes at once, the others each 10 ms after the one before.
		if took := time.Duration(s.received.LastOfFirst - began.UnixNano()); took != 890*time.Millisecond {
			t.Errorf("the events took %v, want 890ms", took)
		}
		late := httptest.NewRecorder()
		if err := s.serveEvents(ctx, newChunks(late)); err != nil || late.Body.Len() > 0 {
			t.Errorf("after the end of the request: %d bytes, and the error %v, want neither", late.Body.Len(), err)
		}
	})
}
