// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
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
	if main != nil {
		e.readContainer(main)
	}
	e.State = r.state(pod, main)
	if e.State == Unknown && !samePhase(pod.Status.Phase, corev1.PodUnknown) {
		e.addProblem(fmt.Sprintf("unknown phase %q", pod.Status.Phase))
	}
	e.Reason, e.Message = reason(pod, main, e.State)
	if r.dropPods && known != nil {
		e.share(known)
	}
	return e
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

func (e *Executor) readContainer(status *corev1.ContainerStatus) {
	switch {
	case status.State.Running != nil:
		e.StartedAt = status.State.Running.StartedAt.Time
	case status.State.Terminated != nil:
		end := status.State.Terminated
		e.ExitCode = end.ExitCode
		e.StartedAt = end.StartedAt.Time
		e.FinishedAt = end.FinishedAt.Time
	}
}

// state is Spark's table, top to bottom; main may be nil.
func (r *rules) state(pod *corev1.Pod, main *corev1.ContainerStatus) State {
	switch phase := pod.Status.Phase; {
	case samePhase(phase, corev1.PodPending):
		return Pending
	case samePhase(phase, corev1.PodRunning):
		return r.runningState(pod, main)
	case samePhase(phase, corev1.PodSucceeded):
		return Succeeded
	case samePhase(phase, corev1.PodFailed):
		return Failed
	default:
		return Unknown
	}
}

// runningState looks into the containers of a running pod, because the phase
// hides an executor that has ended beside a sidecar that lives on.
func (r *rules) runningState(pod *corev1.Pod, main *corev1.ContainerStatus) State {
	switch {
	case !r.containerOnly && failedForGood(pod) != nil:
		return Failed
	case main == nil || main.State.Terminated == nil:
		return Running
	case main.State.Terminated.ExitCode == 0:
		return Succeeded
	default:
		return Failed
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

// reason picks the one explanation that a person would want to read first: why
// the whole pod ended (an eviction), why its executor ended, why it waits.
func reason(pod *corev1.Pod, main *corev1.ContainerStatus, state State) (reason, message string) {
	if pod.Status.Reason != "" {
		return pod.Status.Reason, pod.Status.Message
	}
	if main != nil && main.State.Terminated != nil {
		return main.State.Terminated.Reason, main.State.Terminated.Message
	}
	switch state {
	case Failed:
		return failureReason(pod)
	case Pending:
		return waitingReason(pod)
	default:
		return conditionReason(pod, corev1.DisruptionTarget, corev1.ConditionTrue)
	}
}

// failureReason explains a failure of which the executor container says
// nothing: the pod was taken away, or another container failed it.
func failureReason(pod *corev1.Pod) (reason, message string) {
	if reason, message := conditionReason(pod, corev1.DisruptionTarget, corev1.ConditionTrue); reason != "" {
		return reason, message
	}
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
