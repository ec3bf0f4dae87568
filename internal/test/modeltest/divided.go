// SPDX-License-Identifier: Apache-2.0

package modeltest

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
)

// ownerOf divides the pods of a schedule among four owners, by the last letter of their names.
func ownerOf(pod metav1.Object) (owner byte, ok bool) {
	name := pod.GetName()
	return name[len(name)-1] % 4, true
}

// A dividedStore is a StoreBy that receives the same calls as the Store of a checkingStore.
type dividedStore struct {
	*watchsource.StoreBy[byte]
	fail func(format string, args ...any)
	// last has the snapshots of the owners after the last call.
	last map[byte]watchsource.Snapshot
}

func newDividedStore(fail func(string, ...any)) *dividedStore {
	return &dividedStore{watchsource.NewStoreBy(ownerOf), fail, map[byte]watchsource.Snapshot{}}
}

// check checks that the owners together have the executors of a whole snapshot, and that no owner
// went back.
func (s *dividedStore) check(whole watchsource.Snapshot) {
	n := 0
	for owner := range byte(4) {
		snapshot := s.Snapshot(owner)
		if problem := Inconsistency(snapshot); problem != "" {
			s.fail("the snapshot of owner %d is inconsistent: %s", owner, problem)
		}
		if problem := Regression(s.last[owner], snapshot); problem != "" {
			s.fail("the snapshot of owner %d went back: %s", owner, problem)
		}
		s.last[owner] = snapshot
		n += snapshot.Len()
		for e := range snapshot.All() {
			if want, ok := whole.GetIn(e.Namespace, e.Name); !ok || !e.Equal(want) {
				s.fail("owner %d has %+v, want %+v as in the Store", owner, e, want)
			}
		}
	}
	if n != whole.Len() {
		s.fail("the owners have %d executors, want %d as the Store has", n, whole.Len())
	}
	present := 0
	for owner := range s.Owners() {
		if present++; s.Snapshot(owner).Len() == 0 {
			s.fail("Owners has %d, which has no executor", owner)
		}
	}
}

// checkVersion checks that each owner is as fresh as a whole snapshot.
func (s *dividedStore) checkVersion(whole watchsource.Snapshot) {
	for owner := range byte(4) {
		if got := s.Snapshot(owner); got.ResourceVersion() != whole.ResourceVersion() || got.Complete() != whole.Complete() {
			s.fail("owner %d is at version %q, complete %v; want %q, %v as the Store is", owner,
				got.ResourceVersion(), got.Complete(), whole.ResourceVersion(), whole.Complete())
		}
	}
}

// A dividedReader reads the batches of all owners and checks those of each.
type dividedReader struct {
	fail     func(format string, args ...any)
	interval time.Duration
	owners   map[byte]*BatchChecker
	done     chan struct{} // closed when the batches have ended
}

func newDividedReader(fail func(string, ...any), interval time.Duration) *dividedReader {
	return &dividedReader{fail, interval, map[byte]*BatchChecker{}, make(chan struct{})}
}

// read checks each batch until ctx ends or the source stops.
func (r *dividedReader) read(ctx context.Context, store *checkingStore, pause time.Duration) {
	defer close(r.done)
	for owner, batch := range store.divided.Batches(ctx, r.interval) {
		checker := r.owners[owner]
		if checker == nil {
			checker = NewBatchChecker(r.fail, r.interval)
			r.owners[owner] = checker
		}
		checker.Ending = ctx.Err() != nil || store.hasStopped()
		checker.Check(batch)
		time.Sleep(pause / 4)
	}
}

// received returns what the reader was shown of all owners.
func (r *dividedReader) received() []lifecycleEvent {
	var all []lifecycleEvent
	for _, checker := range r.owners {
		all = append(all, checker.received...)
	}
	return all
}
