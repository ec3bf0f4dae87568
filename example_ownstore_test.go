// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
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

// podCache is a store of your own that keeps pods.
type podCache map[string]*corev1.Pod

func (c podCache) UpdatePod(pod *corev1.Pod) { c[pod.Name] = pod }
func (c podCache) DeletePod(pod *corev1.Pod) { delete(c, pod.Name) }
func (c podCache) ReplaceSnapshot(pods []*corev1.Pod) {
	clear(c)
	for _, pod := range pods {
		c.UpdatePod(pod)
	}
}

// A store of your own that keeps pods gets them without the parts that tracking does not need.
func ExampleWithTrimmedPods() {
	pod := executorPod("1", corev1.PodRunning)
	pod.Spec.NodeName = "node-7"
	pod.Spec.Containers = []corev1.Container{{
		Name: podtest.ExecutorContainer,
		Env:  []corev1.EnvVar{{Name: "SPARK_EXECUTOR_ID", Value: "1"}},
	}}
	pods := podCache{}
	source := watchsource.NewWatchSnapshotSource(pods, fake.NewClientset(pod), watchsource.WithTrimmedPods())
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	source.Stop() // after this only this goroutine uses pods
	for name, pod := range pods {
		fmt.Println(name, pod.Status.Phase, pod.Spec.NodeName, len(pod.Spec.Containers), "containers")
	}
	// Output: app-1-exec-1 Running node-7 0 containers
}

// A program that already has a watch feeds a store with it. The Watcher drops pods that the
// selector does not match, and states that are older than those the store has.
func ExampleNewWatcher() {
	pod := executorPod("1", corev1.PodRunning)
	other := executorPod("2", corev1.PodRunning)
	other.Labels[watchsource.LabelApp] = "app-2"
	store := watchsource.NewStore()
	watcher := watchsource.NewWatcher(store, labels.SelectorFromSet(labels.Set{watchsource.LabelApp: "app-1"}))

	for _, event := range []watch.Event{{Type: watch.Added, Object: pod}, {Type: watch.Added, Object: other}} {
		if err := watcher.Receive(event); err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(store.Snapshot().Len(), "executor")
	// Output: 1 executor
}
