// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource/internal/rv"
)

const (
	// defaultExecutorContainer is Spark's DEFAULT_EXECUTOR_CONTAINER_NAME.
	defaultExecutorContainer = "spark-kubernetes-executor"
	// executorIDPlaceholder stands in the template of a StatefulSet or a
	// Deployment until the driver has patched the real id in.
	executorIDPlaceholder = "EXECID"
)

// rules decide how a pod is read. They belong to one store.
type rules struct {
	container     string // name of the executor container
	idLabel       string
	containerOnly bool // no other container's failure counts
	dropPods      bool
}

// executor reads a pod, of which known is an earlier state or nil. It must cope
// with anything: what a pod lacks, the executor lacks.
func (r *rules) executor(pod *corev1.Pod, known *Executor) *Executor {
	id, problem := r.executorID(pod, known)
	e := &Executor{
		Name:            pod.Name,
		Namespace:       pod.Namespace,
		UID:             pod.UID,
		ID:              id,
		Node:            pod.Spec.NodeName,
		PodIP:           pod.Status.PodIP,
		Terminating:     pod.DeletionTimestamp != nil,
		ExitCode:        UnknownExitCode,
		CreatedAt:       pod.CreationTimestamp.Time,
		ResourceVersion: pod.ResourceVersion,
		Problem:         problem,
	}
	if !r.dropPods {
		e.Pod = pod
	}
	main := r.executorContainer(pod)
	end := executorEnd(pod, main)
	if main != nil {
		e.readContainer(main, end)
	}
	e.State = r.state(pod, end)
	if e.State == Unknown && !samePhase(pod.Status.Phase, corev1.PodUnknown) {
		e.addProblem(fmt.Sprintf("unknown phase %q", pod.Status.Phase))
	}
	var disruption string
	e.Disruption, disruption = conditionReason(pod, corev1.DisruptionTarget, corev1.ConditionTrue)
	if disruptionExplains(pod, end, e.Disruption) {
		e.Reason, e.Message = e.Disruption, disruption
	} else {
		e.Reason, e.Message = reason(pod, main, end, e.State)
	}
	if main == nil && known != nil && known.endedByItself() && !rv.Older(e.ResourceVersion, known.ResourceVersion) {
		e.keepEnd(known)
	}
	if r.dropPods && known != nil {
		e.share(known)
	}
	return e
}

// keepEnd takes over the end of the executor container that an earlier state had.
// A pod that no longer has the container's status has nothing to say about it: the
// kubelet drops the statuses of a pod that it rejects after a restart, even if that
// had succeeded before (kubernetes#117955).
func (e *Executor) keepEnd(known *Executor) {
	if e.State != known.State {
		problem := fmt.Sprintf("the executor has ended (%v, exit code %d), and the pod is reported as %v", known.State, known.ExitCode, e.State)
		if e.Reason != "" {
			problem += ", " + e.Reason
		}
		e.addProblem(problem)
	}
	e.State, e.ExitCode, e.Restarts = known.State, known.ExitCode, known.Restarts
	e.Reason, e.Message = known.Reason, known.Message
	e.StartedAt, e.FinishedAt = known.StartedAt, known.FinishedAt
}

func (r *rules) executorID(pod *corev1.Pod, known *Executor) (id, problem string) {
	switch id, labelled := pod.Labels[r.idLabel]; {
	case labelled && known != nil && id == known.ID && known.Problem == "":
		return id, "" // looked at before
	case !labelled:
		return "", fmt.Sprintf("no label %s", r.idLabel)
	case id == executorIDPlaceholder:
		return "", fmt.Sprintf("label %s holds the placeholder %s", r.idLabel, executorIDPlaceholder)
	case r.idLabel == LabelExecutorID && !isDecimal(id):
		return id, fmt.Sprintf("label %s is not a number: %q", r.idLabel, id)
	default:
		return id, ""
	}
}

func isDecimal(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// executorContainer finds the status of the executor container, also where it
// runs as a restartable init container (KEP-753).
func (r *rules) executorContainer(pod *corev1.Pod) *corev1.ContainerStatus {
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range statuses {
			if statuses[i].Name == r.container {
				return &statuses[i]
			}
		}
	}
	return nil
}

func (e *Executor) addProblem(problem string) {
	if e.Problem != "" {
		problem = e.Problem + "; " + problem
	}
	e.Problem = problem
}

// executorEnd returns how the executor container ended, nil if it has not. In a
// pod that has ended, a container that waits is not started again: its last
// state is its end. The kubelet writes that of a container that it cannot find
// any more (convertToAPIContainerStatuses).
func executorEnd(pod *corev1.Pod, main *corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	switch {
	case main == nil:
		return nil
	case main.State.Terminated != nil:
		return main.State.Terminated
	case main.State.Running == nil && (samePhase(pod.Status.Phase, corev1.PodFailed) || samePhase(pod.Status.Phase, corev1.PodSucceeded)):
		return main.LastTerminationState.Terminated
	default:
		return nil
	}
}

func (e *Executor) readContainer(status *corev1.ContainerStatus, end *corev1.ContainerStateTerminated) {
	e.Restarts = status.RestartCount
	switch {
	case end != nil:
		e.ExitCode = end.ExitCode
		e.StartedAt = timeOf(end.StartedAt)
		e.FinishedAt = timeOf(end.FinishedAt)
	case status.State.Running != nil:
		e.StartedAt = timeOf(status.State.Running.StartedAt)
	}
}

