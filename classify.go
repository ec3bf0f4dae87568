// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"fmt"
	"iter"
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

// reading is the state of an executor read from its pod and the known state.
type reading struct {
	executor *Executor
	end      end       // the last known end
	missed   *Executor // at an earlier end that only the container's last state shows; mostly nil
}

// read reads an executor from a pod. known and last are its earlier state and end, if
// any. Every field of the pod may be missing.
func (r *rules) read(pod *corev1.Pod, known *Executor, last end) reading {
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
	main, problem := r.executorContainer(pod)
	e.addProblem(problem)
	own := executorEnd(pod, main)
	switch {
	case main != nil:
		e.readContainer(main, own)
	case known != nil && !rv.Older(e.ResourceVersion, known.ResourceVersion):
		e.Restarts, e.StartedAt = known.Restarts, known.StartedAt
	}
	e.State = r.state(pod, main, own)
	if e.State == Unknown && !samePhase(pod.Status.Phase, corev1.PodUnknown) {
		e.addProblem(fmt.Sprintf("unknown phase %q", pod.Status.Phase))
	}
	e.explain(pod, main, own)
	kept := e.endStands(known, last, main, own)
	if kept {
		e.keepEnd(known, own)
	}
	if r.dropPods && known != nil {
		e.share(known)
	}

	now := reading{executor: e, end: last}
	if past := pastEnd(pod, main, own); past != nil {
		switch next := endOf(main, past); {
		case known == nil:
			now.end = next
		case last.isNews(next):
			// The kubelet often starts the next run before it reports the end of the last.
			next.number = last.number + 1
			now.end = next
			now.missed = e.endedBefore(main, past)
		}
	}
	if e.State.Ended() && !kept {
		now.end = now.end.then(endNow(last, main, own))
	}
	if now.end != (end{}) && main != nil {
		now.end.current = runOf(main.ContainerID)
	}
	return now
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

// executorContainer finds the status of the executor container, which may be a
// restartable init container (KEP-753). If no container has its name, the only
// container of the pod is the executor.
func (r *rules) executorContainer(pod *corev1.Pod) (status *corev1.ContainerStatus, problem string) {
	regular := pod.Status.ContainerStatuses
	for status := range containers(pod) {
		if status.Name == r.container {
			return status, ""
		}
	}
	switch {
	case len(regular) == 0 || containerNamed(pod, r.container) != nil:
		return nil, ""
	case len(regular) == 1:
		return &regular[0], ""
	default:
		return nil, fmt.Sprintf("no container is named %s; set WithExecutorContainer", r.container)
	}
}

// containers yields the statuses of a pod's init containers and containers, each with
// the name of its kind. Ephemeral containers do not influence the phase of a pod.
func containers(pod *corev1.Pod) iter.Seq2[*corev1.ContainerStatus, string] {
	return func(yield func(*corev1.ContainerStatus, string) bool) {
		for i := range pod.Status.InitContainerStatuses {
			if !yield(&pod.Status.InitContainerStatuses[i], "init container") {
				return
			}
		}
		for i := range pod.Status.ContainerStatuses {
			if !yield(&pod.Status.ContainerStatuses[i], "container") {
				return
			}
		}
	}
}

func (e *Executor) addProblem(problem string) {
	if e.Problem != "" && problem != "" {
		problem = "; " + problem
	}
	e.Problem += problem
}

// executorEnd returns how the executor container ended. It returns nil if the container
// has not ended, or if a restart rule starts it again. In a pod that starts no container
// again, the last state of a waiting container is its end: the kubelet writes such a
// status for a container that it cannot find any more (convertToAPIContainerStatuses).
func executorEnd(pod *corev1.Pod, main *corev1.ContainerStatus) *corev1.ContainerStateTerminated {
	switch {
	case main == nil:
		return nil
	case main.State.Terminated != nil:
		if end := main.State.Terminated; isFinal(pod) || !isRestartedByRule(pod, main.Name, end) && !restartsAll(pod) {
			return end
		}
		return nil
	case main.State.Running == nil && isFinal(pod):
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
	case status.State.Terminated != nil:
		e.StartedAt = timeOf(status.State.Terminated.StartedAt)
	}
}

// timeOf returns a time, and the zero time for the Unix epoch. The kubelet writes the
// epoch as the start of a container that could not be started.
func timeOf(t metav1.Time) time.Time {
	if t.Unix() <= 0 {
		return time.Time{}
	}
	return t.Time
}

// state implements Spark's table with the differences that [State] lists.
func (r *rules) state(pod *corev1.Pod, main *corev1.ContainerStatus, end *corev1.ContainerStateTerminated) State {
	switch phase := pod.Status.Phase; {
	case end != nil:
		return stateAfter(end)
	case samePhase(phase, corev1.PodSucceeded):
		return Succeeded
	case samePhase(phase, corev1.PodFailed):
		return Failed
	case !samePhase(phase, corev1.PodPending) && !samePhase(phase, corev1.PodRunning):
		return Unknown
	case !r.containerOnly && hasFailedForGood(pod):
		return Failed
	case samePhase(phase, corev1.PodRunning) || main != nil && (main.State.Running != nil || main.State.Terminated != nil):
		return Running
	default:
		return Pending
	}
}

func stateAfter(end *corev1.ContainerStateTerminated) State {
	if end.ExitCode == 0 {
		return Succeeded
	}
	return Failed
}

// hasFailedForGood reports whether a container ended with a failure and will not
// be started again. Spark asks for a pod that restarts
// nothing; since then a container may have a policy (KEP-753) and rules (KEP-5307).
func hasFailedForGood(pod *corev1.Pod) bool {
	if restartsAll(pod) {
		return false
	}
	for status := range containers(pod) {
		if failedForGood(pod, status, status.State.Terminated) {
			return true
		}
	}
	return false
}

// failedForGood reports whether an end of a container is a failure after which
// nothing starts it again.
func failedForGood(pod *corev1.Pod, status *corev1.ContainerStatus, end *corev1.ContainerStateTerminated) bool {
	return end != nil && end.ExitCode != 0 && !isFailureRestarted(pod, status.Name, end)
}

// samePhase ignores case, as Spark does.
func samePhase(a, b corev1.PodPhase) bool {
	return strings.EqualFold(string(a), string(b))
}
