// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
)

const reasonOOMKilled = "OOMKilled"

// explain sets the reason and the message of a state. The order of the explanations is
// documented at [Executor.Reason].
func (e *Executor) explain(pod *corev1.Pod, main *corev1.ContainerStatus, end *corev1.ContainerStateTerminated) {
	var disruption string
	e.Disruption, disruption, _ = condition(pod, corev1.DisruptionTarget, corev1.ConditionTrue)
	if disruptionExplains(pod, end, e.Disruption) {
		e.Reason, e.Message = e.Disruption, disruption
		return
	}
	e.Reason, e.Message = reason(pod, main, end, e.State)
}

// disruptionExplains reports whether the condition DisruptionTarget explains the state.
// The kubelet sets the condition on every pod that it terminates, and then the pod's
// reason, for example Evicted, says more.
func disruptionExplains(pod *corev1.Pod, end *corev1.ContainerStateTerminated, disruption string) bool {
	switch {
	case disruption == "":
		return false
	case end != nil && end.Reason == reasonOOMKilled:
		return false
	default:
		return disruption != corev1.PodReasonTerminationByKubelet || pod.Status.Reason == ""
	}
}

func reason(pod *corev1.Pod, main *corev1.ContainerStatus, end *corev1.ContainerStateTerminated, state State) (reason, message string) {
	runs := end == nil && state == Running && main != nil
	switch {
	case end != nil && !(pod.Status.Reason != "" && saysLittle(end.Reason)):
		return end.Reason, end.Message
	case runs && main.State.Waiting != nil && main.State.Waiting.Reason != "":
		return main.State.Waiting.Reason, waitingMessage(main)
	case runs && main.State.Terminated != nil:
		return main.State.Terminated.Reason, endMessage("the executor container", main.State.Terminated) + "; it is started again"
	case pod.Status.Reason != "":
		return pod.Status.Reason, pod.Status.Message
	case state == Failed:
		return failureReason(pod, main)
	case state == Pending:
		return waitingReason(pod)
	default:
		return "", ""
	}
}

// saysLittle reports whether a reason is the default of the runtime or the kubelet. The
// pod's reason, for example Evicted or DeadlineExceeded, says more.
func saysLittle(reason string) bool {
	return reason == "" || reason == "Error" || reason == "ContainerStatusUnknown"
}

// waitingMessage explains a container that waits to be started again. It mentions the
// end of the last run.
func waitingMessage(status *corev1.ContainerStatus) string {
	message, last := status.State.Waiting.Message, status.LastTerminationState.Terminated
	if last == nil {
		return message
	}
	if message != "" {
		message += "; "
	}
	message += fmt.Sprintf("the last run ended with exit code %d", last.ExitCode)
	if last.Reason != "" {
		message += ", " + last.Reason
	}
	return message
}

// failureReason explains a failure that was caused by another container. An init
// container that failed for good comes first, because the pod fails before the others
// run. Containers that the kubelet would have started again, for example native
// sidecars, come last.
func failureReason(pod *corev1.Pod, main *corev1.ContainerStatus) (reason, message string) {
	for _, forGood := range []bool{true, false} {
		for status, kind := range containers(pod) {
			end := lastEnd(status)
			if status != main && end != nil && end.ExitCode != 0 && (!forGood || failedForGood(pod, status, end)) {
				return end.Reason, endMessage(kind+" "+status.Name, end)
			}
		}
	}
	return "", pod.Status.Message
}

// lastEnd returns the newest end of a container, or nil while the container runs.
func lastEnd(status *corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	switch {
	case status.State.Terminated != nil:
		return status.State.Terminated
	case status.State.Running == nil:
		return status.LastTerminationState.Terminated
	default:
		return nil
	}
}

func endMessage(container string, end *corev1.ContainerStateTerminated) string {
	message := fmt.Sprintf("%s ended with exit code %d", container, end.ExitCode)
	if end.Message != "" {
		message += ": " + end.Message
	}
	return message
}

// waitingReason explains a pending pod: by a container that cannot start, or that has
// failed and is started again, or else by the condition PodScheduled. PodInitializing and
// ContainerCreating are normal, so every other reason is preferred to them.
func waitingReason(pod *corev1.Pod) (reason, message string) {
	for status, kind := range containers(pod) {
		switch waiting, end := status.State.Waiting, lastEnd(status); {
		case waiting != nil && waiting.Reason != "" && waiting.Reason != "PodInitializing" && waiting.Reason != "ContainerCreating":
			return waiting.Reason, waitingMessage(status)
		case end != nil && end.ExitCode != 0:
			return end.Reason, endMessage(kind+" "+status.Name, end)
		case waiting != nil && waiting.Reason != "":
			reason, message = waiting.Reason, waiting.Message
		}
	}
	if reason == "" {
		reason, message, _ = condition(pod, corev1.PodScheduled, corev1.ConditionFalse)
	}
	return reason, message
}

// condition finds a condition with a status.
func condition(pod *corev1.Pod, kind corev1.PodConditionType, status corev1.ConditionStatus) (reason, message string, ok bool) {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == kind && c.Status == status {
			return c.Reason, c.Message, true
		}
	}
	return "", "", false
}
