// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// A driver and its executors are in one view, each with its own container, beside a sidecar that
// ends in another way.
func ExampleWithExecutorContainer() {
	sidecar := corev1.ContainerStatus{Name: "log-shipper", State: podtest.Running()}
	driver := executorPod("driver", corev1.PodRunning, sidecar,
		corev1.ContainerStatus{Name: "spark-kubernetes-driver", State: podtest.Ended(0, "Completed")})
	executor := executorPod("1", corev1.PodRunning, sidecar,
		corev1.ContainerStatus{Name: "spark-kubernetes-executor", State: podtest.Ended(52, "Error")})
	store := watchsource.NewStore(
		watchsource.WithExecutorContainer("spark-kubernetes-driver", "spark-kubernetes-executor"),
		watchsource.WithExecutorIDLabel(""))
	for _, pod := range []*corev1.Pod{driver, executor} {
		store.UpdatePod(pod) // usually the source does this
	}
	for e := range store.Snapshot().All() {
		fmt.Println(e.Name, e.State, e.ExitCode)
	}
	// Output:
	// app-1-exec-1 Failed 52
	// app-1-exec-driver Succeeded 0
}

// The executor container is the first of the pod, whatever its name is. The pods of builds are of
// another kind: their executor container is the last one.
func ExampleWithExecutorContainerFunc() {
	store := watchsource.NewStore(watchsource.WithExecutorContainerFunc(func(names []string) string {
		if slices.Contains(names, "git-clone") {
			return names[len(names)-1]
		}
		return names[0]
	}))
	for id, containers := range map[string][]string{"1": {"worker-a", "log-shipper"}, "2": {"git-clone", "build"}} {
		pod := executorPod(id, corev1.PodRunning)
		for i, name := range containers {
			pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: name})
			pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses,
				corev1.ContainerStatus{Name: name, State: podtest.Ended(int32(i), "Ended")})
		}
		store.UpdatePod(pod) // usually the source does this
	}
	for e := range store.Snapshot().All() {
		fmt.Println(e.Name, e.State, e.ExitCode)
	}
	// Output:
	// app-1-exec-1 Succeeded 0
	// app-1-exec-2 Failed 1
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
