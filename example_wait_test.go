// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

func ExampleStore_WaitFor() {
	client := fake.NewClientset(executorPod("1", corev1.PodRunning))
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, client)
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()

	ctx := context.Background()
	_, err := client.CoreV1().Pods("jobs").Create(ctx, executorPod("2", corev1.PodRunning), metav1.CreateOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	snapshot, err := store.WaitFor(ctx, func(s watchsource.Snapshot) bool {
		return s.Count(watchsource.Running) == 2
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for executor := range snapshot.All() {
		fmt.Println(executor.Name, executor.State)
	}
	// Output:
	// app-1-exec-1 Running
	// app-1-exec-2 Running
}

// A scheduler that has created a pod waits until its view contains it, so that
// it does not create the pod twice.
func ExampleStore_WaitForResourceVersion() {
	client := watchtest.NewServer().Client() // the fake clientset has no versions
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, client)
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()

	ctx := context.Background()
	pod, err := client.CoreV1().Pods("jobs").Create(ctx, executorPod("7", corev1.PodPending), metav1.CreateOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	snapshot, err := store.WaitForResourceVersion(ctx, pod.ResourceVersion)
	if err != nil {
		fmt.Println(err)
		return
	}
	executor, seen := snapshot.ByID("7")
	fmt.Println(executor.Name, seen)
	// Output: app-1-exec-7 true
}

// A loop over Latest sees the newest state, and may skip states in between.
func ExampleStore_Latest() {
	store := watchsource.NewStore()
	store.UpdatePod(executorPod("1", corev1.PodPending))
	snapshot, changed := store.Latest()
	for snapshot.Count(watchsource.Running) == 0 {
		fmt.Println(snapshot.Count(watchsource.Pending), "pending")
		store.UpdatePod(executorPod("1", corev1.PodRunning)) // usually the source does this
		<-changed
		snapshot, changed = store.Latest()
	}
	fmt.Println(snapshot.Count(watchsource.Running), "running")
	// Output:
	// 1 pending
	// 1 running
}

// A scheduler decides whether a pod that it has created is late or gone: a view that contains
// the version at which the pod was created, but not the pod, shows that it has been deleted.
func ExampleSnapshot_Contains() {
	client := watchtest.NewServer().Client()
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, client)
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()

	pods := client.CoreV1().Pods("jobs")
	created, err := pods.Create(context.Background(), executorPod("7", corev1.PodPending), metav1.CreateOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := pods.Delete(context.Background(), created.Name, metav1.DeleteOptions{}); err != nil {
		fmt.Println(err)
		return
	}
	snapshot, err := store.WaitFor(context.Background(), func(s watchsource.Snapshot) bool {
		_, present := s.Get(created.Name)
		return !present && s.Contains(created.ResourceVersion)
	})
	fmt.Println("deleted:", err == nil, "left:", snapshot.Len())
	// Output: deleted: true left: 0
}

// An agent creates the pod of a step and waits for its end, which it does not miss even if the pod
// ends and is deleted before the agent waits.
func ExampleStore_WaitForEnd() {
	server := watchtest.NewServer()
	client, store := server.Client(), watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, client)
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()

	ctx := context.Background()
	created, err := client.CoreV1().Pods("jobs").Create(ctx, executorPod("1", corev1.PodPending), metav1.CreateOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	server.Update("jobs", created.Name, func(p *corev1.Pod) { // the kubelet
		p.Status.ContainerStatuses = []corev1.ContainerStatus{outOfMemory()}
	})
	server.Delete("jobs", created.Name) // a clean-up
	end, err := store.WaitForEnd(ctx, created.Name, created.ResourceVersion)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(end.Name, end.State, end.ExitCode, end.Reason)
	// Output: app-1-exec-1 Failed 137 OOMKilled
}
