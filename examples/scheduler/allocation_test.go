// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource/watchtest"
)

// A scheduler that decides on a view without its own creations asks for the same
// executors again and again (SPARK-44609).
func TestDecidesNothingBeforeItSeesWhatItHasCreated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 3)
		lift := s.server.Strike(watchtest.Silence())
		s.begin(t)
		time.Sleep(time.Minute) // less than it takes to notice that the watch is silent
		s.asked(t, watchtest.Create, 3)
		if s.store.Snapshot().Len() != 0 {
			t.Fatal("the watch is not silent")
		}

		lift()
		s.wait()
		s.asked(t, watchtest.Create, 3)
		s.delete(2)
		s.wait()
		s.asked(t, watchtest.Create, 4)
		s.lost(t, deleted, 1)
	})
}

// An executor that has come and gone before its creation came into view is seen
// to be gone, and replaced once.
func TestReplacesAnExecutorThatCameAndWent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 2)
		lift := s.server.Strike(watchtest.Silence())
		s.begin(t)
		s.delete(1)
		lift()
		s.wait()
		s.asked(t, watchtest.Create, 3)
		s.lost(t, deleted, 1)
		s.lost(t, vanished, 0)
	})
}

// The answer to a creation gets lost, the pod is there: it is found, and counts
// as created.
func TestDoesNotRepeatACreationWhoseAnswerWasLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 2)
		s.server.Strike(watchtest.Silence()) // or the watch would show it first
		s.server.Inject(watchtest.Fault{On: watchtest.Create, Times: 1, After: 1, Do: watchtest.Reset()})
		s.begin(t)
		s.told(t, "could not create an executor, trying again", "created executors 1 to 2")
		s.asked(t, watchtest.Create, 3)
		if pods := s.server.List(""); len(pods) != 2 {
			t.Errorf("%d pods, want 2", len(pods))
		}
	})
}

// The same, and the watch shows the pod before it is tried again.
func TestGivesNoIDTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 1)
		s.server.Inject(watchtest.Fault{On: watchtest.Create, Times: 1, After: 1, Do: watchtest.Reset()})
		s.begin(t)
		s.asked(t, watchtest.Create, 1)
		s.delete(1)
		s.wait()
		s.told(t, "could not create an executor", "executor 1 is gone", "created executor 2")
	})
}

// A name that somebody else has taken is passed over.
func TestPassesOverANameThatIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 1)
		stranger := executorPod(s.config, 1)
		stranger.Labels = nil
		s.server.Create(stranger)
		s.begin(t)
		s.told(t, "could not create an executor, trying again: "+errNameTaken.Error(), "created executor 2")
		if members := s.lifecycle.roster.members; len(members) != 1 {
			t.Errorf("counts on %d executors, want 1", len(members))
		}
	})
}

// An application that is asked to stop creates nobody any more.
func TestCreatesNobodyAfterTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, 3)
		ended, end := context.WithCancel(t.Context())
		end()
		s.allocation.fill(ended, s.store.Snapshot())
		s.asked(t, watchtest.Create, 0)
	})
}
