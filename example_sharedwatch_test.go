// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
)

func watchAll(client kubernetes.Interface, appIDs ...string) error {
	shared := watchsource.NewSharedWatch(client)
	for _, appID := range appIDs {
		store := watchsource.NewStore() // one store for each source
		source := shared.Source(store)
		if err := source.Start(appID); err != nil {
			return err
		}
		defer source.Stop()
		running := store.Snapshot().Count(watchsource.Running)
		fmt.Println(appID, "has", running, "running executors")
	}
	return nil
}

// One watch for two applications, each with its own store.
func ExampleSharedWatch() {
	other := executorPod("2", corev1.PodRunning)
	other.Labels[watchsource.LabelApp] = "app-2"
	client := fake.NewClientset(executorPod("1", corev1.PodRunning), other, executorPod("3", corev1.PodRunning))
	if err := watchAll(client, "app-1", "app-2"); err != nil {
		fmt.Println(err)
	}
	// Output:
	// app-1 has 2 running executors
	// app-2 has 1 running executors
}
