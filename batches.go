// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"iter"
	"time"
)

// A Batch is what a reader has not seen since its last batch.
type Batch struct {
	// Changes are in the order in which their executors first changed, those of
	// one executor one after the other.
	Changes []Change
	// Snapshot is the view after the changes.
	Snapshot Snapshot
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
// possible.
//
// Nobody waits for a reader. One that stays away costs the memory of the
// executors it has not seen.
//
// The sequence ends with ctx or a break. Each range over it is a reader of its
// own; any number may run at a time.
func (s *Store) Batches(ctx context.Context, interval time.Duration) iter.Seq[Batch] {
	return func(yield func(Batch) bool) {
		if ctx.Err() != nil {
			return
		}
		r, snapshot := s.subscribe()
		defer s.unsubscribe(r)
		if !yield(Batch{Changes: arrivals(snapshot), Snapshot: snapshot}) {
			return
		}
		for pause(ctx, interval) && r.wait(ctx) {
			if !yield(s.nextBatch(r)) {
				return
			}
		}
	}
}

// subscribe returns a reader and the snapshot after which it is told all.
func (s *Store) subscribe() (*reader, Snapshot) {
	r := newReader()
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
func (s *Store) nextBatch(r *reader) Batch {
	s.mu.Lock()
	lives, snapshot := r.take(), s.Snapshot()
	s.mu.Unlock()
	return Batch{Changes: changes(lives), Snapshot: snapshot}
}

// arrivals shows a whole snapshot as changes from nothing.
func arrivals(snapshot Snapshot) []Change {
	all := make([]Change, 0, snapshot.Len())
	for e := range snapshot.All() {
		all = append(all, Change{After: &e})
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

// pause lets d go by, and returns false if ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
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
	}
}
