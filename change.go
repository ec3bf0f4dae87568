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
