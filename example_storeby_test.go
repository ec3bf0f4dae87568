// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
)

// An application is known by its namespace and its id.
func byApplication(pod metav1.Object) (types.NamespacedName, bool) {
	app, ok := pod.GetLabels()[watchsource.LabelApp]
	return types.NamespacedName{Namespace: pod.GetNamespace(), Name: app}, ok
}

// allExecutors selects the executors of all applications.
func allExecutors(string) labels.Selector {
	return labels.SelectorFromSet(labels.Set{watchsource.LabelRole: watchsource.RoleExecutor})
}

func followAll(ctx context.Context, client kubernetes.Interface) error {
	store := watchsource.NewStoreBy(byApplication)
	source := watchsource.NewWatchSnapshotSource(store, client, watchsource.WithSelector(allExecutors))
	if err := source.Start("all"); err != nil {
		return err
	}
	defer source.Stop()
	for app, batch := range store.Batches(ctx, time.Second) {
		fmt.Println(app, "has", batch.Snapshot.Count(watchsource.Running), "running executors")
	}
	return nil
}

// One watch and one reader for all applications of a cluster, which come and go.
func ExampleNewStoreBy() {
	other := executorPod("2", corev1.PodRunning)
	other.Labels[watchsource.LabelApp] = "app-2"
	client := fake.NewClientset(
		executorPod("1", corev1.PodRunning), other, executorPod("3", corev1.PodFailed, outOfMemory()))
	ctx, cancel := context.WithTimeout(context.Background(), time.Second/2)
	defer cancel()
	if err := followAll(ctx, client); err != nil {
		fmt.Println(err)
	}
	// Unordered output:
	// jobs/app-1 has 1 running executors
	// jobs/app-2 has 1 running executors
}

// A reconciliation looks at one owner. An owner that has gone has an empty snapshot.
func ExampleStoreBy_Snapshot() {
	store := watchsource.NewStoreBy(byApplication) // a source feeds it, or a test does
	store.ReplaceSnapshot([]*corev1.Pod{executorPod("1", corev1.PodRunning), executorPod("2", corev1.PodPending)})
	for _, name := range []string{"app-1", "app-2"} {
		snapshot := store.Snapshot(types.NamespacedName{Namespace: "jobs", Name: name})
		fmt.Println(name, snapshot.Len(), snapshot.Count(watchsource.Running))
	}
	// Output:
	// app-1 2 1
	// app-2 0 0
}

// How an executor has left: the API server reported it, or a list lacks it.
func ExampleDeparture() {
	store := watchsource.NewStore()
	store.ReplaceSnapshot([]*corev1.Pod{executorPod("1", corev1.PodRunning), executorPod("2", corev1.PodRunning)})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for batch := range store.Batches(ctx, 0) {
		if batch.Full {
			store.DeletePod(executorPod("1", corev1.PodRunning))
			store.ReplaceSnapshot(nil) // after a lost connection
			continue
		}
		for _, change := range batch.Changes {
			fmt.Println("executor", change.After.ID, change.Gone)
		}
		cancel()
	}
	// Output:
	// executor 1 Seen
	// executor 2 Missed
}
