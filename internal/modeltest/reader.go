// SPDX-License-Identifier: Apache-2.0

package modeltest

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource"
)

// checkingReader reads the batches of a store and checks them.
type checkingReader struct {
	*BatchChecker
	pause  time.Duration // after each batch
	ctx    context.Context
	cancel context.CancelFunc

	firstExpected   int // the results of expectedFromNow when the reader started
	expectedAtStart []lifecycleEvent
}

// longestInterval is the longest time between two batches of a checkingReader.
const longestInterval = 3 * time.Minute

func newCheckingReader(ctx context.Context, fail func(string, ...any), r *rand.Rand) *checkingReader {
	ctx, cancel := context.WithCancel(ctx)
	intervals := []time.Duration{0, 0, time.Millisecond, time.Second, time.Minute, 2 * time.Minute}
	pauses := []time.Duration{0, 0, 0, 5 * time.Second, time.Minute}
	interval, pause := intervals[r.IntN(len(intervals))], pauses[r.IntN(len(pauses))]
	return &checkingReader{BatchChecker: NewBatchChecker(fail, interval), pause: pause, ctx: ctx, cancel: cancel}
}

// readBatches checks each batch until the reader is cancelled.
func (r *checkingReader) readBatches(store *watchsource.Store) {
	for batch := range store.Batches(r.ctx, r.interval) {
		r.Check(batch)
		time.Sleep(r.pause)
	}
}

// readLatest checks the order of the snapshots that Latest returns.
func (r *checkingReader) readLatest(store *watchsource.Store) {
	var before watchsource.Snapshot
	for {
		snapshot, superseded := store.Latest()
		if problem := Regression(before, snapshot); problem != "" {
			r.fail("Latest returned an older snapshot: %s", problem)
		}
		before = snapshot
		select {
		case <-superseded:
		case <-r.ctx.Done():
			return
		}
	}
}

// checkComplete checks that the reader received every end and every deletion that the store
// received, each once and in order for each executor. A cancelled reader may lack the last
// of them.
func (r *checkingReader) checkComplete(s *checkingStore) {
	expected, received := s.expectedSince(r.firstExpected, r.expectedAtStart), byExecutor(r.received)
	if s.history.isRestored() {
		// If a restore undoes an end, the same end can happen again.
		for _, events := range []map[types.UID][]string{expected, received} {
			for uid := range events {
				events[uid] = slices.Compact(events[uid])
			}
		}
	}
	for uid, want := range expected {
		got := received[uid]
		if r.ctx.Err() != nil && len(got) < len(want) {
			want = want[:len(got)]
		}
		if !slices.Equal(got, want) {
			r.fail("the reader with interval %v received %q of %s, want %q", r.interval, got, uid, want)
		}
	}
	for uid, got := range received {
		if expected[uid] == nil {
			r.fail("the reader with interval %v received %q of %s, want nothing", r.interval, got, uid)
		}
	}
}
