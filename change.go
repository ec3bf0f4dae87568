// SPDX-License-Identifier: Apache-2.0

package watchsource

// A Change is one step in the life of an executor.
//
// Before is nil where the reader has not seen the executor yet. After is never
// nil; where the pod has left, its State is [Deleted] and the rest of it is the
// last known state, so that Before.State tells whether the executor had ended.
//
// Both are shared with all readers and must not be changed.
type Change struct {
	Before, After *Executor

	end verdict
}

// verdict says whether a change is an end, as the store knows it.
type verdict uint8

const (
	unjudged verdict = iota // of a Change that did not come from a Store
	anEnd
	noEnd
)

func verdictOf(isEnd bool) verdict {
	if isEnd {
		return anEnd
	}
	return noEnd
}

// Ended reports whether this change is an end of the executor. It is true once
// for each end of a run of the executor container, whatever becomes of the pod
// afterwards, and also in a batch that is [Batch.Anew]. A container that is
// started again may end again; if the watch was interrupted while it ran, the
// executor goes from one end to another.
func (c Change) Ended() bool {
	if c.end == unjudged {
		return c.After.State.Ended() && (c.Before == nil || !c.Before.State.Ended())
	}
	return c.end == anEnd
}
