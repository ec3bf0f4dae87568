// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Tee returns a store that passes each call to the given stores, in their order. The
// call returns when the last of them has returned. The stores share the pods, but
// each receives a separate slice of them.
func Tee(stores ...SnapshotsStore) SnapshotsStore { return tee(stores) }

type tee []SnapshotsStore

func (t tee) UpdatePod(pod *corev1.Pod) {
	for _, store := range t {
		store.UpdatePod(pod)
	}
}

func (t tee) DeletePod(pod *corev1.Pod) {
	for _, store := range t {
		store.DeletePod(pod)
	}
}

func (t tee) ReplaceSnapshot(pods []*corev1.Pod) {
	for _, store := range t {
		store.ReplaceSnapshot(slices.Clone(pods))
	}
}

func (t tee) ObserveResourceVersion(resourceVersion string) {
	for _, store := range t {
		if observer, ok := store.(ResourceVersionObserver); ok {
			observer.ObserveResourceVersion(resourceVersion)
		}
	}
}

func (t tee) ObserveStop() {
	for _, store := range t {
		if observer, ok := store.(StopObserver); ok {
			observer.ObserveStop()
		}
	}
}
