// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