// timeOf returns a time, zero for the epoch: the kubelet writes that for what
// never happened, such as the start of a container that could not be started.
func timeOf(t metav1.Time) time.Time {
	if t.Unix() <= 0 {
		return time.Time{}
	}
	return t.Time
}

// state is Spark's table, but that the executor container's own end decides in
// whatever phase the pod is: a container that waits makes the pod Pending, and
// one that ends later makes it Failed (the kubelet's getPhase).
func (r *rules) state(pod *corev1.Pod, end *corev1.ContainerStateTerminated) State {
	switch phase := pod.Status.Phase; {
	case end != nil && end.ExitCode == 0:
		return Succeeded
	case end != nil:
		return Failed
	case samePhase(phase, corev1.PodPending):
		return Pending
	case samePhase(phase, corev1.PodRunning) && !r.containerOnly && failedForGood(pod) != nil:
		return Failed
	case samePhase(phase, corev1.PodRunning):
		return Running
	case samePhase(phase, corev1.PodSucceeded):
		return Succeeded
	case samePhase(phase, corev1.PodFailed):
		return Failed
	default:
		return Unknown
	}
}

// failedForGood returns a container that ended with a failure and will not be
// started again. Spark asks for a pod that restarts nothing; a container may
// since have a policy of its own (KEP-753, KEP-5307), so it is asked first. A
// native sidecar therefore fails nobody: the kubelet starts it again, and what
// is taken for an end must be one.
func failedForGood(pod *corev1.Pod) *corev1.ContainerStatus {
	for i := range pod.Status.ContainerStatuses {
		status := &pod.Status.ContainerStatuses[i]
		if end := status.State.Terminated; end == nil || end.ExitCode == 0 {
			continue
		}
		if restartPolicy(pod, status.Name) == corev1.RestartPolicyNever {
			return status
		}
	}
	return nil
}

// restartPolicy is that of the container, or else of its pod.
func restartPolicy(pod *corev1.Pod, container string) corev1.RestartPolicy {
	for i := range pod.Spec.Containers {
		if c := &pod.Spec.Containers[i]; c.Name == container && c.RestartPolicy != nil {
			return corev1.RestartPolicy(*c.RestartPolicy)
		}
	}
	return pod.Spec.RestartPolicy
}

// samePhase ignores case, as Spark does.
func samePhase(a, b corev1.PodPhase) bool {
	return strings.EqualFold(string(a), string(b))
}

// disruptionExplains reports whether the reason of the condition DisruptionTarget
// is the executor's. The kubelet writes one for all that it terminates, and the
// kind of it, such as Evicted, into the pod's reason.
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

// reason picks the one explanation that a person would want to read first, if
// no disruption explains the state.
func reason(pod *corev1.Pod, main *corev1.ContainerStatus, end *corev1.ContainerStateTerminated, state State) (reason, message string) {
	switch {
	case end != nil && !(pod.Status.Reason != "" && saysLittle(end.Reason)):
		return end.Reason, end.Message
	case end == nil && state == Running && main != nil && main.State.Waiting != nil && main.State.Waiting.Reason != "":
		return main.State.Waiting.Reason, waitingMessage(main)
	case pod.Status.Reason != "":
		return pod.Status.Reason, pod.Status.Message
	case state == Failed:
		return failureReason(pod)
	case state == Pending:
		return waitingReason(pod)
	default:
		return "", ""
	}
}

const reasonOOMKilled = "OOMKilled"

// saysLittle reports whether a reason is one that the runtime or the kubelet
// gives to every failure that it knows no more of. The pod's reason, such as
// Evicted or DeadlineExceeded, says more.
func saysLittle(reason string) bool {
	return reason == "" || reason == "Error" || reason == "ContainerStatusUnknown"
}

// waitingMessage explains a container that waits to be started again: with the
// end of its last run.
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

// failureReason explains a failure of which neither the executor container nor
// the pod says anything: another container failed it.
func failureReason(pod *corev1.Pod) (reason, message string) {
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses} {
		for i := range statuses {
			if end := statuses[i].State.Terminated; end != nil && end.ExitCode != 0 {
				return end.Reason, fmt.Sprintf("container %s ended with exit code %d", statuses[i].Name, end.ExitCode)
			}
		}
	}
	return "", pod.Status.Message
}

// waitingReason explains a pending pod: a container of any kind that cannot
// start, else the scheduler's verdict. PodInitializing and ContainerCreating
// are the ordinary way up and give way to anything that says more.
func waitingReason(pod *corev1.Pod) (reason, message string) {
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			waiting := statuses[i].State.Waiting
			if waiting == nil || waiting.Reason == "" {
				continue
			}
			if waiting.Reason != "PodInitializing" && waiting.Reason != "ContainerCreating" {
				return waiting.Reason, waiting.Message
			}
			reason, message = waiting.Reason, waiting.Message
		}
	}
	if reason != "" {
		return reason, message
	}
	return conditionReason(pod, corev1.PodScheduled, corev1.ConditionFalse)
}

func conditionReason(pod *corev1.Pod, kind corev1.PodConditionType, status corev1.ConditionStatus) (reason, message string) {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == kind && c.Status == status {
			return c.Reason, c.Message
		}
	}
	return "", ""
}
