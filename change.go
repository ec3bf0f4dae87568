// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podstate"
)

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

	// Gone says how the executor has left. It is 0 unless After.State is [Deleted].
	Gone Departure
}

// A Departure says how an executor has left the view of a store.
type Departure uint8

const (
	// Seen is a pod whose deletion the API server reported. kube-apiserver reports a pod in the
	// same way if its labels no longer match the selector of the watch.
	Seen Departure = iota + 1
	// Missed is a pod whose deletion was not reported: a list lacks it, or another pod has its
	// name.
	Missed
	// Unselected is a pod that exists, and whose new metadata does not belong to the application or
	// the owner any more. A [SharedWatch], a [StoreBy] and the watch of a fake clientset show that.
	Unselected
)

var departureNames = [...]string{"", "Seen", "Missed", "Unselected"}

// String returns the name of the constant, "" for 0.
func (d Departure) String() string {
	if int(d) < len(departureNames) {
		return departureNames[d]
	}
	return fmt.Sprintf("Departure(%d)", uint8(d))
}

// step is a state of an executor, and the number of ends it has had by then.
type step struct {
	*Executor
	ends int32
	how  Departure // 0 if the pod is here
}

// stepOf returns a state with the number of ends until then.
func stepOf(e *Executor, ends map[types.UID]podstate.Ends) step {
	if e == nil || len(ends) == 0 {
		return step{Executor: e}
	}
	return step{Executor: e, ends: ends[e.key()].Shown}
}

// gone is the step that follows when the pod leaves.
func (s step) gone(how Departure) step { return step{s.Executor.gone(), s.ends, how} }

// isGone reports whether the pod has left.
func (s step) isGone() bool { return s.State == Deleted }

// changeOf returns the change from one step to the next.
func changeOf(before, after step) Change {
	return Change{
		Before: before.Executor,
		After:  after.Executor,
		Ended:  after.State.Ended() && after.ends > before.ends,
		Gone:   after.how,
	}
}
