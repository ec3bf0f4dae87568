// SPDX-License-Identifier: Apache-2.0

package podstate

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A State is the condition of an executor. The root package documents the rules.
type State uint8

// The states.
const (
	Unknown State = iota
	Pending
	Running
	Succeeded
	Failed
	Deleted // a pod that is gone; Read never returns it
)

var stateNames = [...]string{"Unknown", "Pending", "Running", "Succeeded", "Failed", "Deleted"}

// String returns the name of the constant.
func (s State) String() string { return stateNames[s] }

// Ended reports whether the state is Succeeded or Failed.
func (s State) Ended() bool { return s == Succeeded || s == Failed }

// UnknownExitCode is the exit code of a container that has not ended, or whose exit code
// is unknown.
const UnknownExitCode = -1

// A Reading is what a pod says of its executor.
type Reading struct {
	State      State
	ExitCode   int32
	Restarts   int32
	Reason     string
	Message    string
	Disruption string
	StartedAt  time.Time
	FinishedAt time.Time
	Problem    string
}

func (r *Reading) addProblem(problem string) {
	if r.Problem != "" && problem != "" {
		problem = "; " + problem
	}
	r.Problem += problem
}

// Rules say which container is the executor, and whether other containers count.
type Rules struct {
	Container     string // the name of the executor container
	ContainerOnly bool   // the failure of another container does not fail the executor
}

// Known holds the last reading of an executor and its ends. The zero value is an executor
// that has not been seen.
type Known struct {
	Seen            bool
	ResourceVersion string
	CreatedAt       time.Time
	Reading         Reading
	Ends            Ends
}

// A Result is a new reading of an executor, and its ends after it.
type Result struct {
	Reading Reading
	Ready   bool // the condition Ready, which does not influence the reading
	Ends    Ends
	// Missed is the executor at the end of an earlier run, if that end was not known. It
	// precedes Reading. It is nil for most pods.
	Missed *Reading
	// Replaced is true if the pod is another pod than the known one, although it has the
	// same name. Only a pod without a UID can be, see [Known.isReplacedBy]. Nothing of
	// the known pod is in the result then.
	Replaced bool

	sight
}

// Read reads a pod. Every field of the pod may be missing.
func (r *Rules) Read(pod *corev1.Pod, known *Known) (result Result) {
	var f facts
	f.read(pod, r)
	if known.isReplacedBy(&f) {
		known, result.Replaced = &Known{}, true
	}
	f.compare(known, &result)
	return result
}

// compare decides the state of the executor, and compares it with the last reading.
func (f *facts) compare(known *Known, result *Result) {
	f.knownVersion = known.ResourceVersion
	known.Ends.disown(f)
	f.findRun()
	f.decide(&result.Reading)
	result.Ready = f.ready
	result.Ends = known.Ends
	c := comparison{facts: f, known: known, isCurrent: known.Ends.isCurrent(f)}
	past, news := result.Ends.observe(f, known.Seen, c.isCurrent, result.Reading.State.Ended())
	if news {
		result.Missed = result.Reading.endedBefore(f, past.restarts)
	}
	c.complete(&result.Reading)
	c.keepEnd(&result.Reading)
	result.sight = c.sight()
}
