// SPDX-License-Identifier: Apache-2.0

package watchsource

// A Change is one step in the life of an executor.
//
// Before is nil where the reader has not seen the executor yet. After is never
// nil; where the pod has left, its State is [Deleted] and the rest of it is the
// last known state, so that Before.State tells whether the executor had ended.
//
// An executor whose container is started again may go from one end to another, if
// the watch was interrupted while it ran.
//
// Both are shared with all readers and must not be changed.
type Change struct {
	Before, After *Executor
}

// Ended reports whether this change is an end of the executor: it is true once
// per end, not for what becomes of the pod afterwards. In a batch that is Anew it
// is true for every executor that has ended, see [Batch].
func (c Change) Ended() bool {
	return c.After.State.Ended() && (c.Before == nil || !c.Before.State.Ended() || !c.Before.sameEnd(c.After))
}
