// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"context"
	"iter"
	"maps"

	"github.com/executorpods/watchsource"
	"k8s.io/apimachinery/pkg/types"
)

// An endReader reads the batches of a view until finish. The batches end when the source
// stops, so it reads again after each Start.
type endReader struct {
	// Fixed after newEndReader.
	source  *watchsource.WatchSnapshotSource
	view    view
	name    string // among the backlogs of the view
	batches iter.Seq2[any, watchsource.Batch]
	count   func(watchsource.Batch)
	stop    context.CancelFunc
	done    chan struct{}

	// Owned by newEndReader, then by the goroutine of run.
	appID string
	last  map[any]watchsource.Snapshot // of the last batch of each owner that has executors
}

// newEndReader counts the executors that are present, and then in the background all that
// change.
func newEndReader(source *watchsource.WatchSnapshotSource, view view, count func(watchsource.Batch)) *endReader {
	ctx, cancel := context.WithCancel(context.Background())
	r := &endReader{
		source: source, view: view, count: count, stop: cancel, done: make(chan struct{}),
		last: map[any]watchsource.Snapshot{},
	}
	r.batches, r.name = view.batches(ctx)
	next, stop := iter.Pull2(r.batches)
	if view.showsAtOnce() {
		owner, first, _ := next()
		r.handle(owner, first)
	}
	go func() {
		defer close(r.done)
		for owner, batch, ok := next(); ok; owner, batch, ok = next() {
			r.handle(owner, batch)
		}
		stop()
		r.readAgain(ctx)
	}()
	return r
}

func (r *endReader) handle(owner any, batch watchsource.Batch) {
	r.appID = r.source.Status().AppID
	if batch.Snapshot.Len() > 0 {
		r.last[owner] = batch.Snapshot
	} else {
		delete(r.last, owner)
	}
	r.count(batch)
}

// readAgain reads after each further Start until ctx ends. The first batch of each owner then has
// every executor, so the changes since the last batch are counted instead.
func (r *endReader) readAgain(ctx context.Context) {
	for r.awaitStart(ctx) {
		if r.source.Status().AppID != r.appID {
			clear(r.last) // executors of another application have not left
		}
		away := maps.Clone(r.last) // the owners without a batch since the Start
		firstRound, seen := true, map[any]bool{}
		for owner, batch := range r.batches {
			if firstRound && (!batch.Full || seen[owner]) {
				firstRound = false
				r.handleAway(away)
			}
			if firstRound {
				seen[owner] = true
				delete(away, owner)
				batch.Changes = r.changesTo(owner, batch)
			}
			r.handle(owner, batch)
		}
		if firstRound {
			r.handleAway(away)
		}
	}
}

// handleAway counts the executors of owners that have none after another Start.
func (r *endReader) handleAway(owners map[any]watchsource.Snapshot) {
	for owner := range owners {
		var none watchsource.Batch
		none.Changes = r.changesTo(owner, none)
		r.handle(owner, none)
	}
}

// awaitStart returns true once the view has the list of another Start, and false when ctx
// ends.
func (r *endReader) awaitStart(ctx context.Context) bool {
	for {
		_, newer := r.view.latest()
		if !r.view.stopped() {
			return ctx.Err() == nil
		}
		select {
		case <-newer:
		case <-ctx.Done():
			return false
		}
	}
}

// changesTo returns the changes from the last batch of an owner to a batch that shows every
// executor.
func (r *endReader) changesTo(owner any, batch watchsource.Batch) []watchsource.Change {
	before := map[podKey]*watchsource.Executor{}
	for e := range r.last[owner].All() {
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
