// SPDX-License-Identifier: Apache-2.0

package watchsource

import "fmt"

// A State says where an executor is in its life. The table that leads from a
// pod to a state is Spark's (ExecutorPodsSnapshot.scala), with these differences:
//
//   - A pod counts as Deleted only once the API server has said that it is gone.
//     Being asked to go is a flag, [Executor.Terminating].
//   - The executor container's own end decides in whatever phase the pod is. The
//     kubelet's getPhase makes a pod Pending while any container waits, and
//     Failed if a sidecar is killed after the executor has succeeded.
//   - In a pod that has ended, a container that waits ended as its last state says.
//   - A container with its own restart policy is asked by that, not by the pod's
//     (KEP-753, KEP-5307). Its restart rules are not read yet: a container that they
//     restart counts as failed until it runs again.
type State uint8

const (
	// Unknown is a phase that Kubernetes does not define, or its own "Unknown".
	Unknown State = iota
	// Pending is a pod that waits for a node, an image, a volume.
	Pending
	// Running is a pod whose executor container has not ended.
	Running
	// Succeeded is an end with exit code 0.
	Succeeded
	// Failed is any other end: an exit code, an eviction, a lost node.
	Failed
	// Deleted is a pod that is gone. It is never seen in a snapshot, only in
	// the After of the Change that took the executor out of it.
	Deleted

	stateCount
)

var stateNames = [stateCount]string{"Unknown", "Pending", "Running", "Succeeded", "Failed", "Deleted"}

// String returns the name of the constant.
func (s State) String() string {
	if s < stateCount {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Ended reports whether the executor's work is over while its pod is still
// there to be asked: Succeeded or Failed.
func (s State) Ended() bool { return s == Succeeded || s == Failed }
