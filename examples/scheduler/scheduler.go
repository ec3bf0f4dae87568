// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource"
)

// scheduler keeps the executors of one application alive. Two goroutines do it:
// lifecycle follows every change, and tend acts on the newest view.
type scheduler struct {
	// Fixed after newScheduler.
	config     config
	account    *account
	store      *watchsource.Store
	source     *watchsource.WatchSnapshotSource
	lifecycle  *lifecycle
	allocation *allocation
	missing    *missing
	removal    *removal
	changed    chan struct{} // holds a token when lifecycle has followed changes

	// Owned by the goroutine of tend.
	blind bool
}

func newScheduler(cfg config, client kubernetes.Interface, account *account) *scheduler {
	store := watchsource.NewStore(
		watchsource.WithoutPods(), // what became of a pod is enough
		watchsource.WithBacklogLimit(backlogLimit))
	source := watchsource.NewWatchSnapshotSource(store, client,
		watchsource.WithNamespace(cfg.namespace),
		watchsource.WithTrimmedPods())

	pods := client.CoreV1().Pods(cfg.namespace)
	roster := newRoster()
	return &scheduler{
		config:     cfg,
		account:    account,
		store:      store,
		source:     source,
		lifecycle:  newLifecycle(cfg, roster, account),
		allocation: newAllocation(cfg, pods, roster, account),
		missing:    newMissing(roster),
		removal:    newRemoval(pods, roster, account),
		changed:    make(chan struct{}, 1),
	}
}

// run is the life of the application: until its work is done, ctx ends, or too
// many executors have failed. It deletes the executors before it returns.
func (s *scheduler) run(ctx context.Context) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	working, cancel := context.WithCancelCause(ctx)
	var group sync.WaitGroup
	group.Go(func() { cancel(s.lifecycle.run(working, s.store, s.wake)) })
	group.Go(func() { s.tend(working) })

	err := s.work(working)
	cancel(nil)
	group.Wait() // nobody is created any more
	s.stop()
	s.account.summary()
	return err
}

// start begins to watch. When it returns the store has the complete view, and
// nobody is created who is there already. If ctx ends first, so does the attempt.
func (s *scheduler) start(ctx context.Context) error {
	release := context.AfterFunc(ctx, s.source.Stop)
	err := s.source.Start(s.config.appID)
	if !release() && err == nil {
		return watchsource.ErrStopped
	}
	return err
}

// wake lets tend look at the view. It never waits.
func (s *scheduler) wake() {
	select {
	case s.changed <- struct{}{}:
	default: // it will look anyway
	}
}

// tend does what the view calls for, after each batch, so that an end is told
// before its replacement, and now and then without one: what was refused must be
// tried again although nothing moves.
func (s *scheduler) tend(ctx context.Context) {
	tick := time.NewTicker(tickInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
		case <-tick.C:
			s.checkSight()
			for _, executor := range s.missing.look(s.store.Snapshot()) {
				s.account.lost(ending{executor, vanished})
			}
		}
		view := s.store.Snapshot()
		s.removal.tidy(ctx, view)
		s.allocation.fill(ctx, view)
	}
}

// checkSight tells the user when the view may be out of date. There is nothing
// to repair: the source does that.
func (s *scheduler) checkSight() {
	status := s.source.Status()
	blind := status.Phase == watchsource.Retrying
	switch {
	case blind && !s.blind:
		s.account.say("lost sight of the cluster, trying again: %v", briefly(status.Err))
	case !blind && s.blind:
		s.account.say("sees the cluster again")
	}
	s.blind = blind
}

// work waits for the executors and then pretends to use them.
func (s *scheduler) work(ctx context.Context) error {
	if err := s.waitUntilUp(ctx); err != nil {
		return s.stopped(ctx, err)
	}
	select {
	case <-time.After(s.config.runFor):
		s.account.say("the application has done its work")
		return nil
	case <-ctx.Done():
		return s.stopped(ctx, nil)
	}
}

func (s *scheduler) waitUntilUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	view, err := s.store.WaitFor(ctx, func(view watchsource.Snapshot) bool {
		return view.Count(watchsource.Running) >= s.config.executors
	})
	if err != nil {
		return fmt.Errorf("only %d of %d executors came up within %v%s",
			view.Count(watchsource.Running), s.config.executors, upTimeout, whyWaiting(view))
	}
	return nil
}

// stopped tells an end that was asked for, which is no error, from one that was
// not. If ctx has not ended at all, the error is err.
func (s *scheduler) stopped(ctx context.Context, err error) error {
	switch cause := context.Cause(ctx); {
	case cause == nil:
		return err
	case errors.Is(cause, errTooManyFailures):
		s.account.say("too many executors have failed")
		return cause
	default:
		s.account.say("asked to stop")
		return nil
	}
}

// stop deletes the executors and stops watching, in this order: the watch is
// what tells that they are gone. It does not take the context of run, which may
// have ended; it has a limit of its own.
func (s *scheduler) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), cleanUpTimeout)
	defer cancel()
	view := s.allocation.settle(ctx, s.store)
	if err := s.removal.all(ctx, s.store, view); err != nil {
		s.account.say("cleaning up: %v", err)
	}
	s.account.watched(s.source.Status(), s.store.Snapshot().Len())
	s.source.Stop()
}
