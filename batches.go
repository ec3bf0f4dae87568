// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// A Batch holds the changes since the reader's last batch.
type Batch struct {
	// Changes are grouped by executor. The executors are in the order in which they
	// first changed.
	Changes []Change
	// Snapshot is the view after the changes.
	Snapshot Snapshot

	// Full is true if Changes has every executor present, with a nil Before, instead
	// of the changes since the last batch. It is true in a reader's first batch, and in
	// the first one after its backlog was dropped, see [WithBacklogLimit].
	// [Change.Ended] is still true only for an end that the reader has not been shown.
	Full bool
	// Missed counts executors that left while the backlog was dropped. Their changes
	// are lost. To find them, compare the executors you know with Snapshot.
	Missed int
}

// Batches returns the changes of the store, at most one batch per interval and none
// while nothing happens. If interval is 0, each batch comes as soon as possible. The
// model is the subscriber of Spark's ExecutorPodsSnapshotsStoreImpl.
//
// The first batch comes at once. It has every executor present, each as a change
// without a Before. In later batches the store merges the changes of one executor
// within an interval into one. It never merges ends (Succeeded, Failed) and deletions
// away: every reader is shown each of them once, even if the executor was created and
// deleted within the interval.
//
// The cost of a batch depends on its changes, not on the executors present. A list
// that changes nothing causes no batch. To notice that an executor is missing (see
// [Snapshot.SyncedAt]), a reader needs a timer.
//
// The store does not wait for readers. For a slow reader it keeps the last state and
// the ends of each executor that the reader has not seen. This memory grows as
// executors are created and deleted, unless [WithBacklogLimit] sets a bound. If a
// reader leaves changes waiting for half a minute longer than its interval, the store
// logs once the line of code at which the reader called Batches. [Store.Backlogs]
// returns all readers with waiting changes.
//
// The sequence ends when ctx ends, when the source stops, or when the caller breaks out of
// the loop. If ctx ends or the source stops, and changes wait for the reader, it is first
// shown all of them in a last batch, at once. A reader that is in the loop body at that
// time is shown the last batch when it returns. After Stop the last batch has what the
// store had received by then, even if the source has been started again.
//
// If a range begins before the first Start, its first batch is empty, with a Snapshot that
// is not Complete. Then the sequence waits, also while Start fails. If a range begins
// after Stop and before the next Start has returned, its first batch may be the only one,
// with the view that Stop left: range over Batches again after Start. If ctx is over
// before a range begins, there is no batch. A store without a source never stops.
//
// Each range over the sequence is a separate reader, and any number of readers may run at
// a time.
func (s *Store) Batches(ctx context.Context, interval time.Duration) iter.Seq[Batch] {
	name := callSite()
	return func(yield func(Batch) bool) {
		if ctx.Err() != nil {
			return
		}
		r, snapshot := s.subscribe(name, interval)
		defer s.unsubscribe(r)
		if !yield(Batch{Changes: presentChanges(snapshot, nil), Snapshot: snapshot, Full: true}) {
			return
		}
		for r.sleep(ctx, interval) && r.wait(ctx) {
			if batch, ok := s.nextBatch(r, interval); ok && !yield(batch) {
				return
			}
		}
		if last, ok := s.nextBatch(r, interval); ok {
			yield(last)
		}
	}
}

// callSite returns the file and line that called Batches.
func callSite() string {
	_, file, line, ok := runtime.Caller(2)
	if !ok {
		return "unknown"
	}
	return fmt.Sprintf("%s:%d", filepath.Base(file), line)
}

// subscribe returns a reader, and the snapshot after which it receives all changes. If the
// source is stopped, there will be none.
func (s *Store) subscribe(name string, interval time.Duration) (*reader, Snapshot) {
	r := newReader(name, s.backlogLimit, time.Now().Add(interval))
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.current.Load()
	s.readers[r] = struct{}{}
	if now.stopped {
		r.stop(&now.view, s.positions.ends)
	}
	return r, Snapshot{&now.view}
}

func (s *Store) unsubscribe(r *reader) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.readers, r)
}

// Backlogs returns the readers for which changes wait, for example for metrics. The
// reader that has been away longest comes first.
func (s *Store) Backlogs() []Backlog {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current.Load() // panics for the zero Store, as every method does
	var all []Backlog
	for r := range s.readers {
		if r.waiting > 0 {
			all = append(all, r.backlog())
		}
	}
	slices.SortFunc(all, func(a, b Backlog) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Reader, b.Reader))
	})
	return all
}

// nextBatch returns what waits for a reader, and false if nothing does. It takes the
// changes and the snapshot under one lock, so that they agree.
func (s *Store) nextBatch(r *reader, interval time.Duration) (batch Batch, ok bool) {
	due := time.Now().Add(interval)
	taken, snapshot := s.take(r, due)
	switch {
	case taken.waiting == 0:
		return Batch{}, false
	case taken.dropped:
		return Batch{Changes: presentChanges(snapshot, taken.shown), Snapshot: snapshot, Full: true, Missed: taken.missed}, true
	default:
		return Batch{Changes: changesOf(taken.order), Snapshot: snapshot}, true
	}
}

// take returns what waits for a reader, and the snapshot after it.
func (s *Store) take(r *reader, due time.Time) (reader, Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.last == nil {
		r.forgetShown(s.positions.ends)
		return r.take(due), s.Snapshot()
	}
	return r.take(due), Snapshot{r.last}
}

// presentChanges returns a change without a Before for each executor of a snapshot. The
// reader has been shown the ends of the executors in shown.
func presentChanges(snapshot Snapshot, shown map[types.UID]int32) []Change {
	all := make([]Change, 0, snapshot.Len())
	if snapshot.view != nil {
		for e := range snapshot.view.all() {
			_, seen := shown[e.key()]
			all = append(all, Change{After: e, Ended: e.State.Ended() && !seen})
		}
	}
	return all
}

// sleep returns after d, or false as soon as ctx ends or the source stops.
func (r *reader) sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-r.stopped:
		return false
	}
}

// wait returns true once changes wait for the reader, and false if ctx ends or the source
// stops first.
func (r *reader) wait(ctx context.Context) bool {
	select {
	case <-r.wake:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	case <-r.stopped:
		return false
	}
}
