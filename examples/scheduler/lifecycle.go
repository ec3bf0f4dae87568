// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/executorpods/watchsource"
)

var errTooManyFailures = errors.New("giving up")

// lifecycle understands what happens to executors: who has come up, who cannot,
// who is lost and why. Its model is Spark's ExecutorPodsLifecycleManager.
type lifecycle struct {
	// Fixed after newLifecycle.
	executors   int
	maxFailures int
	roster      *roster
	account     *account

	// Owned by the goroutine of run.
	failures int
	wasUp    bool // all executors, at some time
}

func newLifecycle(cfg config, roster *roster, account *account) *lifecycle {
	return &lifecycle{executors: cfg.executors, maxFailures: cfg.maxFailures, roster: roster, account: account}
}

// run follows every change until ctx ends, and calls followed after each batch.
// The error says that too many executors have failed.
//
// Nothing in it waits for the API server. A loop that is away for long loses
// nothing either, until more than backlogLimit changes wait for it.
func (l *lifecycle) run(ctx context.Context, store *watchsource.Store, followed func()) error {
	for batch := range store.Batches(ctx, batchInterval) {
		if err := l.follow(batch); err != nil {
			return err
		}
		followed()
	}
	return nil
}

func (l *lifecycle) follow(batch watchsource.Batch) error {
	if batch.Anew {
		l.rebuild(batch)
	}
	for _, change := range batch.Changes {
		if works(change.After) {
			l.meet(*change.After)
		} else if err := l.end(*change.After); err != nil {
			return err
		}
	}
	if !l.wasUp && batch.Snapshot.Count(watchsource.Running) >= l.executors {
		l.wasUp = true
		l.account.say("all %d executors are up", l.executors)
	}
	return nil
}

// rebuild strikes off whom a backlog that was given up would have shown leaving.
// The changes that follow show everybody who is there.
func (l *lifecycle) rebuild(batch watchsource.Batch) {
	if batch.Missed > 0 {
		l.account.say("was away for so long that %d executors left unseen", batch.Missed)
	}
	for _, executor := range l.roster.missingFrom(batch.Snapshot) {
		if l.roster.strike(executor.Name) {
			l.account.lost(ending{executor, vanished})
		}
	}
}

// works reports whether an executor counts. The state Unknown does: its node
// cannot be reached, which is no reason to believe that the executor is dead.
func works(e *watchsource.Executor) bool {
	return !e.State.Ended() && e.State != watchsource.Deleted && !e.Terminating
}

// meet reports who is there, who is up, and who cannot come up.
func (l *lifecycle) meet(e watchsource.Executor) {
	before, known := l.roster.meet(e)
	if !known {
		l.account.adopted(e)
	}
	switch {
	case e.State == watchsource.Running && before.State != watchsource.Running:
		l.account.say("executor %s runs on %s", e.ID, e.Node)
	case e.State == watchsource.Pending && cannotStart(e.Reason) && !cannotStart(before.Reason):
		// The kubelet goes on trying, and so nobody is replaced: the next one
		// would need the same image. It alternates between two reasons, of
		// which the first is enough.
		l.account.say("executor %s cannot start yet: %s", e.ID, withMessage(e.Reason, e.Message))
	}
}

// end counts an executor that works no more, however many changes say so: its
// pod is asked to go, fails on the way, disappears.
func (l *lifecycle) end(e watchsource.Executor) error {
	if !l.roster.strike(e.Name) {
		return nil // counted before, or never counted on
	}
	end := endingOf(e)
	l.account.lost(end)
	if end.outcome != failed {
		return nil
	}
	if l.failures++; l.failures > l.maxFailures {
		return fmt.Errorf("%w: %d executors have failed and -max-failures is %d; the last was executor %s: %s",
			errTooManyFailures, l.failures, l.maxFailures, e.ID, cause(e))
	}
	return nil
}
