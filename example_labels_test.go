// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
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

// Pods whose executor runs in a container with a name of your own, beside a sidecar that ends
// in another way.
func ExampleWithExecutorContainer() {
	pod := executorPod("1", corev1.PodRunning,
		corev1.ContainerStatus{Name: "worker", State: podtest.Ended(0, "Completed")},
		corev1.ContainerStatus{Name: "log-shipper", State: podtest.Running()})
	store := watchsource.NewStore(watchsource.WithExecutorContainer("worker"))
	store.UpdatePod(pod) // usually the source does this
	executor, _ := store.Snapshot().ByID("1")
	fmt.Println(executor.State, executor.ExitCode)
	// Output: Succeeded 0
}

// A sidecar that has failed does not fail the executor. By default it does, as with Spark.
func ExampleWithExecutorContainerOnly() {
	pod := executorPod("1", corev1.PodRunning,
		corev1.ContainerStatus{Name: podtest.ExecutorContainer, State: podtest.Running()},
		corev1.ContainerStatus{Name: "log-shipper", State: podtest.Ended(1, "Error")})
	pod.Spec.RestartPolicy = corev1.RestartPolicyNever
	for _, store := range []*watchsource.Store{
		watchsource.NewStore(),
		watchsource.NewStore(watchsource.WithExecutorContainerOnly()),
	} {
		store.UpdatePod(pod) // usually the source does this
		executor, _ := store.Snapshot().ByID("1")
		fmt.Println(executor.State)
	}
	// Output:
	// Failed
	// Running
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
