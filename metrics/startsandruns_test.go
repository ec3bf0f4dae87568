// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/metrics"
	"github.com/executorpods/watchsource/watchtest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A source that is stopped and started for another application before the reader has read does not mix
// the applications up. The test runs in real time, because the lists differ in their times.
func TestQuickStartsOfOtherApplications(t *testing.T) {
	server := watchtest.NewServer()
	for i := range 5 {
		server.Create(executorPod("one", fmt.Sprint("a-", i)))
		server.Create(executorPod("two", fmt.Sprint("b-", i)))
	}
	for range 30 {
		a := newApplication("one", single(server))
		collector := metrics.NewCollector(a.source, a.store)
		for i := range 6 {
			if err := a.source.Start([]string{"one", "two", "three"}[i%3]); err != nil {
				t.Fatal(err)
			}
			a.source.Stop()
		}
		collector.Remove(a.source) // after it has counted
		if ends := reasonsOf(t, collector, "watchsource_executor_ends_total"); len(ends) != 0 {
			t.Fatalf("ends %v, want none", ends)
		}
	}
}

// The executors of a StoreBy that have left between two Starts count even if nothing changes later.
func TestOwnersThatLeaveBetweenStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		store := watchsource.NewStoreBy(byOwner)
		source := watchsource.NewWatchSnapshotSource(store, server.Client())
		collector := metrics.NewCollectorBy(source, store)
		defer collector.Close()
		createOwned(server, "one", "a")
		createOwned(server, "two", "b")
		if err := source.Start("app"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		source.Stop()
		server.Delete("default", "a")
		if err := source.Start("app"); err != nil {
			t.Fatal(err)
		}
		defer source.Stop()
		wantEnds(t, collector, "map[none:1]")
	})
}

// Each run that ends within one batch counts, even if their times are of the same second.
func TestEndsOfOneBatch(t *testing.T) {
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, watchtest.NewServer().Client())
	collector := metrics.NewCollector(source, store)
	defer collector.Close()
	version, now := 0, metav1.NewTime(time.Now().Truncate(time.Second))
	update := func(name string, restarts int32, state corev1.ContainerState) {
		version++
		pod := executorPod("app", name)
		pod.UID, pod.ResourceVersion, pod.CreationTimestamp = types.UID(name), fmt.Sprint(version), now
		pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, ContainerStatuses: []corev1.ContainerStatus{{
			Name: "spark-kubernetes-executor", RestartCount: restarts, ContainerID: fmt.Sprint("test://", name, restarts), State: state,
		}}}
		store.UpdatePod(pod)
	}
	terminated := func(name string, restarts int32) {
		update(name, restarts, corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 137, Reason: killed, ContainerID: fmt.Sprint("test://", name, restarts), StartedAt: now, FinishedAt: now,
		}})
	}
	store.ReplaceSnapshot(nil)
	release := metrics.HoldEnds(collector)
	terminated("first", 0)
	for len(store.Backlogs()) > 0 {
		runtime.Gosched()
	}
	for restarts := range int32(3) {
		update("again", restarts, corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}})
		terminated("again", restarts)
	}
	release()
	for len(store.Backlogs()) > 0 {
		runtime.Gosched()
	}
	collector.Remove(source) // after it has counted
	if got, want := fmt.Sprint(reasonsOf(t, collector, "watchsource_executor_ends_total")), "map[OOMKilled:4]"; got != want {
		t.Errorf("ends %s, want %s", got, want)
	}
}
