// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// Your own labels in the place of Spark's.
func ExampleWithSelector() {
	pod := executorPod("1", corev1.PodRunning)
	pod.Labels = map[string]string{"batch.example/job": "nightly", "batch.example/worker": "w-17"}
	store := watchsource.NewStore(watchsource.WithExecutorIDLabel("batch.example/worker"))
	source := watchsource.NewWatchSnapshotSource(store, fake.NewClientset(pod),
		watchsource.WithSelector(func(appID string) labels.Selector {
			return labels.SelectorFromSet(labels.Set{"batch.example/job": appID})
		}))
	if err := source.Start("nightly"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()
	executor, _ := store.Snapshot().ByID("w-17")
	fmt.Println(executor.ID, executor.State)
	// Output: w-17 Running
}

// The executor id is in a label of your own. Without the option the executor would have no id,
// and Problem would say so.
func ExampleWithExecutorIDLabel() {
	pod := executorPod("1", corev1.PodRunning)
	pod.Labels["batch.example/worker"] = "w-17"
	store := watchsource.NewStore(watchsource.WithExecutorIDLabel("batch.example/worker"))
	store.UpdatePod(pod) // usually the source does this
	for executor := range store.Snapshot().All() {
		fmt.Println(executor.Name, "is", executor.ID)
	}
	// Output: app-1-exec-1 is w-17
}

// Pods without a label for an id are found by their names.
func ExampleWithExecutorIDLabel_podName() {
	pod := executorPod("1", corev1.PodRunning)
	pod.Name = "build-4711-step-2"
	store := watchsource.NewStore(watchsource.WithExecutorIDLabel(""))
	store.UpdatePod(pod) // usually the source does this
	executor, found := store.Snapshot().ByID("build-4711-step-2")
	fmt.Printf("%v %s %q\n", found, executor.ID, executor.Problem)
	// Output: true build-4711-step-2 ""
}

// A service account that has a Role in one namespace, and no ClusterRole.
func ExampleWithNamespace() {
	other := executorPod("2", corev1.PodRunning)
	other.Namespace = "other-jobs"
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, fake.NewClientset(executorPod("1", corev1.PodRunning), other),
		watchsource.WithNamespace("jobs"))
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()
	for executor := range store.Snapshot().All() {
		fmt.Println(executor.Namespace, executor.Name)
	}
	// Output: jobs app-1-exec-1
}

// Two processes divide the namespaces of a cluster. Each has a SharedWatch with its own index.
func ExampleWithShard() {
	server := watchtest.NewServer()
	for _, namespace := range []string{"ads-7f3a", "billing-c41d", "search-09be", "maps-e5a2"} {
		pod := executorPod("1", corev1.PodRunning)
		pod.Namespace = namespace
		server.Create(pod)
	}
	for index := range 2 {
		store := watchsource.NewStore()
		shared := watchsource.NewSharedWatch(server.Client(), watchsource.WithShard(index, 2))
		source := shared.Source(store)
		if err := source.Start("app-1"); err != nil {
			fmt.Println(err)
			return
		}
		for executor := range store.Snapshot().All() {
			fmt.Println("process", index, "sees", executor.Namespace)
		}
		source.Stop()
	}
	// Output:
	// process 0 sees ads-7f3a
	// process 0 sees maps-e5a2
	// process 0 sees search-09be
	// process 1 sees billing-c41d
}
