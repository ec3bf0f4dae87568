// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"fmt"
	"hash/maphash"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource/internal/rv"
)

// An end identifies the end of one run of the executor container, or of the pod during
// that run. A store keeps the last known end of each executor, even while the executor
// runs again.
type end struct {
	number     int32 // of ends shown so far, with this one
	own        bool  // the container's own, not only the pod's
	restarts   int32 // of the container before this run
	exitCode   int32
	run        uint64 // see runOf, 0 if unknown
	current    uint64 // the run that the pod's newest status is about
	finishedAt int64  // in Unix seconds, which is the API's precision; 0 if unknown
}

// same reports whether two ends are of the same run. Without container IDs, as with
// many fakes, the known restart counts, times and exit codes must agree.
func (a end) same(b end) bool {
	switch {
	case a.run != 0 && b.run != 0:
		return a.run == b.run
	case a.own && b.own && a.restarts != b.restarts:
		return false
	case a.finishedAt != 0 && b.finishedAt != 0:
		return a.finishedAt == b.finishedAt && a.exitCode == b.exitCode
	default:
		return true
	}
}

// older reports whether a is the end of a run before that of b.
func (a end) older(b end) bool {
	return a.restarts < b.restarts || a.finishedAt != 0 && b.finishedAt != 0 && a.finishedAt < b.finishedAt
}

var runSeed = maphash.MakeSeed()

// runOf identifies a run by the ID that the runtime gave to the container. A
// hash does not keep the status of a pod in memory.
func runOf(containerID string) uint64 {
	if containerID == "" {
		return 0
	}
	return maphash.String(runSeed, containerID)
}

// endOf identifies an end in a container's status: its state or its last state.
func endOf(status *corev1.ContainerStatus, terminated *corev1.ContainerStateTerminated) end {
	e := end{own: true, restarts: status.RestartCount, exitCode: terminated.ExitCode, run: runOf(terminated.ContainerID)}
	if terminated == status.State.Terminated && e.run == 0 {
		e.run = runOf(status.ContainerID)
	}
	if terminated == status.LastTerminationState.Terminated && status.State.Waiting == nil {
		e.restarts-- // by which the run that the status is about was started
	}
	if at := timeOf(terminated.FinishedAt); !at.IsZero() {
		e.finishedAt = at.Unix()
	}
	return e
}

// endStands reports whether the executor keeps the end that it has in the known state
// although the pod reports something else now. The end of a run is final. A pod without
// the container's status cannot change it: the kubelet drops the statuses of a pod that
// it rejects after a restart, even if the pod had succeeded (kubernetes#117955).
func (e *Executor) endStands(known *Executor, last end, main *corev1.ContainerStatus, own *corev1.ContainerStateTerminated) bool {
	switch {
	case known == nil || !known.State.Ended() || rv.Older(e.ResourceVersion, known.ResourceVersion):
		return false
	case main == nil:
		return last.own || e.State.Ended()
	case !last.own || last.run == 0:
		return false
	case own != nil:
		return last.same(endOf(main, own)) && own.ExitCode != known.ExitCode
	default:
		// A container that waits is about to begin another run.
		return main.State.Waiting == nil && runOf(main.ContainerID) == last.run
	}
}

// keepEnd copies the end from the known state, and notes the contradiction.
func (e *Executor) keepEnd(known *Executor, own *corev1.ContainerStateTerminated) {
	if e.State != known.State || own != nil {
		problem := fmt.Sprintf("the executor has ended (%v, exit code %d), and the pod is reported as %v", known.State, known.ExitCode, e.State)
		if own != nil {
			problem += fmt.Sprintf(", exit code %d", own.ExitCode)
		}
		if e.Reason != "" {
			problem += ", " + e.Reason
		}
		e.addProblem(problem)
	}
	e.State, e.ExitCode, e.Restarts = known.State, known.ExitCode, known.Restarts
	e.Reason, e.Message = known.Reason, known.Message
	e.StartedAt, e.FinishedAt = known.StartedAt, known.FinishedAt
}

// pastEnd returns the end in the container's last state, or nil. An end after which a
// rule started the container again does not count.
func pastEnd(pod *corev1.Pod, main *corev1.ContainerStatus, own *corev1.ContainerStateTerminated) *corev1.ContainerStateTerminated {
	if main == nil {
		return nil
	}
	past := main.LastTerminationState.Terminated
	if past == nil || past == own || isRestartedByRule(pod, main.Name, past) {
		return nil
	}
	return past
}

// isNews reports whether a past end is newer than the last known end.
func (last end) isNews(past end) bool {
	seen := last != (end{}) && last.same(past)
	return !seen && !past.older(last)
}

