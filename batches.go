// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"runtime"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/sleep"
)

// A Batch is what a reader has not seen since its last batch.
type Batch struct {
	// Changes are grouped by executor. The executors are in the order in which they
	// first changed.
	Changes []Change
	// Snapshot is the view after the changes.
	Snapshot Snapshot

	// Anew says that Changes has every executor present, with a nil Before, instead
	// of the changes since the last batch. This is so in a reader's first batch, and
	// after its backlog was dropped, see [WithBacklogLimit]. [Change.Ended] still
	// is true only for an end that the reader has not been shown.
	Anew bool
	// Missed counts executors that left while the backlog was dropped. Their changes
	// are lost. To find them, compare the executors you know with Snapshot.
	Missed int
}

// Batches returns the changes of the store, at most one batch per interval and none
// while nothing happens. An interval of 0 means as soon as possible. The model is the
// subscriber of Spark's ExecutorPodsSnapshotsStoreImpl.
//
// The first batch comes at once. It has every executor present, each as a change
// without a Before. After it, the changes of one executor within an interval are
// merged into one, except that every reader is shown each end (Succeeded, Failed) and
// each deletion once, even if the executor came and went within the interval.
//
// The cost of a batch depends on its changes, not on the executors present. A list
// that changes nothing brings no batch. To notice that an executor is missing (see
// [Snapshot.SyncedAt]), a reader needs a timer.
//
// The store does not wait for readers. For a reader that stays away it keeps the last
// state and the ends of each executor that the reader has not seen. The memory for
// this grows as executors come and go, unless [WithBacklogLimit] sets a bound. If a
// reader leaves changes waiting for half a minute longer than its interval, the store
// logs once where in the code it called Batches. [Store.Backlogs] returns all readers
// with waiting changes.
//
// The sequence ends with ctx or a break. Each range over it is a separate reader, and
// any number of them may run at a time.
func (s *Store) Batches(ctx context.Context, interval time.Duration) iter.Seq[Batch] {
	name := caller()
	return func(yield func(Batch) bool) {
		if ctx.Err() != nil {
			return
		}
		r, snapshot := s.subscribe(name, interval)
		defer s.unsubscribe(r)
		if !yield(Batch{Changes: arrivals(snapshot, nil), Snapshot: snapshot, Anew: true}) {
			return
		}
		for sleep.For(ctx, interval) && r.wait(ctx) {
			if !yield(s.nextBatch(r, interval)) {
				return
			}
		}
	}
}

// caller names the code that called Batches.
func caller() string {
	_, file, line, ok := runtime.Caller(2)
	if !ok {
		return "unknown"
	}
	return fmt.Sprintf("%s:%d", filepath.Base(file), line)
}

// subscribe returns a reader, and the snapshot after which it receives all changes.
func (s *Store) subscribe(name string, interval time.Duration) (*reader, Snapshot) {
	r := newReader(name, s.backlogLimit, time.Now().Add(interval))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers[r] = struct{}{}
	return r, s.Snapshot()
}

func (s *Store) unsubscribe(r *reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.readers, r)
}

// nextBatch takes the changes and the snapshot in one step, so that they agree.
func (s *Store) nextBatch(r *reader, interval time.Duration) Batch {
	due := time.Now().Add(interval)
	s.mu.Lock()
	taken, snapshot := r.take(due), s.Snapshot()
	maps.DeleteFunc(taken.shown, func(key types.UID, shown int32) bool { return s.positions.ends[key].number > shown })
	s.mu.Unlock()
	if taken.givenUp {
		return Batch{Changes: arrivals(snapshot, taken.shown), Snapshot: snapshot, Anew: true, Missed: taken.missed}
	}
	return Batch{Changes: changes(taken.order), Snapshot: snapshot}
}

// arrivals returns a change without a Before for each executor of a snapshot. The
// reader has been shown the ends of the executors in shown.
func arrivals(snapshot Snapshot, shown map[types.UID]int32) []Change {
	all := make([]Change, 0, snapshot.Len())
	if snapshot.view != nil {
		for e := range snapshot.view.all() {
			_, seen := shown[e.key()]
			all = append(all, Change{After: e, end: verdictOf(e.State.Ended() && !seen)})
		}
	}
	return all
}

// wait returns once there is something to show, false if ctx ends first.
func (r *reader) wait(ctx context.Context) bool {
	select {
	case <-r.wake:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// A Change is one change of an executor.
//
// Before is nil if the reader has not seen the executor yet. After is never nil. If
// the pod has left, After.State is [Deleted] and the rest of After is the last known
// state, and Before.State shows whether the executor had ended.
//
// All readers share both. Do not change them.
type Change struct {
	Before, After *Executor

	end verdict
}

// verdict says whether a change is an end, as the store knows it.
type verdict uint8

const (
	unjudged verdict = iota // of a Change that did not come from a Store
	anEnd
	noEnd
)

func verdictOf(isEnd bool) verdict {
	if isEnd {
		return anEnd
	}
	return noEnd
}

// Ended reports whether this change is an end of the executor. For each reader it is
// true once for each end of a run of the executor container, whatever happens to the
// pod afterwards. If the kubelet starts the container again, the next run may bring
// another end. If the watch was interrupted in between, Before may be an end too.
func (c Change) Ended() bool {
	if c.end == unjudged {
		return c.After.State.Ended() && (c.Before == nil || !c.Before.State.Ended())
	}
	return c.end == anEnd
}
