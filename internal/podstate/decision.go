// SPDX-License-Identifier: Apache-2.0

package podstate

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

// decide reads the executor from the facts of its pod alone, into an empty reading.
func (f *facts) decide(now *Reading) {
	now.ExitCode, now.Disruption, now.Problem = UnknownExitCode, f.disruption, f.problem
	if f.main != nil {
		now.readContainer(f.main, f.own)
	}
	now.State = f.state()
	if now.State == Unknown && f.phase != corev1.PodUnknown {
		now.addProblem(fmt.Sprintf("unknown phase %q", f.pod.Status.Phase))
	}
	now.Reason, now.Message = f.explain(now.State)
}

func (r *Reading) readContainer(status *corev1.ContainerStatus, end *corev1.ContainerStateTerminated) {
	r.Restarts = status.RestartCount
	switch {
	case end != nil:
		r.ExitCode = end.ExitCode
		r.StartedAt = timeOf(end.StartedAt)
		r.FinishedAt = timeOf(end.FinishedAt)
	case status.State.Running != nil:
		r.StartedAt = timeOf(status.State.Running.StartedAt)
	case status.State.Terminated != nil:
		r.StartedAt = timeOf(status.State.Terminated.StartedAt)
	}
}

// state implements Spark's table with the differences that the comment of State in the
// root package lists.
func (f *facts) state() State {
	switch {
	case f.verdict:
		return Failed
	case f.own != nil:
		return stateOf(f.own.ExitCode)
	case f.phase == corev1.PodSucceeded:
		return Succeeded
	case f.phase == corev1.PodFailed:
		return Failed
	case f.phase != corev1.PodPending && f.phase != corev1.PodRunning:
		return Unknown
	case !f.rules.ContainerOnly && !f.deleting && f.hasFailedForGood():
		return Failed
	case f.phase == corev1.PodRunning || f.main != nil && (f.main.State.Running != nil || f.main.State.Terminated != nil):
		return Running
	default:
		return Pending
	}
}

func stateOf(exitCode int32) State {
	if exitCode == 0 {
		return Succeeded
	}
	return Failed
}
