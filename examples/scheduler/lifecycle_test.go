// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"testing"

	"github.com/executorpods/watchsource"
)

// An executor is lost once, at the first change after which it cannot work, and
// for what that change says.
func TestLosesAnExecutorOnce(t *testing.T) {
	type state = watchsource.Executor
	running := state{State: watchsource.Running}
	draining := state{State: watchsource.Running, Terminating: true}
	killed := state{State: watchsource.Failed, Terminating: true, ExitCode: 143}
	broken := state{State: watchsource.Failed, ExitCode: 1}
	done := state{State: watchsource.Succeeded}
	gone := state{State: watchsource.Deleted}

	for _, tt := range []struct {
		name   string
		states []state // the first as a change from nothing
		lostAt int     // index of the state that ends it
		as     outcome
	}{
		{"fails", []state{running, broken, gone}, 1, failed},
		{"ends", []state{running, done, gone}, 1, finished},
		{"is deleted", []state{running, draining, killed, gone}, 1, deleted},
		{"is deleted between two looks", []state{running, killed, gone}, 1, deleted},
		{"vanishes", []state{running, gone}, 1, deleted},
		{"is seen too late", []state{broken, gone}, 0, failed},
		{"is never seen alive or dead", []state{gone}, 0, deleted},
		{"cannot be reached for a while", []state{running, {State: watchsource.Unknown}, running, broken}, 3, failed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			allocator := newTestAllocator(1)
			if _, err := allocator.create(t.Context()); err != nil {
				t.Fatal(err)
			}
			l := lifecycle{maxFailures: 1, pods: allocator.pods, allocator: allocator, account: newAccount(io.Discard)}

			var before *state
			for i, after := range tt.states {
				after.Name, after.ID = podName("spark-test", 1), "1"
				endings, err := l.follow(t.Context(), []watchsource.Change{{Before: before, After: &after}})
				if err != nil {
					t.Fatal(err)
				}
				if lost := len(endings) > 0; lost != (i == tt.lostAt) {
					t.Errorf("after state %d: endings %v", i, endings)
				} else if lost && endings[0].outcome != tt.as {
					t.Errorf("outcome = %v, want %v", endings[0].outcome, tt.as)
				}
				before = &after
			}
		})
	}
}
