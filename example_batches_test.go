// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"fmt"
	"strings"

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
func ExampleChange() {
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

// A program that reports the readers that lag, for example to its metrics. While a reader is in
// its loop body, changes wait for it.
func ExampleStore_Backlogs() {
	store := watchsource.NewStore()
	for range store.Batches(context.Background(), 0) {
		store.UpdatePod(executorPod("1", corev1.PodRunning))
		store.UpdatePod(executorPod("1", corev1.PodFailed, outOfMemory()))
		store.UpdatePod(executorPod("2", corev1.PodRunning))
		for _, backlog := range store.Backlogs() {
			file, _, _ := strings.Cut(backlog.Reader, ":") // the line follows
			fmt.Println(backlog.Changes, "changes wait for the reader in", file)
		}
		break
	}
	fmt.Println(len(store.Backlogs()), "readers")
	// Output:
	// 2 changes wait for the reader in example_batches_test.go
	// 0 readers
}

// A reader with a bound. After it has fallen behind, it gets every executor that is present, and
// the number of those that left meanwhile.
func ExampleWithBacklogLimit() {
	store := watchsource.NewStore(watchsource.WithBacklogLimit(2))
	store.UpdatePod(executorPod("1", corev1.PodRunning))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for batch := range store.Batches(ctx, 0) {
		fmt.Println(len(batch.Changes), "changes, full:", batch.Full, "missed:", batch.Missed)
		if batch.Missed > 0 {
			break
		}
		// While this reader is busy, executor 1 leaves and three others come.
		store.DeletePod(executorPod("1", corev1.PodRunning))
		for _, id := range []string{"2", "3", "4"} {
			store.UpdatePod(executorPod(id, corev1.PodRunning))
		}
	}
	// Output:
	// 1 changes, full: true missed: 0
	// 3 changes, full: true missed: 1
}
