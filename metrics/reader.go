// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"cmp"
	"context"
	"iter"
	"sync/atomic"
	"time"

	"github.com/executorpods/watchsource"
)

// An endReader reads the batches of a view until finish, and counts the ends. The batches end when
// the source stops, so it reads again after each Start.
type endReader struct {
	// Fixed after newEndReader.
	source  *watchsource.WatchSnapshotSource
	view    view
	name    string // among the backlogs of the view
	batches iter.Seq2[any, watchsource.Batch]
	perApp  bool
	counts  *endCounts
	stop    context.CancelFunc
	done    chan struct{}

	// stops counts how often the source was found stopped.
	stops atomic.Int64

	// Owned by newEndReader, then by the goroutine that reads.

	// appID is the application of the executors that were seen, "" if unknown.
	appID string
	seen  seenExecutors
}

// newEndReader looks at the executors that are present, and then in the background at all that
// change.
func newEndReader(source *watchsource.WatchSnapshotSource, view view, perApp bool, counts *endCounts) *endReader {
	ctx, cancel := context.WithCancel(context.Background())
	r := &endReader{
		source: source, view: view, perApp: perApp, counts: counts, stop: cancel, done: make(chan struct{}),
		seen: seenExecutors{began: time.Now(), last: map[any]watchsource.Snapshot{}},
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
		r.forget()
	}()
	return r
}

// handle counts the new ends in a batch of an owner.
func (r *endReader) handle(owner any, batch watchsource.Batch) {
	if r.appID == "" {
		r.appID = r.appOf(batch.Snapshot)
	}
	for _, change := range batch.Changes {
		r.look(owner, change)
	}
	if batch.Missed > 0 {
		r.countMissed(owner, batch)
	}
	r.seen.keep(owner, batch.Snapshot)
}

// look counts the end that a change shows, if the collector has seen the executor before, or if the
// executor has not ended before the collector began.
func (r *endReader) look(owner any, change watchsource.Change) {
	switch {
	case change.Ended:
		if isSeen := change.Before != nil || r.seen.has(owner, change.After); isSeen || !r.seen.endedBeforeBegin(change.After) {
			r.counts.addEnd(r.app(), change.After, isSeen)
		}
	case change.After.State == watchsource.Deleted:
		r.lookAtDeparture(change)
	}
}

// lookAtDeparture counts an executor that has left without an end. A pod that is no longer selected
// exists, and has not ended.
func (r *endReader) lookAtDeparture(change watchsource.Change) {
	r.counts.depart(change.After)
	if hadEnded := change.Before != nil && change.Before.State.Ended(); !hadEnded && change.Gone != watchsource.Unselected {
		r.counts.addDeparture(r.app(), change.After.Reason)
	}
}

// countMissed counts the executors that have left while the backlog of the reader was dropped. The
// ends of those that it saw ended were counted, or are old.
func (r *endReader) countMissed(owner any, batch watchsource.Batch) {
	missed := batch.Missed
	for e := range r.seen.last[owner].All() {
		if contains(batch.Snapshot, &e) {
			continue
		}
		r.counts.depart(&e)
		if e.State.Ended() {
			missed--
		}
	}
	r.counts.addDepartures(r.app(), otherReason, max(missed, 0))
}

// appOf returns the application of a snapshot. It returns "" if the source has been stopped since: it
// may then have been started for another application.
func (r *endReader) appOf(snapshot watchsource.Snapshot) string {
	status := r.source.Status()
	latest, _ := r.view.latest()
	isOfStart := status.Phase != watchsource.Stopped && !r.view.stopped()
	if !isOfStart || !snapshot.Complete() || !snapshot.SyncedAt().Equal(latest.SyncedAt()) {
		return ""
	}
	return status.AppID
}

// readAgain reads after each further Start until ctx ends. The first batch of each owner then has
// every executor.
func (r *endReader) readAgain(ctx context.Context) {
	for ended := time.Now(); ; ended = time.Now() {
		r.stops.Add(1)
		if !r.awaitStart(ctx) {
			return
		}
		latest, _ := r.view.latest()
		if appID := r.appOf(latest); appID == "" || appID != r.appID {
			r.forget() // executors of another application have not left
			r.appID, r.seen.began = appID, ended
		}
		r.seen.startAgain()
		r.countAbsent(latest.SyncedAt())
		r.readStarted(latest.SyncedAt())
	}
}

// readStarted reads the batches of a Start, with the list of a time.
func (r *endReader) readStarted(listed time.Time) {
	isShown := map[any]bool{}
	for owner, batch := range r.batches {
		if len(isShown) == 0 && !batch.Snapshot.SyncedAt().Equal(listed) { // perhaps of yet another Start
			r.forget()
			r.appID = ""
		}
		if batch.Full && !isShown[owner] {
			batch.Changes = r.seen.sinceStart(batch)
		} else {
			r.countAway()
		}
		isShown[owner] = true
		r.handle(owner, batch)
		if r.view.showsAtOnce() {
			r.countAway()
		}
	}
	r.countAway()
}

// countAbsent counts the executors from before a Start that no owner has after its list. Without an
// owner there is no batch that shows that they have left.
func (r *endReader) countAbsent(listed time.Time) {
	present := map[string]bool{}
	for snapshot := range r.view.snapshots() {
		if !snapshot.SyncedAt().Equal(listed) {
			return // the list of yet another Start
		}
		for e := range snapshot.All() {
			present[keyOf(&e)] = true
		}
	}
	for key, e := range r.seen.before {
		if !present[key] {
			r.countLeft(e)
			delete(r.seen.before, key)
		}
	}
}

// countAway counts the executors that have left between two Starts.
func (r *endReader) countAway() {
	for _, e := range r.seen.before {
		r.countLeft(e)
	}
	r.seen.before = nil
}

// countLeft counts an executor that has left between two Starts.
func (r *endReader) countLeft(e *watchsource.Executor) {
	gone := *e
	gone.State = watchsource.Deleted
	r.lookAtDeparture(watchsource.Change{Before: e, After: &gone, Gone: watchsource.Missed})
}

// forget forgets all executors.
func (r *endReader) forget() {
	for e := range r.seen.executors {
		r.counts.depart(e)
	}
	clear(r.seen.last)
	r.seen.before = nil
}

// app returns the label of the application, or "" if the collector adds them up.
func (r *endReader) app() string {
	if !r.perApp {
		return ""
	}
	return cmp.Or(r.appID, r.source.Status().AppID)
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

// finish ends the reader, which first counts what waits for it.
func (r *endReader) finish() {
	r.stop()
	<-r.done
}
