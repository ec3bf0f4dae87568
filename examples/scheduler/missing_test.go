// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// An executor that came and went while the watch could not see, and was not in
// the list after it either, is missing: nothing else will ever say so.
func TestMissesAnExecutorThatWasNeverShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 2)
		s.server.Strike(watchtest.Silence())
		s.begin(t)
		s.delete(1)
		s.server.Compact() // so that the next watch must begin anew
		s.server.Strike(watchtest.Reset())
		time.Sleep(time.Minute)
		s.told(t, "created executors 1 to 2", "created executor 3", "executor 1 is missing")
		s.lost(t, vanished, 1)
		s.lost(t, failed, 0)
		s.asked(t, watchtest.Create, 3)
	})
}

// The absence of a healthy executor from an old view means nothing, however long
// it lasts (SPARK-33711).
func TestMissesNobodyOnAnOldView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 2)
		time.Sleep(2 * missingDelta) // the view is complete, and from before the executors
		s.server.Strike(watchtest.Silence())
		s.begin(t)
		time.Sleep(2 * missingDelta)
		synctest.Wait()
		s.lost(t, vanished, 0)
		if view := s.store.Snapshot(); !view.Complete() || view.Len() != 0 {
			t.Fatal("the view is not the one that this test is about")
		}
	})
}

// A view that is complete and contains the creation proves the absence; one that
// lacks either does not.
func TestMissesOnlyOnAViewThatContainsTheCreation(t *testing.T) {
	roster := newRoster()
	roster.register("exec-1", 1)
	roster.confirm("exec-1", "100")
	store := watchsource.NewStore()
	missed := func() int { return len(roster.missingFrom(store.Snapshot())) }

	store.ObserveResourceVersion("100")
	if missed() != 0 {
		t.Error("misses it on a view that is not complete")
	}
	store = watchsource.NewStore()
	store.ReplaceSnapshot(nil)
	store.ObserveResourceVersion("99")
	if missed() != 0 {
		t.Error("misses it on a view from before its creation")
	}
	store.ObserveResourceVersion("100")
	if missed() != 1 {
		t.Error("does not miss it on a view with its creation")
	}
	present := &corev1.Pod{}
	present.Name, present.ResourceVersion = "exec-1", "100"
	store.UpdatePod(present)
	if missed() != 0 {
		t.Error("misses it although it is there")
	}
}

// How an executor ended is in a batch that the lifecycle has not looked at yet.
// It is not missing.
func TestLeavesItToTheBatchToSayHowAnExecutorEnded(t *testing.T) {
	roster := newRoster()
	missing := newMissing(roster)
	store := watchsource.NewStore()
	store.ReplaceSnapshot(nil)
	store.ObserveResourceVersion("100")
	for _, name := range []string{"exec-1", "exec-2"} {
		roster.register(name, 1)
		roster.confirm(name, "100")
	}
	if gone := missing.look(store.Snapshot()); len(gone) != 0 {
		t.Errorf("misses %v at the first look", gone)
	}
	roster.strike("exec-1") // by the lifecycle
	if gone := missing.look(store.Snapshot()); len(gone) != 1 || gone[0].Name != "exec-2" {
		t.Errorf("misses %v at the second look, want exec-2", gone)
	}
	if gone := missing.look(store.Snapshot()); len(gone) != 0 {
		t.Errorf("misses %v twice", gone)
	}
}
