// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"testing"
	"testing/synctest"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
)

// A slow reader costs no more than the limit, and is then shown every owner that is there or has
// lost executors.
func TestBacklogLimitOfOwners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watchsource.NewStoreBy(byJob, watchsource.WithBacklogLimit(2), watchsource.WithLogger(logr.Logger{}))
		reader := readRounds(t, store, 0)
		store.UpdatePod(pod("1", ofJob("a"), uid("1")))
		store.UpdatePod(pod("2", ofJob("b"), uid("2")))
		reader.want(t, "a", "exec-1 nothing>Pending")
		reader.want(t, "b", "exec-2 nothing>Pending")
		store.DeletePod(pod("1", ofJob("a"), uid("1")))
		store.UpdatePod(pod("3", ofJob("c"), uid("3")))
		store.UpdatePod(pod("4", ofJob("c"), uid("4")))
		store.DeletePod(pod("4", ofJob("c"), uid("4")))
		missed := map[string]int{}
		for range 3 {
			owner, batch, ok := reader.next()
			if !ok || !batch.Full {
				t.Fatalf("batch of %s, full %v, want a full one of each owner", owner, batch.Full)
			}
			missed[owner] = batch.Missed
			if want := map[string]string{"a": "", "b": "exec-2 nothing>Pending", "c": "exec-3 nothing>Pending"}[owner]; changeLines(batch.Changes) != want {
				t.Errorf("batch of %s: %q, want %q", owner, changeLines(batch.Changes), want)
			}
		}
		if missed["a"] != 1 || missed["b"] != 0 || missed["c"] != 1 {
			t.Errorf("missed %v, want one of a and one of c", missed)
		}
		store.UpdatePod(pod("2", ofJob("b"), uid("2"), phase(corev1.PodRunning)))
		if batch := reader.want(t, "b", "exec-2 Pending>Running"); batch.Full {
			t.Error("the batch after the full ones is full")
		}
	})
}

// A reader is shown what waits for it when the source stops, with the snapshots of that time, even
// if another Start has replaced them.
func TestOwnersAfterStop(t *testing.T) {
	for name, limit := range map[string]int{"kept": 0, "dropped": 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := watchsource.NewStoreBy(byJob, watchsource.WithBacklogLimit(limit), watchsource.WithLogger(logr.Logger{}))
				reader := readRounds(t, store, 0)
				store.UpdatePod(pod("1", ofJob("a"), uid("1")))
				reader.want(t, "a", "exec-1 nothing>Pending")
				store.UpdatePod(pod("1", ofJob("a"), uid("1"), phase(corev1.PodFailed)))
				store.UpdatePod(pod("2", ofJob("b"), uid("2")))
				store.ObserveStop()
				store.ReplaceSnapshot(nil)
				store.UpdatePod(pod("3", ofJob("c"), uid("3")))
				got := map[string]string{}
				for owner, batch, ok := reader.next(); ok; owner, batch, ok = reader.next() {
					got[owner] += names(batch.Snapshot)
					if owner == "a" && !batch.Changes[0].Ended {
						t.Error("the end of exec-1 is not shown")
					}
				}
				if len(got) != 2 || got["a"] != "exec-1=Failed" || got["b"] != "exec-2=Pending" {
					t.Errorf("the last batches have %v, want exec-1 of a and exec-2 of b", got)
				}
			})
		})
	}
}
