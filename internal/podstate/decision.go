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

// readContainer reads the restarts of a container, its times, and its exit code if it has terminated.
func (r *Reading) readContainer(status *corev1.ContainerStatus, terminated *corev1.ContainerStateTerminated) {
	r.Restarts = status.RestartCount
	switch {
	case terminated != nil:
		r.ExitCode = terminated.ExitCode
		r.StartedAt = timeOf(terminated.StartedAt)
		r.FinishedAt = timeOf(terminated.FinishedAt)
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

const reasonOOMKilled = "OOMKilled"

// explain returns the reason and the message of a state. The order of the explanations is
// documented at Executor.Reason in the root package.
func (f *facts) explain(state State) (reason, message string) {
	if f.disruptionExplains() {
		return f.disruption, f.disruptionMessage
	}
	runs := f.own == nil && state == Running && f.main != nil
	switch {
	case f.own != nil && !f.podSaysMore():
		return f.own.Reason, f.own.Message
	case runs && f.main.State.Waiting != nil && f.main.State.Waiting.Reason != "":
		return f.main.State.Waiting.Reason, waitingMessage(f.main)
	case runs && f.main.State.Terminated != nil:
		return f.main.State.Terminated.Reason, endMessage("the executor container", f.main.State.Terminated) + "; it is started again"
	case f.pod.Status.Reason != "":
		return f.pod.Status.Reason, f.pod.Status.Message
	case state == Failed:
		return f.failureReason()
	case state == Pending:
		return f.waitingReason()
	default:
		return "", ""
	}
}

// disruptionExplains reports whether the disruption explains the state. The kubelet sets
// the condition DisruptionTarget on every pod that it terminates, and then the pod's
// reason, for example Evicted, says more.
func (f *facts) disruptionExplains() bool {
	switch {
	case f.disruption == "":
		return false
	case f.own != nil && f.own.Reason == reasonOOMKilled:
		return false
	default:
		return f.disruption != corev1.PodReasonTerminationByKubelet || f.pod.Status.Reason == ""
	}
}

// podSaysMore reports whether the pod's reason, for example Evicted or DeadlineExceeded,
// says more than the reason of the executor's own end. It does if that reason is the
// default of the runtime or the kubelet, or if the pod has failed although the executor
// ended well.
func (f *facts) podSaysMore() bool {
	if f.pod.Status.Reason == "" || f.own.Reason == reasonOOMKilled {
		return false
	}
	return f.own.Reason == "" || f.own.Reason == "Error" || f.own.Reason == lostReason || f.verdict && f.own.ExitCode == 0
}

// waitingMessage explains a container that waits to be started again. It mentions the
// end of the last run.
func waitingMessage(status *corev1.ContainerStatus) string {
	message, terminated := status.State.Waiting.Message, status.LastTerminationState.Terminated
	if terminated == nil {
		return message
	}
	if message != "" {
		message += "; "
	}
	message += fmt.Sprintf("the last run ended with exit code %d", terminated.ExitCode)
	if terminated.Reason != "" {
		message += ", " + terminated.Reason
	}
	return message
}

// failureReason explains a failure that was caused by another container. An init
// container that failed for good comes first, because the pod fails before the others
// run. Containers that the kubelet would have started again, for example native
// sidecars, come last.
func (f *facts) failureReason() (reason, message string) {
	for _, forGood := range [...]bool{true, false} {
		for status, kind := range containers(f.pod) {
			terminated := newestTerminated(status)
			if status != f.main && terminated != nil && terminated.ExitCode != 0 && (!forGood || f.failedForGood(status, terminated)) {
				return terminated.Reason, endMessage(kind+" "+status.Name, terminated)
			}
		}
	}
	return "", f.pod.Status.Message
}

// newestTerminated returns the newest end of a container, or nil while the container runs.
func newestTerminated(status *corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	switch {
	case status.State.Terminated != nil:
		return status.State.Terminated
	case status.State.Running == nil:
		return status.LastTerminationState.Terminated
	default:
		return nil
	}
}

func endMessage(container string, terminated *corev1.ContainerStateTerminated) string {
	message := fmt.Sprintf("%s ended with exit code %d", container, terminated.ExitCode)
	if terminated.Message != "" {
		message += ": " + terminated.Message
	}
	return message
}

// waitingReason explains a pending pod: by a container that cannot start, or that has
// failed and is started again, or else by the condition PodScheduled. PodInitializing and
// ContainerCreating are normal, so every other reason is preferred to them.
func (f *facts) waitingReason() (reason, message string) {
	for status, kind := range containers(f.pod) {
		switch waiting, terminated := status.State.Waiting, newestTerminated(status); {
		case waiting != nil && waiting.Reason != "" && waiting.Reason != "PodInitializing" && waiting.Reason != "ContainerCreating":
			return waiting.Reason, waitingMessage(status)
		case terminated != nil && terminated.ExitCode != 0:
			return terminated.Reason, endMessage(kind+" "+status.Name, terminated)
		case waiting != nil && waiting.Reason != "":
			reason, message = waiting.Reason, waiting.Message
		}
	}
	if reason != "" {
		return reason, message
	}
	for i := range f.pod.Status.Conditions {
		if c := &f.pod.Status.Conditions[i]; c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Reason, c.Message
		}
	}
	return "", ""
}
