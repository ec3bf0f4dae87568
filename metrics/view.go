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
)

// A view is a Store, or a StoreBy, which divides the executors by owners. The owner of all
// executors of a Store is nil.
type view interface {
	Backlogs() []watchsource.Backlog
	// snapshots has the snapshots of all owners.
	snapshots() iter.Seq[watchsource.Snapshot]
	// latest is the newest snapshot of one owner, who may have no executors.
	latest() (watchsource.Snapshot, <-chan struct{})
	// batches also returns the name of the reader, which is the line that calls Batches.
	batches(ctx context.Context) (batches iter.Seq2[any, watchsource.Batch], reader string)
	// showsAtOnce reports whether the first batch comes also without executors.
	showsAtOnce() bool
	// stopped reports whether the source has stopped, and has not started again.
	stopped() bool
}

// A storeView is the view of a Store.
type storeView struct{ *watchsource.Store }

func (v storeView) latest() (watchsource.Snapshot, <-chan struct{}) { return v.Latest() }
func (v storeView) showsAtOnce() bool                               { return true }

func (v storeView) snapshots() iter.Seq[watchsource.Snapshot] {
	return func(yield func(watchsource.Snapshot) bool) { yield(v.Snapshot()) }
}

func (v storeView) batches(ctx context.Context) (batches iter.Seq2[any, watchsource.Batch], reader string) {
	all, reader := v.Batches(ctx, 0), thisLine()
	return func(yield func(any, watchsource.Batch) bool) {
		for batch := range all {
			if !yield(nil, batch) {
				return
			}
		}
	}, reader
}

func (v storeView) stopped() bool {
	_, err := v.WaitFor(over(), func(watchsource.Snapshot) bool { return false })
	return errors.Is(err, watchsource.ErrStopped)
}

// An ownersView is the view of a StoreBy.
type ownersView[K comparable] struct{ *watchsource.StoreBy[K] }

func (v ownersView[K]) latest() (watchsource.Snapshot, <-chan struct{}) {
	var none K
	return v.Latest(none)
}

func (v ownersView[K]) showsAtOnce() bool { return false }

func (v ownersView[K]) snapshots() iter.Seq[watchsource.Snapshot] {
	return func(yield func(watchsource.Snapshot) bool) {
		for owner := range v.Owners() {
			if !yield(v.Snapshot(owner)) {
				return
			}
		}
	}
}

func (v ownersView[K]) batches(ctx context.Context) (batches iter.Seq2[any, watchsource.Batch], reader string) {
	all, reader := v.Batches(ctx, 0), thisLine()
	return func(yield func(any, watchsource.Batch) bool) {
		for owner, batch := range all {
			if !yield(owner, batch) {
				return
			}
		}
	}, reader
}

func (v ownersView[K]) stopped() bool {
	var none K
	_, err := v.WaitFor(over(), none, func(watchsource.Snapshot) bool { return false })
	return errors.Is(err, watchsource.ErrStopped)
}

// thisLine returns the line that calls it, in the form of [watchsource.Backlog.Reader].
func thisLine() string {
	_, file, line, _ := runtime.Caller(1)
	return fmt.Sprintf("%s:%d", filepath.Base(file), line)
}

// over returns a context that has ended.
func over() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
