// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
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
	// of the changes since the last batch. It is true in a reader's first batch, with
	// a [StoreBy] in its first round of batches, and after its backlog was dropped, see
	// [WithBacklogLimit].
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
	s.mustBeMade()
	all := s.records.batches(ctx, interval, callSite())
	return func(yield func(Batch) bool) {
		for _, batch := range all {
			if !yield(batch) {
				return
			}
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

// Backlogs returns the readers for which changes wait, for example for metrics. The
// reader that has been away longest comes first.
func (s *Store) Backlogs() []Backlog {
	s.mustBeMade()
	return s.records.backlogs()
}

// batches returns the batches of each owner, by its partition.
func (r *records) batches(ctx context.Context, interval time.Duration, name string) iter.Seq2[*partition, Batch] {
	return func(yield func(*partition, Batch) bool) {
		if ctx.Err() != nil {
			return
		}
		reader, first := r.subscribe(name, interval)
		defer r.unsubscribe(reader)
		if !yieldAll(first, yield) {
			return
		}
		for reader.sleep(ctx, interval) && reader.wait(ctx) {
			if !yieldAll(r.take(reader, time.Now().Add(interval)), yield) {
				return
			}
		}
		yieldAll(r.take(reader, time.Now().Add(interval)), yield)
	}
}

// A share is what a reader has taken of the changes of one owner.
type share struct {
	partition *partition
	snapshot  Snapshot
	// changes are those since the reader's last batch. They are not used if isFull is true.
	changes []*pending
	isFull  bool
	missed  int
	// shown has the executors whose end the reader has been shown, if isFull is true.
	shown map[types.UID]int32
}

func (s *share) batch() Batch {
	if s.isFull {
		return Batch{Changes: presentChanges(s.snapshot, s.shown), Snapshot: s.snapshot, Full: true, Missed: s.missed}
	}
	return Batch{Changes: changesOf(s.changes), Snapshot: s.snapshot}
}

// yieldAll passes the batch of each owner to yield, until that returns false.
func yieldAll(shares []share, yield func(*partition, Batch) bool) bool {
	for i := range shares {
		if !yield(shares[i].partition, shares[i].batch()) {
			return false
		}
	}
	return true
}

// subscribe returns a reader, and its first batches. It receives all changes after that. If
// the source is stopped, there will be none.
func (r *records) subscribe(name string, interval time.Duration) (*reader, []share) {
	reader := newReader(name, r.backlogLimit, time.Now().Add(interval))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readers[reader] = struct{}{}
	first := r.all(reader)
	if r.first.current.Load().stopped {
		r.stopReader(reader)
	}
	return reader, first
}

func (r *records) unsubscribe(reader *reader) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.readers, reader)
	r.clear(reader, time.Time{})
}

// clear removes what waits for a reader, and the owners that are kept for it only.
func (r *records) clear(reader *reader, due time.Time) {
	order, missed := reader.order, reader.missed
	reader.clear(due)
	for _, p := range order {
		r.forgetIfUnused(p.partition)
	}
	for p := range missed {
		r.forgetIfUnused(p)
	}
}

// take removes what waits for a reader, and returns it by owner, in the order in which the owners
// first changed. It is taken with the snapshots under one lock, so that they agree.
func (r *records) take(reader *reader, due time.Time) []share {
	r.mu.Lock()
	defer r.mu.Unlock()
	if reader.waiting == 0 {
		return nil
	}
	if !reader.isStopped {
		reader.forgetShown(r.pods.Ends())
	}
	var shares []share
	if reader.dropped {
		shares = r.all(reader)
	} else {
		shares = r.changed(reader)
	}
	r.clear(reader, due)
	return shares
}

// changed returns the changes that wait for a reader.
func (r *records) changed(reader *reader) []share {
	var shares []share
	indexes := map[*partition]int{}
	for _, p := range reader.order {
		index, ok := indexes[p.partition]
		if !ok {
			index = len(shares)
			indexes[p.partition] = index
			shares = append(shares, share{partition: p.partition, snapshot: r.snapshotFor(reader, p.partition)})
		}
		shares[index].changes = append(shares[index].changes, p)
	}
	return shares
}

// all returns all executors, by owner.
func (r *records) all(reader *reader) []share {
	var shares []share
	partitions := r.partitions
	if reader.isStopped {
		partitions = slices.SortedFunc(maps.Keys(reader.last), func(a, b *partition) int { return cmp.Compare(a.number, b.number) })
	}
	for _, p := range partitions {
		if p == nil {
			continue
		}
		snapshot, missed := r.snapshotFor(reader, p), reader.missed[p]
		if snapshot.Len() > 0 || missed > 0 || !r.isDivided {
			shares = append(shares, share{partition: p, snapshot: snapshot, isFull: true, missed: missed, shown: reader.shown})
		}
	}
	return shares
}

// snapshotFor returns the snapshot that a reader is shown: the newest, or the last one before the
// source stopped.
func (r *records) snapshotFor(reader *reader, p *partition) Snapshot {
	if last, ok := reader.last[p]; ok {
		return last
	}
	r.owners.mu.RLock()
	defer r.owners.mu.RUnlock()
	return r.snapshotOf(p.current.Load())
}

// stopReader keeps what waits for the reader's last batch. The source has stopped.
func (r *records) stopReader(reader *reader) {
	if reader.isStopped {
		return
	}
	reader.isStopped, reader.last = true, map[*partition]Snapshot{}
	reader.forgetShown(r.pods.Ends())
	for _, p := range r.partitions {
		if p != nil && (reader.dropped || p.unread > 0) {
			reader.last[p] = r.snapshotFor(reader, p)
		}
	}
	close(reader.stopped)
}

// backlogs implements [Store.Backlogs].
func (r *records) backlogs() []Backlog {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Backlog
	for reader := range r.readers {
		if reader.waiting > 0 {
			all = append(all, reader.backlog())
		}
	}
	slices.SortFunc(all, func(a, b Backlog) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Reader, b.Reader))
	})
	return all
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
