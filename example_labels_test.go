// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
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
