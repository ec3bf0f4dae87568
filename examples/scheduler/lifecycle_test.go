// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
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
		states []state
		lostAt int // index of the state that ends it
		as     outcome
	}{
		{"fails", []state{running, broken, gone}, 1, failed},
		{"ends", []state{running, done, gone}, 1, finished},
		{"is deleted", []state{running, draining, killed, gone}, 1, deleted},
		{"is deleted between two looks", []state{running, killed, gone}, 1, deleted},
		{"goes without a farewell", []state{running, gone}, 1, deleted},
		{"is seen too late", []state{broken, gone}, 0, failed},
		{"is never seen alive or dead", []state{gone}, 0, deleted},
		{"cannot be reached for a while", []state{running, {State: watchsource.Unknown}, running, broken}, 3, failed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			roster, account := newRoster(), newAccount(io.Discard)
			roster.register("exec-1", 1)
			l := newLifecycle(testConfig(), roster, account)
			for i, after := range tt.states {
				after.Name, after.ID = "exec-1", "1"
				if err := l.follow(watchsource.Batch{Changes: []watchsource.Change{{After: &after}}}); err != nil {
					t.Fatal(err)
				}
				if lost := account.ends[tt.as] == 1; lost != (i >= tt.lostAt) {
					t.Errorf("after state %d: ends %v", i, account.ends)
				}
			}
			if len(account.ends) != 1 || account.ends[tt.as] != 1 {
				t.Errorf("ends %v, want one", account.ends)
			}
		})
	}
}

// A loop that stays away until its backlog is given up finds out from the
// snapshot whom it has lost, and counts nobody twice.
func TestRebuildsWhatItKnowsWhenItsBacklogWasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		create := func(id int) {
			pod := executorPod(testConfig(), id)
			runs(pod)
			server.Create(pod)
		}
		for id := range 4 {
			create(id + 1)
		}
		store := watchsource.NewStore(watchsource.WithBacklogLimit(3))
		source := watchsource.NewWatchSnapshotSource(store, server.Client())
		if err := source.Start("spark-test"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(source.Stop)

		var out strings.Builder
		roster := newRoster()
		l := newLifecycle(testConfig(), roster, newAccount(&out))
		batches, away := 0, make(chan struct{})
		go func() {
			_ = l.run(t.Context(), store, func() { batches++; <-away })
		}()
		synctest.Wait() // it follows the first batch, and stays away
		if batches != 1 || len(roster.members) != 4 {
			t.Fatalf("%d batches, counts on %v", batches, roster.members)
		}
		roster.register("exec-9", 9)
		roster.confirm("exec-9", "1000000") // created just now, not in any view

		name := func(id int) string { return podName("spark-test", id) }
		server.Update("default", name(1), fails(1)) // its pod stays
		server.Update("default", name(2), fails(1))
		server.Delete("default", name(2))
		server.Delete("default", name(3))
		create(5)
		synctest.Wait()
		close(away)
		time.Sleep(time.Second)
		server.Delete("default", name(1))
		time.Sleep(time.Second)
		synctest.Wait()

		if batches != 3 {
			t.Errorf("%d batches, want 3", batches)
		}
		want := []string{"exec-9", name(4), name(5)}
		if got := slices.Sorted(maps.Keys(roster.members)); !slices.Equal(got, want) {
			t.Errorf("counts on %v, want %v", got, want)
		}
		account := linesOf(out.String())
		told := []string{
			"was away for so long that 2 executors left unseen",
			"executor 2 is missing on node-1, nobody saw how it ended",
			"executor 3 is missing on node-1, nobody saw how it ended",
			"executor 1 failed on node-1: exit code 1 (Error)",
			"executor 5 is there already and is kept",
			"executor 5 runs on node-1",
		}
		if got := account[len(account)-min(len(told), len(account)):]; !slices.Equal(got, told) {
			t.Errorf("the account ends with %q, want %q", got, told)
		}
		if l.failures != 1 {
			t.Errorf("%d failures, want 1", l.failures)
		}
	})
}
