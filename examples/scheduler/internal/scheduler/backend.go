// SPDX-License-Identifier: Apache-2.0

package scheduler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/executorpods/watchsource"
)

// schedulerBackend starts the scheduler, keeps the executors alive and stops the scheduler.
// Its model is Spark's KubernetesClusterSchedulerBackend.
type schedulerBackend struct {
	config    config
	report    *report
	pods      typedcorev1.PodInterface
	store     *watchsource.Store
	source    *watchsource.WatchSnapshotSource
	lifecycle *lifecycle
	allocator *allocator

	// Owned by the goroutine that runs react.
	lastSeen watchsource.Snapshot
	wasUp    bool // all executors have been up
	retrying bool
}

// start starts the watch. When it returns, the store has the complete view, which shows
// the executors of an earlier run, so none of them is created twice. If ctx ends first,
// the attempt ends too.
func (b *schedulerBackend) start(ctx context.Context) error {
	stopWatching := context.AfterFunc(ctx, b.source.Stop)
	err := b.source.Start(b.config.appID)
	if !stopWatching() && err == nil {
		return watchsource.ErrStopped
	}
	return err
}

// run keeps the executors alive until the application has done its work, ctx ends, or too
// many executors have failed.
func (b *schedulerBackend) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var reacting sync.WaitGroup
	reacting.Go(func() { cancel(b.react(ctx)) })

	err := b.work(ctx)
	cancel(nil)
	reacting.Wait() // no executor is created any more
	return err
}

// work waits until the executors are up, and then simulates work for the configured time.
func (b *schedulerBackend) work(ctx context.Context) error {
	if err := b.waitUntilUp(ctx); err != nil {
		return b.stopped(ctx, err)
	}
	select {
	case <-time.After(b.config.runFor):
		b.report.printf("the application has done its work")
		return nil
	case <-ctx.Done():
		return b.stopped(ctx, nil)
	}
}

// stopped returns nil if ctx was ended on purpose, or else the cause. If ctx has not
// ended, it returns err.
func (b *schedulerBackend) stopped(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case cause == nil:
		return err
	case errors.Is(cause, errTooManyFailures):
		b.report.printf("too many executors have failed")
		return cause
	default:
		b.report.printf("asked to stop")
		return nil
	}
}

// up reports whether enough executors are running.
func (b *schedulerBackend) up(view watchsource.Snapshot) bool {
	return view.Count(watchsource.Running) >= b.config.executors
}

func (b *schedulerBackend) waitUntilUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	view, err := b.store.WaitFor(ctx, b.up)
	if err != nil {
		return fmt.Errorf("only %d of %d executors came up within %v%s",
			view.Count(watchsource.Running), b.config.executors, upTimeout, whyWaiting(view))
	}
	return nil
}

// whyWaiting returns the reasons why executors are not up, each once.
func whyWaiting(view watchsource.Snapshot) string {
	var reasons []string
	for e := range view.All() {
		if e.State == watchsource.Pending && e.Reason != "" && !slices.Contains(reasons, e.Reason) {
			reasons = append(reasons, e.Reason)
		}
	}
	if len(reasons) == 0 {
		return ""
	}
	return "; the others wait: " + strings.Join(reasons, ", ")
}

// react handles every batch of changes, and also acts at regular times without a change,
// because it must repeat a creation that was refused. Only its goroutine uses lifecycle and
// allocator, so they need no locks.
func (b *schedulerBackend) react(ctx context.Context) error {
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	returned := make(chan struct{})
	defer close(returned)
	changes := b.changes(ctx, returned)
	for {
		select {
		case batch, ok := <-changes:
			if !ok {
				return nil // ctx has ended, and the last batch has been handled
			}
			if err := b.handle(ctx, batch); err != nil {
				return err
			}
		case <-tick.C:
			b.onTick(ctx)
		}
	}
}

