// SPDX-License-Identifier: Apache-2.0

// Package modeltest checks a source against a model: random changes of pods
// under random faults. The store receives exactly the states of the API server,
// each once and in order. Readers receive every end and every deletion once. The
// source lists only if it must.
//
//   - A schedule is a random sequence of pod changes and faults, made from a
//     seed.
//   - history changes the pods and records the events of an uninterrupted watch.
//   - faults injects faults into the in-memory API server.
//   - checkingStore stands between the source and the Store.
//   - checkingReaders read the Store. A BatchChecker checks their batches.
//   - responseMonitor reads the responses of the server and counts the reasons
//     for a list.
package modeltest

import (
	"testing"
	"testing/synctest"

	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource"
)

// NewSource is a constructor of the source under test.
type NewSource func(store watchsource.SnapshotsStore, client kubernetes.Interface, opts ...watchsource.Option) *watchsource.WatchSnapshotSource

// Shared is the constructor of a source of a shared watch that has no other source.
func Shared(store watchsource.SnapshotsStore, client kubernetes.Interface, opts ...watchsource.Option) *watchsource.WatchSnapshotSource {
	return watchsource.NewSharedWatch(client, opts...).Source(store)
}

// Run runs n schedules with the seeds from first upward. If n is large, it also
// checks that the schedules had enough of everything.
//
// The source itself chooses the random timeouts of its watches and its delays. A replay
// therefore has the same changes and the same faults, but not the same times. If a failure
// does not occur again with its seed, repeat the run.
func Run(t *testing.T, newSource NewSource, first uint64, n int) {
	var totals totals
	for i := range n {
		synctest.Test(t, func(t *testing.T) {
			s := newSchedule(t, newSource, first+uint64(i), &totals)
			defer func() {
				if t.Failed() { // after which synctest.Test does not return
					t.Logf("schedule %d of %d: replay with -seed=%d", i+1, n, s.seed)
				}
			}()
			s.run()
		})
	}
	t.Logf("%d schedules from seed %d: %+v", n, first, totals)
	if n >= 500 {
		totals.check(t)
	}
}

// totals counts what happened in all schedules. check fails if anything was too rare to be
// tested.
type totals struct {
	Events, Batches, Resumes, Relists, Stalls, Errors, FailedStarts, Stops, Restores, Verifications int
}

func (s *totals) check(t *testing.T) {
	for _, n := range []int{s.Events, s.Batches, s.Resumes, s.Relists, s.Stalls, s.Errors, s.FailedStarts, s.Stops, s.Restores, s.Verifications} {
		if n < 20 {
			t.Errorf("the schedules had a total of %d, want at least 20: %+v", n, *s)
		}
	}
}
