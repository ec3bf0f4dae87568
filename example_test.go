// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/podtest"
)

// executorPod is an executor of application "app-1" in a phase.
func executorPod(id string, phase corev1.PodPhase, statuses ...corev1.ContainerStatus) *corev1.Pod {
	p := podtest.Pod(id, podtest.Of("jobs", "app-1"), podtest.Phase(phase))
	p.Status.ContainerStatuses = statuses
	return p
}

func outOfMemory() corev1.ContainerStatus {
	return corev1.ContainerStatus{
		Name:  podtest.ExecutorContainer,
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}},
	}
}

func follow(ctx context.Context, client kubernetes.Interface) error {
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, client, watchsource.WithNamespace("jobs"))
	if err := source.Start("app-1"); err != nil {
		return err
	}
	defer source.Stop()
	context.AfterFunc(ctx, source.Stop) // the loop then gets what waits in a last batch, and ends
	for batch := range store.Batches(context.Background(), time.Second) {
		for _, change := range batch.Changes {
			if e := change.After; change.Ended {
				fmt.Println("executor", e.ID, e.State, "exit code", e.ExitCode, e.Reason)
			}
		}
	}
	return nil
}

// The quick start: a scheduler's loop over what happens to its executors.
func Example() {
	client := fake.NewClientset(executorPod("1", corev1.PodRunning), executorPod("2", corev1.PodFailed, outOfMemory()))
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := follow(ctx, client); err != nil {
		fmt.Println(err)
	}
	// Output:
	// executor 2 Failed exit code 137 OOMKilled
}
