// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource/internal/test/podtest"
)

// A user's own store keeps the pods of the last list, with the updates and without the pods
// that were deleted. It shows each pod that it receives.
func TestPodStore(t *testing.T) {
	store := &podStore{recorder: newRecorder(true, 1), pods: podMap{}}
	first, second, third := podtest.Pod("1"), podtest.Pod("2"), podtest.Pod("3")
	store.UpdatePod(first)
	store.ReplaceSnapshot([]*corev1.Pod{second, third})
	store.DeletePod(second)
	updated := podtest.Pod("3", podtest.Version("7"))
	store.UpdatePod(updated)
	if diff := cmp.Diff([]*corev1.Pod{updated}, slices.Collect(maps.Values(store.pods))); diff != "" {
		t.Errorf("pods of the store (-want +got):\n%s", diff)
	}
	var shown []string
	for _, s := range store.recorder.samples {
		shown = append(shown, s.Pod+" "+s.Version)
	}
	if diff := cmp.Diff([]string{"exec-1 ", "exec-2 ", "exec-3 ", "exec-2 ", "exec-3 7"}, shown); diff != "" {
		t.Errorf("shown (-want +got):\n%s", diff)
	}
}
