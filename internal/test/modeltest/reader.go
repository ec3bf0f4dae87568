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
	divided *dividedReader
	pause   time.Duration // after each batch
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{} // closed when the batches have ended

	firstExpected   int // the results of expectedFromNow when the reader started
	expectedAtStart []lifecycleEvent
}

// longestInterval is the longest time between two batches of a checkingReader.
const longestInterval = 3 * time.Minute

func newCheckingReader(ctx context.Context, fail func(string, ...any), r *rand.Rand) *checkingReader {
	intervals := []time.Duration{0, 0, time.Millisecond, time.Second, time.Minute, 2 * time.Minute}
	pauses := []time.Duration{0, 0, 0, 5 * time.Second, time.Minute}
	interval, pause := intervals[r.IntN(len(intervals))], pauses[r.IntN(len(pauses))]
	return newReader(ctx, fail, interval, pause)
}

// again returns a new reader with the same interval and pause.
func (r *checkingReader) again(ctx context.Context) *checkingReader {
	return newReader(ctx, r.fail, r.interval, r.pause)
}

func newReader(ctx context.Context, fail func(string, ...any), interval, pause time.Duration) *checkingReader {
	ctx, cancel := context.WithCancel(ctx)
	return &checkingReader{
		BatchChecker: NewBatchChecker(fail, interval), divided: newDividedReader(fail, interval), pause: pause,
		ctx: ctx, cancel: cancel, done: make(chan struct{}),
	}
}

// readBatches checks each batch until the reader is cancelled or the source stops.
func (r *checkingReader) readBatches(store *checkingStore) {
	defer close(r.done)
	for batch := range store.inner.Batches(r.ctx, r.interval) {
		r.Ending = r.ctx.Err() != nil || store.hasStopped()
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

// expected returns, by executor, the events that the store has received for the reader.
func (r *checkingReader) expected(s *checkingStore) map[types.UID][]string {
	return s.expectedSince(r.firstExpected, r.expectedAtStart)
}

// checkComplete checks that the reader received every end and every deletion that the store
// received, each once and in order for each executor. If the reader was cancelled, it must
// have received those that the store had by then, and may lack the later ones.
func (r *checkingReader) checkComplete(s *checkingStore, byCancel map[types.UID][]string) {
	r.checkReceived(s, byExecutor(r.received), byCancel)
	r.checkReceived(s, byExecutor(r.divided.received()), byCancel)
}

func (r *checkingReader) checkReceived(s *checkingStore, received, byCancel map[types.UID][]string) {
	expected := r.expected(s)
	if s.history.isRestored() {
		// If a restore undoes an end, the same end can happen again.
		for _, events := range []map[types.UID][]string{expected, received, byCancel} {
			for uid := range events {
				events[uid] = slices.Compact(events[uid])
			}
		}
	}
	for uid, want := range expected {
		got := received[uid]
		if byCancel != nil && len(got) < len(want) {
			want = want[:max(len(got), len(byCancel[uid]))]
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
