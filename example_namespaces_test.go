// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
)

func watchTeams(client kubernetes.Interface, appID string, teams ...string) error {
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, client, watchsource.WithNamespaces(teams...))
	if err := source.Start(appID); err != nil {
		return err // for example because the Role in one of the namespaces is missing
	}
	defer source.Stop()
	for e := range store.Snapshot().All() {
		fmt.Println(e.Namespace, e.Name, e.State)
	}
	return nil
}

// The executors of an application in two namespaces, with a Role in each and no ClusterRole.
func ExampleWithNamespaces() {
	in := func(namespace string, pod *corev1.Pod) *corev1.Pod {
		pod.Namespace = namespace
		return pod
	}
	client := fake.NewClientset(
		in("team-a", executorPod("1", corev1.PodRunning)), in("team-b", executorPod("2", corev1.PodPending)), in("team-c", executorPod("3", corev1.PodRunning)),
	)
	if err := watchTeams(client, "app-1", "team-a", "team-b"); err != nil {
		fmt.Println(err)
	}
	// Output:
	// team-a app-1-exec-1 Running
	// team-b app-1-exec-2 Pending
}
