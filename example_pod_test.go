// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// A scheduler that replaces a failed executor with a pod that has the same spec. The pod is
// a copy, so the scheduler may change it.
func ExampleExecutor_Pod() {
	server := watchtest.NewServer()
	failed := executorPod("1", corev1.PodFailed, outOfMemory())
	failed.Labels["team"] = "billing"
	failed.Spec.Containers = []corev1.Container{{Name: podtest.ExecutorContainer, Image: "registry.example/spark:4.2.0"}}
	server.Create(failed)
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, server.Client())
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()

	executor, _ := store.Snapshot().ByID("1")
	team, _ := executor.Label("team") // does not decode the pod
	fmt.Println("replace", executor.Name, "of", team)
	pod, err := executor.Pod()
	if err != nil {
		fmt.Println(err)
		return
	}
	next := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "app-1-exec-2", Labels: pod.Labels}, Spec: pod.Spec}
	next.Labels[watchsource.LabelExecutorID] = "2"
	id, _ := executor.Label(watchsource.LabelExecutorID)
	fmt.Println("with", next.Name, "from", next.Spec.Containers[0].Image)
	fmt.Println("the store still has the executor", id)
	// Output:
	// replace app-1-exec-1 of billing
	// with app-1-exec-2 from registry.example/spark:4.2.0
	// the store still has the executor 1
}

// A store that keeps executors without their pods needs less memory. What you need of a pod
// must then be a field of Executor.
func ExampleWithoutPods() {
	store := watchsource.NewStore(watchsource.WithoutPods())
	source := watchsource.NewWatchSnapshotSource(store, fake.NewClientset(executorPod("1", corev1.PodFailed, outOfMemory())))
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()

	executor, _ := store.Snapshot().ByID("1")
	fmt.Println(executor.Name, executor.State, executor.Reason)
	_, err := executor.Pod()
	fmt.Println(errors.Is(err, watchsource.ErrNoPod))
	_, found := executor.Label(watchsource.LabelApp)
	fmt.Println(found)
	// Output:
	// app-1-exec-1 Failed OOMKilled
	// true
	// false
}

// A scheduler that reads its own labels and annotations. Neither call decodes the pod.
func ExampleExecutor_Label() {
	pod := executorPod("1", corev1.PodRunning)
	pod.Labels["team"] = "billing"
	pod.Annotations = map[string]string{"batch.example/cost-center": "4711"}
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, fake.NewClientset(pod))
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()

	for executor := range store.Snapshot().All() {
		team, _ := executor.Label("team")
		costCenter, _ := executor.Annotation("batch.example/cost-center")
		fmt.Println(executor.Name, team, costCenter)
	}
	// Output: app-1-exec-1 billing 4711
}
