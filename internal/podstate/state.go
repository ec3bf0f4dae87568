// SPDX-License-Identifier: Apache-2.0

package podstate

import (
	"time"

	"github.com/executorpods/watchsource/internal/podstate/choice"
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
	// Deleted is a pod that is gone. Read never returns it.
	Deleted
)

var stateNames = [...]string{"Unknown", "Pending", "Running", "Succeeded", "Failed", "Deleted"}

// String returns the name of the constant.
func (s State) String() string { return stateNames[s] }

// Ended reports whether the state is Succeeded or Failed.
func (s State) Ended() bool { return s == Succeeded || s == Failed }

// stateOf returns the state of an executor whose container has ended.
func stateOf(exitCode int32) State {
	if exitCode == 0 {
		return Succeeded
	}
	return Failed
}

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
	// Executor is nil if any container may be the executor. Only Wait can use such rules.
	Executor *choice.Rule
	// ContainerOnly is true if the failure of another container does not fail the executor.
	ContainerOnly bool
}

// AnyContainer has the rules by which states wait for a store whose own rules are not known.
var AnyContainer = &Rules{}
