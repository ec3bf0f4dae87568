// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
)

// podNames is a store of your own: it only keeps names.
type podNames map[string]bool

func (n podNames) UpdatePod(pod *corev1.Pod) { n[pod.Name] = true }
func (n podNames) DeletePod(pod *corev1.Pod) { delete(n, pod.Name) }
func (n podNames) ReplaceSnapshot(pods []*corev1.Pod) {
	clear(n)
	for _, pod := range pods {
		n.UpdatePod(pod)
	}
}

func ExampleSnapshotsStore() {
	names := podNames{}
	client := fake.NewClientset(executorPod("1", corev1.PodRunning), executorPod("2", corev1.PodPending))
	source := watchsource.NewWatchSnapshotSource(names, client)
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	source.Stop() // after this only this goroutine uses names
	fmt.Println(len(names), "pods")
	// Output: 2 pods
}

// Two stores are fed by one watch: the library's own, and a scheduler's cache.
func ExampleTee() {
	store, names := watchsource.NewStore(), podNames{}
	tee := watchsource.Tee(store, names)

	tee.ReplaceSnapshot([]*corev1.Pod{executorPod("1", corev1.PodRunning), executorPod("2", corev1.PodPending)})
	tee.DeletePod(executorPod("1", corev1.PodRunning))
	fmt.Println(store.Snapshot().Len(), len(names))
	// Output: 1 1
}
