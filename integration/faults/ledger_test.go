// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/executorpods/watchsource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// A ledger reads every change of a store, and notes those that cannot be.
type ledger struct {
	store   *watchsource.Store
	ctx     context.Context
	cancel  context.CancelFunc
	reading sync.WaitGroup

	// historyChanges says that versions are counted again in this round.
	historyChanges atomic.Bool

	mu       sync.Mutex
	last     map[types.UID]*watchsource.Executor // of each pod there ever was
	mistakes []string
}

func keepLedger(store *watchsource.Store) *ledger {
	ctx, cancel := context.WithCancel(context.Background())
	l := &ledger{store: store, ctx: ctx, cancel: cancel, last: map[types.UID]*watchsource.Executor{}}
	l.read()
	return l
}

// read begins to read. The batches end when the source stops, so it is called after each
// Start.
func (l *ledger) read() {
	l.reading.Wait()
	batches := l.store.Batches(l.ctx, 100*time.Millisecond)
	l.reading.Go(func() {
		for batch := range batches {
			l.enterAll(batch)
		}
	})
}

// enterAll enters a batch. An executor that the first batch does not show has left before it.
func (l *ledger) enterAll(batch watchsource.Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if batch.Full {
		maps.DeleteFunc(l.last, func(_ types.UID, e *watchsource.Executor) bool {
			now, present := batch.Snapshot.Get(e.Name)
			return e.State != watchsource.Deleted && (!present || now.UID != e.UID)
		})
	}
	for _, change := range batch.Changes {
		l.enter(change)
	}
}

// enter holds guarantees 2 and 3 against a change: nothing goes back, and what
// is gone is not gone once more, unless it had come back, which takes a newer
// version.
func (l *ledger) enter(change watchsource.Change) {
	after := change.After
	before, known := l.last[after.UID]
	l.last[after.UID] = after
	if !known {
		return
	}
	if l.historyChanges.Load() {
		// A pod that was deleted after the backup comes back with it. If it is deleted again at
		// once, the batch shows only that, in another version.
		if before.State == watchsource.Deleted && after.State == watchsource.Deleted && before.ResourceVersion == after.ResourceVersion {
			l.mistake(before, after, "is gone twice")
		}
		return
	}
	order, err := resourceversion.CompareResourceVersion(before.ResourceVersion, after.ResourceVersion)
	switch {
	case err != nil:
		l.mistakes = append(l.mistakes, err.Error())
	case order > 0:
		l.mistake(before, after, "goes back")
	case order == 0 && before.State == watchsource.Deleted && after.State == watchsource.Deleted:
		l.mistake(before, after, "is gone twice")
	case before.State.Ended() && after.State < before.State:
		l.mistake(before, after, "lives again")
	}
}

func (l *ledger) mistake(before, after *watchsource.Executor, what string) {
	l.mistakes = append(l.mistakes, fmt.Sprintf("%s (%s) %s: %v at %s, %v at %s", after.Name, after.UID, what,
		before.State, before.ResourceVersion, after.State, after.ResourceVersion))
}

// holds returns the view of a reader that has read only changes.
func (l *ledger) holds() map[types.UID]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	held := map[types.UID]string{}
	for uid, e := range l.last {
		if e.State != watchsource.Deleted {
			held[uid] = e.ResourceVersion
		}
	}
	return held
}

// audit returns the mistakes since the last audit.
func (l *ledger) audit() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := l.mistakes
	l.mistakes = nil
	return found
}

func (l *ledger) close() {
	l.cancel()
	l.reading.Wait()
}

// The ledger notes a pod that is gone twice, unless the pod has come back in between.
func TestLedger(t *testing.T) {
	for _, row := range []struct {
		name           string
		historyChanges bool
		first, second  string // versions at which the pod is gone
		mistakes       int
	}{
		{"the same deletion twice", false, "7", "7", 1},
		{"a newer deletion", false, "7", "9", 0},
		{"an older deletion", false, "9", "7", 1},
		{"the same deletion twice, other history", true, "7", "7", 1},
		{"a deletion in each history", true, "9", "7", 0},
	} {
		l := &ledger{last: map[types.UID]*watchsource.Executor{}}
		l.historyChanges.Store(row.historyChanges)
		for _, version := range []string{row.first, row.second} {
			l.enter(watchsource.Change{After: &watchsource.Executor{UID: "u", State: watchsource.Deleted, ResourceVersion: version}})
		}
		if len(l.mistakes) != row.mistakes {
			t.Errorf("%s: got the mistakes %q, want %d", row.name, l.mistakes, row.mistakes)
		}
	}
}
