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
//   - An end is final for its run. What the pod says later of that run is noted
//     in [Executor.Problem]: the kubelet drops the container statuses of a finished
//     pod that it rejects after a restart (kubernetes#117955).
//   - In a pod that starts no container again (it has ended, or is deleted), a
//     container that waits ended as its last state says.
//   - An end after which a restart rule starts the container again, or all
//     containers (KEP-5307, KEP-5532), is none: the executor is Running. A restart
//     by policy is an end, and the next run may bring another.
//   - Another container's failure fails the executor also in the phase Pending and
//     also if an init container has failed, but only if nothing starts it again:
//     rules, the container's policy (KEP-753), and the pod's are read as the kubelet
//     reads them. A native sidecar therefore fails nothing.
//   - An executor container that runs makes the executor Running in the phase
//     Pending, which the pod has while a sidecar waits for its image.
//   - If no container has the name of the executor container, the only container
//     of the pod is the executor.
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
