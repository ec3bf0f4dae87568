// SPDX-License-Identifier: Apache-2.0

package watchsource

// A Change is one change of an executor. Both executors are shared by all readers of the
// store: do not change them. [Executor.Pod] returns a copy of the pod, which you may change.
type Change struct {
	// Before is the executor that the reader was shown last. It is nil if the reader has not
	// seen the executor yet.
	Before *Executor
	// After is never nil. If the pod is gone, After.State is [Deleted], the rest of After is
	// the last known state, and Before.State shows whether the executor had ended.
	After *Executor

	// Ended is true if this change is an end of the executor. For each reader it is true once
	// for each end of a run of the executor container, whatever the kubelet reports
	// afterwards, until the pod is reported gone. If the kubelet starts the container again,
	// the next run may have another end. If the watch was interrupted between two ends,
	// Before may be an end too.
	//
	// A pod whose labels move to another application is reported gone. If they move back, its
	// end is shown again. To count each run once in any case, for example to bill it, compare
	// UID and StartedAt.
	Ended bool
}

// step is a state of an executor, and the number of ends it has had by then.
type step struct {
	*Executor
	ends int32
}

// gone is the step that follows when the pod leaves.
func (s step) gone() step { return step{s.Executor.gone(), s.ends} }

// isGone reports whether the pod has left.
func (s step) isGone() bool { return s.State == Deleted }

// changeOf returns the change from one step to the next.
func changeOf(before, after step) Change {
	return Change{
		Before: before.Executor,
		After:  after.Executor,
		Ended:  after.State.Ended() && after.ends > before.ends,
	}
}