// changes returns a channel with the store's batches, for a loop that also waits for other
// events. A loop that waits only for batches can range over store.Batches directly. When ctx
// ends, the channel delivers what waits in a last batch, and is closed. It does not wait for
// a receiver that has returned.
func (b *schedulerBackend) changes(ctx context.Context, returned <-chan struct{}) <-chan watchsource.Batch {
	batches := make(chan watchsource.Batch)
	go func() {
		defer close(batches)
		for batch := range b.store.Batches(ctx, batchInterval) {
			select {
			case batches <- batch:
			case <-returned:
				return
			}
		}
	}()
	return batches
}

// handle acts on the changes of a batch.
func (b *schedulerBackend) handle(ctx context.Context, batch watchsource.Batch) error {
	b.checkWatch()
	b.lastSeen = batch.Snapshot
	endings, err := b.lifecycle.handle(ctx, batch)
	if err != nil {
		b.report.changed(endings, nil)
		return err
	}
	b.replace(ctx, endings)
	if !b.wasUp && b.up(batch.Snapshot) {
		b.wasUp = true
		b.report.printf("all %d executors are up", b.config.executors)
	}
	return nil
}

// onTick does the work that does not depend on a change.
func (b *schedulerBackend) onTick(ctx context.Context) {
	b.checkWatch()
	// If no change has shown an executor, no change reports that it is gone. A full
	// list without it may cause no batch, so use the newest snapshot.
	b.replace(ctx, b.lifecycle.missing(b.store.Snapshot()))
}

// replace creates executors until there are as many as wanted. After ctx has ended it only
// reports the ends, because stop deletes the executors.
func (b *schedulerBackend) replace(ctx context.Context, endings []ending) {
	if ctx.Err() != nil {
		b.report.changed(endings, nil)
		return
	}
	created, err := b.allocator.fill(ctx, b.lastSeen)
	b.report.changed(endings, created)
	b.report.refused(err)
}

// checkWatch reports to the user that the view may be out of date. The source itself
// restores the watch.
func (b *schedulerBackend) checkWatch() {
	status := b.source.Status()
	retrying := status.Phase == watchsource.Retrying
	switch {
	case retrying && !b.retrying:
		b.report.printf("lost sight of the cluster, trying again: %v", status.Err)
	case !retrying && b.retrying:
		b.report.printf("sees the cluster again")
	}
	b.retrying = retrying
}

// stop deletes the executors and then stops the watch, which shows that they are gone. It
// does not use the context of run, which may have ended, but its own timeout.
func (b *schedulerBackend) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), cleanUpTimeout)
	defer cancel()
	if err := b.cleanUp(ctx); err != nil {
		b.report.printf("cleaning up: %v", err)
	}
	b.report.watched(b.source.Status(), b.store.Snapshot().Len())
	b.source.Stop()
}

func (b *schedulerBackend) cleanUp(ctx context.Context) error {
	view := b.waitUntilSeen(ctx)
	if view.Len() > 0 {
		b.report.printf("deleting the %d pods that are left", view.Len())
	}
	for e := range view.All() {
		if err := deletePod(ctx, b.pods, e); err != nil {
			b.report.printf("executor %s could not be deleted: %v", e.ID, err)
		}
	}
	view, err := b.store.WaitFor(ctx, func(s watchsource.Snapshot) bool { return s.Len() == 0 })
	if err != nil {
		return fmt.Errorf("%d pods are still there after %v", view.Len(), cleanUpTimeout)
	}
	return nil
}

// waitUntilSeen waits until the view contains all creations, and returns the view. Without
// it, a view could lack a pod that was just created, and an empty view would not mean that
// no pod is left. It waits only for seenTimeout, because the watch may be broken.
func (b *schedulerBackend) waitUntilSeen(ctx context.Context) watchsource.Snapshot {
	ctx, cancel := context.WithTimeout(ctx, seenTimeout)
	defer cancel()
	view, _ := b.store.WaitForResourceVersion(ctx, b.allocator.written)
	return view
}
