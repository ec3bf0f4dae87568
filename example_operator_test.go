// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// A liveness probe restarts a process whose watch does not recover.
func ExampleWatchSnapshotSource_Healthy() {
	source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), fake.NewClientset())
	healthz := func(w http.ResponseWriter, _ *http.Request) {
		if err := source.Healthy(3 * time.Minute); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, "ok")
	}
	probe := func() {
		w := httptest.NewRecorder()
		healthz(w, httptest.NewRequest(http.MethodGet, "/healthz", nil))
		fmt.Println(w.Code, w.Body)
	}

	probe()
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	defer source.Stop()
	probe()
	// Output:
	// 503 watchsource: not started
	//
	// 200 ok
}

// An observer counts events for metrics. A Prometheus counter with the label "kind" has
// the same shape as this map.
func ExampleWithObserver() {
	var mu sync.Mutex
	counts := map[watchsource.ObservationKind]int{}
	server := watchtest.NewServer()
	server.Create(executorPod("1", corev1.PodRunning))
	source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), server.Client(),
		watchsource.WithObserver(func(o watchsource.Observation) {
			mu.Lock()
			defer mu.Unlock()
			counts[o.Kind]++
		}))
	if err := source.Start("app-1"); err != nil {
		fmt.Println(err)
		return
	}
	source.Stop()

	mu.Lock()
	defer mu.Unlock()
	fmt.Println("lists", counts[watchsource.Listed], "watches", counts[watchsource.Opened], "refusals", counts[watchsource.Refused])
	// Output: lists 1 watches 1 refusals 0
}

// Run fits into an errgroup or any other function that runs until a context ends.
func ExampleWatchSnapshotSource_Run() {
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, fake.NewClientset(executorPod("1", corev1.PodRunning)))
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error)
	go func() { result <- source.Run(ctx, "app-1") }()

	snapshot, err := store.WaitFor(ctx, watchsource.Snapshot.Complete)
	fmt.Println(snapshot.Count(watchsource.Running), "running,", err)
	cancel()
	fmt.Println(<-result)
	// Output:
	// 1 running, <nil>
	// <nil>
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