// endNow identifies the end of an executor that has ended, by itself or with its
// pod. A pod without the container's status ends in the run that was known last.
func endNow(last end, main *corev1.ContainerStatus, own *corev1.ContainerStateTerminated) end {
	switch {
	case own != nil:
		return endOf(main, own)
	case main != nil:
		return end{restarts: main.RestartCount, run: runOf(main.ContainerID)}
	default:
		return end{restarts: last.restarts, run: last.current, current: last.current}
	}
}

// then returns the last end after an end was read again. The number grows if the end
// is of another run. For the same run the more exact of the two is kept.
func (last end) then(now end) end {
	if last.number == 0 || !last.same(now) {
		now.number = last.number + 1
		return now
	}
	if last.own && (!now.own || last.run != 0) {
		return last
	}
	now.number = last.number
	return now
}

// endedBefore returns the state of the executor at an earlier end.
func (e *Executor) endedBefore(main *corev1.ContainerStatus, past *corev1.ContainerStateTerminated) *Executor {
	missed := *e
	missed.State = stateAfter(past)
	missed.readContainer(main, past)
	missed.Restarts = endOf(main, past).restarts
	missed.Reason, missed.Message = past.Reason, past.Message
	return &missed
}

// restartingAllContainers is the reason that the kubelet gives to a container
// which it has stopped in order to start all containers of the pod again
// (KEP-5532).
const restartingAllContainers = "RestartingAllContainers"

// isFinal reports whether the kubelet starts no container of the pod again,
// whatever the policies say.
func isFinal(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp != nil || samePhase(pod.Status.Phase, corev1.PodFailed) || samePhase(pod.Status.Phase, corev1.PodSucceeded)
}

// isFailureRestarted reports whether the kubelet starts a container of the pod
// again after a failure. It follows ContainerShouldRestart of Kubernetes: the
// restart rules of the container (KEP-5307), then its policy, then the pod's policy.
func isFailureRestarted(pod *corev1.Pod, name string, failure *corev1.ContainerStateTerminated) bool {
	if isRestartedByRule(pod, name, failure) {
		return true
	}
	policy := pod.Spec.RestartPolicy
	if c := containerNamed(pod, name); c != nil && c.RestartPolicy != nil {
		policy = corev1.RestartPolicy(*c.RestartPolicy)
	}
	return policy != corev1.RestartPolicyNever // but OnFailure, or Always, which is the default
}

// isRestartedByRule reports whether a restart rule of the container starts it again
// after this end, or whether the kubelet stopped it to restart all containers.
func isRestartedByRule(pod *corev1.Pod, name string, end *corev1.ContainerStateTerminated) bool {
	if end.Reason == restartingAllContainers {
		return true
	}
	_, matches := restartRule(containerNamed(pod, name), end.ExitCode)
	return matches
}

// restartsAll reports whether the kubelet is about to start all containers of
// the pod again, as its ShouldAllContainersRestart does.
func restartsAll(pod *corev1.Pod) bool {
	if _, _, restarting := condition(pod, corev1.AllContainersRestarting, corev1.ConditionTrue); restarting {
		return true
	}
	for status := range containers(pod) {
		end := status.State.Terminated
		if end == nil {
			continue
		}
		action, matches := restartRule(containerNamed(pod, status.Name), end.ExitCode)
		if matches && action == corev1.ContainerRestartRuleActionRestartAllContainers {
			return true
		}
	}
	return false
}

// restartRule returns the action of the first rule that matches an exit code. A
// rule with an action that is not known restarts nothing.
func restartRule(c *corev1.Container, exitCode int32) (action corev1.ContainerRestartRuleAction, matches bool) {
	if c == nil || c.RestartPolicy == nil {
		return "", false
	}
	for i := range c.RestartPolicyRules {
		rule := &c.RestartPolicyRules[i]
		if rule.ExitCodes == nil {
			continue
		}
		listed := slices.Contains(rule.ExitCodes.Values, exitCode)
		switch rule.ExitCodes.Operator {
		case corev1.ContainerRestartRuleOnExitCodesOpIn:
			matches = listed
		case corev1.ContainerRestartRuleOnExitCodesOpNotIn:
			matches = !listed
		}
		if matches {
			action = rule.Action
			return action, action == corev1.ContainerRestartRuleActionRestart || action == corev1.ContainerRestartRuleActionRestartAllContainers
		}
	}
	return "", false
}

// containerNamed finds a container or an init container in the spec. The spec of a
// trimmed pod lacks some containers, see [WithTrimmedPods].
func containerNamed(pod *corev1.Pod, name string) *corev1.Container {
	for _, containers := range [][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range containers {
			if containers[i].Name == name {
				return &containers[i]
			}
		}
	}
	return nil
}
