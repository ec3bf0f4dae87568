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
	// Changes are in the order in which their executors first changed, those of
	// one executor one after the other.
	Changes []Change
	// Snapshot is the view after the changes.
	Snapshot Snapshot

	// Anew says that the changes do not continue those of the batch before, but
	// show everything present as a change from nothing: in a reader's first
	// batch, and after its backlog was given up, see [WithBacklogLimit]. Before
	// is nil then also for an executor that the reader knows; [Change.Ended] is
	// true all the same only for an end that the reader has not been shown.
	Anew bool
	// Missed is how many executors have left in a backlog that was given up. The
	// reader is not shown who they were or how they ended: whomever it knows and
	// does not find in Snapshot is one.
	Missed int
}

// Batches returns the changes of the store, at most one batch per interval and
// none while nothing happens. Its model is the subscriber of Spark's
// ExecutorPodsSnapshotsStoreImpl.
//
// The first batch comes at once and brings the reader up to date: it shows
// everything present as a change from nothing. The changes of one executor
// within an interval are merged into one, but an end (Succeeded, Failed) and a
// disappearance are each shown once to every reader, also of an executor that
// came and went within the interval. An interval of 0 means as soon as
// possible. A batch costs by the changes in it, not by the executors present. A
// list that finds everything as it was is no change: to see that an executor is
// missing, as [Snapshot.SyncedAt] tells, a reader needs a clock of its own.
//
// Nobody waits for a reader. One that stays away costs the memory of the
// distinct executors it has not seen, each with its last state and its ends. So
// one that never comes back costs more and more while executors come and go,
// unless [WithBacklogLimit] sets a bound. A reader that leaves changes lying for
// half a minute longer than its interval is named in the log, once, by the place
// in the code that called Batches; [Store.Backlogs] has all of them.
//
// The sequence ends with ctx or a break. Each range over it is a reader of its
// own; any number may run at a time.
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

// subscribe returns a reader and the snapshot after which it is told all.
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
	maps.DeleteFunc(taken.shown, func(key types.UID, shown int32) bool { return s.slots.ends[key].number > shown })
	s.mu.Unlock()
	if taken.givenUp {
		return Batch{Changes: arrivals(snapshot, taken.shown), Snapshot: snapshot, Anew: true, Missed: taken.missed}
	}
	return Batch{Changes: changes(taken.order), Snapshot: snapshot}
}

// arrivals shows a whole snapshot as changes from nothing, to a reader that has
// been shown the ends of some.
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
