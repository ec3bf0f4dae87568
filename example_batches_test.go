// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
)

// A reader is shown ends and deletions, even if it was busy meanwhile.
func ExampleStore_Batches() {
	store := watchsource.NewStore()
	store.UpdatePod(executorPod("1", corev1.PodRunning))
	for batch := range store.Batches(context.Background(), 0) {
		for _, c := range batch.Changes {
			switch {
			case c.Before == nil:
				fmt.Println("new:", c.After.ID, c.After.State)
			case c.After.State == watchsource.Deleted:
				fmt.Println("gone:", c.After.ID, "was", c.Before.State)
			case c.Ended:
				fmt.Println("ended:", c.After.ID, c.After.State, c.After.ExitCode, c.After.Reason)
			}
		}
		fmt.Println(batch.Snapshot.Len(), "left")
		if batch.Snapshot.Len() == 0 {
			break
		}
		// While this reader is busy, executor 1 ends and its pod is deleted.
		store.UpdatePod(executorPod("1", corev1.PodFailed, outOfMemory()))
		store.DeletePod(executorPod("1", corev1.PodFailed, outOfMemory()))
	}
	// Output:
	// new: 1 Running
	// 1 left
	// ended: 1 Failed 137 OOMKilled
	// gone: 1 was Failed
	// 0 left
}

// Ended is true once for each end, whatever happens to the pod afterwards.
func ExampleChange_Ended() {
	store := watchsource.NewStore()
	store.UpdatePod(executorPod("1", corev1.PodRunning))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for batch := range store.Batches(ctx, 0) {
		for _, change := range batch.Changes {
			fmt.Println(change.After.State, change.Ended)
		}
		switch {
		case batch.Full:
			store.UpdatePod(executorPod("1", corev1.PodFailed, outOfMemory()))
			store.DeletePod(executorPod("1", corev1.PodFailed, outOfMemory()))
		default:
			cancel()
		}
	}
	// Output:
	// Running false
	// Failed true
	// Deleted false
}
