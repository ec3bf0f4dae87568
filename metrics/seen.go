// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"time"

	"github.com/executorpods/watchsource"
)

// seenExecutors are the executors that a reader of batches has seen. An executor that the reader
// first sees when it has ended may have ended before the collector began.
type seenExecutors struct {
	// began is when the collector began with the application.
	began time.Time
	// last has the snapshot of the last batch of each owner that has executors.
	last map[any]watchsource.Snapshot
	// before has the executors from before the last Start that no batch has shown since, by the keys
	// of their pods. It is nil once all owners have been shown.
	before map[string]*watchsource.Executor
}

// has reports whether an executor of an owner was seen before.
func (s *seenExecutors) has(owner any, e *watchsource.Executor) bool {
	return contains(s.last[owner], e) || s.before[keyOf(e)] != nil
}

// endedBeforeBegin reports whether an executor had ended before the collector began. Its times are
// compared to the second, because those of Kubernetes have no fraction. If the end has no time, the
// executor was at least created and started before. A fake may give no times at all.
func (s *seenExecutors) endedBeforeBegin(e *watchsource.Executor) bool {
	latest := e.CreatedAt
	for _, at := range []time.Time{e.StartedAt, e.FinishedAt} {
		if at.After(latest) {
			latest = at
		}
	}
	return !latest.IsZero() && latest.Before(s.began.Truncate(time.Second))
}

// keep notes the snapshot of an owner.
func (s *seenExecutors) keep(owner any, snapshot watchsource.Snapshot) {
	if snapshot.Len() > 0 {
		s.last[owner] = snapshot
	} else {
		delete(s.last, owner)
	}
	if s.before != nil {
		for e := range snapshot.All() {
			delete(s.before, keyOf(&e))
		}
	}
}

// startAgain makes the executors of all owners those from before a Start.
func (s *seenExecutors) startAgain() {
	s.before = map[string]*watchsource.Executor{}
	for e := range s.executors {
		s.before[keyOf(e)] = e
	}
	clear(s.last)
}

// executors yields the executors of all owners.
func (s *seenExecutors) executors(yield func(*watchsource.Executor) bool) {
	for _, snapshot := range s.last {
		for e := range snapshot.All() {
			if !yield(&e) {
				return
			}
		}
	}
}

// sinceStart returns the changes since the time before a Start, for a batch that shows every
// executor.
func (s *seenExecutors) sinceStart(batch watchsource.Batch) []watchsource.Change {
	var changes []watchsource.Change
	for _, change := range batch.Changes {
		if last := s.before[keyOf(change.After)]; last != nil {
			isSameEnd := last.State.Ended() && !runOf(change.After).follows(runOf(last))
			change.Before, change.Ended = last, change.After.State.Ended() && !isSameEnd
		}
		changes = append(changes, change)
	}
	return changes
}

// contains reports whether a snapshot has the pod of an executor.
func contains(snapshot watchsource.Snapshot, e *watchsource.Executor) bool {
	known, ok := snapshot.GetIn(e.Namespace, e.Name)
	return ok && known.UID == e.UID
}
