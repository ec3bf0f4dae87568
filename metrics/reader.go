// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"runtime"

	"github.com/executorpods/watchsource"
	"k8s.io/apimachinery/pkg/types"
)

// An endReader reads the batches of a store until finish. The batches end when the source
// stops, so it reads again after each Start.
type endReader struct {
	// Fixed after newEndReader.
	source  *watchsource.WatchSnapshotSource
	store   *watchsource.Store
	name    string // among the backlogs of the store
	batches iter.Seq[watchsource.Batch]
	count   func(watchsource.Batch)
	stop    context.CancelFunc
	done    chan struct{}

	// Owned by newEndReader, then by the goroutine of run.
	appID string
	last  watchsource.Snapshot // of the last batch
}

// newEndReader counts the executors that are present, and then in the background all that
// change.
func newEndReader(source *watchsource.WatchSnapshotSource, store *watchsource.Store, count func(watchsource.Batch)) *endReader {
	ctx, cancel := context.WithCancel(context.Background())
	r := &endReader{source: source, store: store, count: count, stop: cancel, done: make(chan struct{})}
	r.batches, r.name = batchesOf(ctx, store)
	next, stop := iter.Pull(r.batches)
	first, _ := next()
	r.handle(first)
	go func() {
		defer close(r.done)
		for batch, ok := next(); ok; batch, ok = next() {
			r.handle(batch)
		}
		stop()
		r.readAgain(ctx)
	}()
	return r
}

// batchesOf also returns the name of the reader, which is the line that calls Batches.
func batchesOf(ctx context.Context, store *watchsource.Store) (batches iter.Seq[watchsource.Batch], name string) {
	_, file, line, _ := runtime.Caller(0)
	return store.Batches(ctx, 0), fmt.Sprintf("%s:%d", filepath.Base(file), line+1)
}

func (r *endReader) handle(batch watchsource.Batch) {
	r.appID, r.last = r.source.Status().AppID, batch.Snapshot
	r.count(batch)
}

// readAgain reads after each further Start until ctx ends. The first batch then has every
// executor, so the changes since the last batch are counted instead.
func (r *endReader) readAgain(ctx context.Context) {
	for r.awaitStart(ctx) {
		first := true
		for batch := range r.batches {
			if first {
				batch.Changes = r.changesTo(batch)
			}
			first = false
			r.handle(batch)
		}
	}
}

// awaitStart returns true once the store has the list of another Start, and false when ctx
// ends.
func (r *endReader) awaitStart(ctx context.Context) bool {
	for {
		_, newer := r.store.Latest()
		if !r.stopped() {
			return ctx.Err() == nil
		}
		select {
		case <-newer:
		case <-ctx.Done():
			return false
		}
	}
}

// stopped reports whether the source has stopped, and has not started again.
func (r *endReader) stopped() bool {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := r.store.WaitFor(over, func(watchsource.Snapshot) bool { return false })
	return errors.Is(err, watchsource.ErrStopped)
}

// changesTo returns the changes from the last batch to a batch that shows every executor. If
// the source watches another application now, they are those of the batch.
func (r *endReader) changesTo(batch watchsource.Batch) []watchsource.Change {
	if r.source.Status().AppID != r.appID {
		return batch.Changes
	}
	before := map[podKey]*watchsource.Executor{}
	for e := range r.last.All() {
		before[keyOf(&e)] = &e
	}
	var changes []watchsource.Change
	for _, change := range batch.Changes {
		key := keyOf(change.After)
		last := before[key]
		ended := change.After.State.Ended() && (last == nil || !last.State.Ended())
		changes = append(changes, watchsource.Change{Before: last, After: change.After, Ended: ended})
		delete(before, key)
	}
	for _, e := range before {
		gone := *e
		gone.State = watchsource.Deleted
		changes = append(changes, watchsource.Change{Before: e, After: &gone})
	}
	return changes
}

// A podKey identifies a pod. Fakes may give no UID.
type podKey struct {
	namespace, name string
	uid             types.UID
}

func keyOf(e *watchsource.Executor) podKey { return podKey{e.Namespace, e.Name, e.UID} }

// finish ends the reader, which first counts what waits for it.
func (r *endReader) finish() {
	r.stop()
	<-r.done
}
