// SPDX-License-Identifier: Apache-2.0

package podstate

import (
	"hash/maphash"
	"iter"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// facts are what a pod says, each looked up once. Nothing is concluded from them yet.
type facts struct {
	pod   *corev1.Pod
	rules *Rules

	// main is the status of the executor container. It is nil if the pod has no such status, and
	// problem then says why.
	main    *corev1.ContainerStatus
	problem string

	// phase is spelled as Kubernetes spells it. It is "" for a phase that Kubernetes does not define.
	phase    corev1.PodPhase
	deleting bool
	// final is true if the kubelet starts no container of the pod again, whatever the
	// policies say.
	final bool
	// verdict is true if the kubelet or a controller has failed the pod and says why.
	verdict bool

	// own is the end of the executor container: its state, or in a final pod its last
	// state. It is nil while the container runs or is started again by a rule, and if the end is of
	// an earlier run, see [Ends.disown].
	own *corev1.ContainerStateTerminated
	// lost is true if the kubelet cannot find the container any more. The status is then about
	// the newest run that there was.
	lost bool
	// past is the end in the container's last state. It is nil if it is own, or if a rule has
	// started the container again after it.
	past *corev1.ContainerStateTerminated

	// run is the run that the status is about, see findRun.
	run run

	// disruption says why Kubernetes, or else Kueue, ends the pod.
	disruption, disruptionMessage string
	// allRestarting is the condition AllContainersRestarting (KEP-5532).
	allRestarting bool
	// ready is the condition Ready.
	ready bool
}

// read looks up the facts of a pod, beside main and problem.
func (f *facts) read(pod *corev1.Pod, r *Rules) {
	f.pod, f.rules = pod, r
	f.phase, f.deleting = phaseOf(&pod.Status), pod.DeletionTimestamp != nil
	f.final = f.deleting || f.phase == corev1.PodFailed || f.phase == corev1.PodSucceeded
	f.verdict = f.phase == corev1.PodFailed && pod.Status.Reason != ""
	f.readConditions()
	if f.main != nil {
		f.own = f.ownTerminated()
		f.past = f.pastTerminated()
		f.lost = f.isLost()
	}
}

// phaseOf ignores case, as Spark does. A pod without any status, as client-go's fake clientset
// makes it, is Pending: the API server gives that phase to a new pod.
func phaseOf(status *corev1.PodStatus) corev1.PodPhase {
	for _, known := range [...]corev1.PodPhase{corev1.PodRunning, corev1.PodPending, corev1.PodSucceeded, corev1.PodFailed, corev1.PodUnknown} {
		if status.Phase == known || strings.EqualFold(string(status.Phase), string(known)) {
			return known
		}
	}
	if status.Phase == "" && isEmpty(status) {
		return corev1.PodPending
	}
	return ""
}

// isEmpty looks at the fields that the pods of a store without pods have too.
func isEmpty(status *corev1.PodStatus) bool {
	return status.Reason == "" && status.Message == "" && status.PodIP == "" &&
		len(status.Conditions) == 0 && len(status.ContainerStatuses) == 0 && len(status.InitContainerStatuses) == 0
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

// containerNamed finds a container or an init container in the spec. The spec of a
// trimmed pod has only the containers that matter here.
func containerNamed(pod *corev1.Pod, name string) *corev1.Container {
	for _, containers := range [...][]corev1.Container{pod.Spec.Containers, pod.Spec.InitContainers} {
		for i := range containers {
			if containers[i].Name == name {
				return &containers[i]
			}
		}
	}
	return nil
}

// terminationTarget is the condition that Kueue sets on a pod that it evicts from its
// queue (Kueue's ConditionTypeTerminationTarget).
const terminationTarget corev1.PodConditionType = "TerminationTarget"

// readConditions walks the conditions once, because most pods have several.
func (f *facts) readConditions() {
	var kueue *corev1.PodCondition
	for i := range f.pod.Status.Conditions {
		c := &f.pod.Status.Conditions[i]
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case corev1.DisruptionTarget:
			f.disruption, f.disruptionMessage = c.Reason, c.Message
		case terminationTarget:
			kueue = c
		case corev1.AllContainersRestarting:
			f.allRestarting = true
		case corev1.PodReady:
			f.ready = true
		}
	}
	if f.disruption == "" && kueue != nil {
		f.disruption, f.disruptionMessage = kueue.Reason, kueue.Message
	}
}

// ownTerminated returns the end of the executor container. In a pod that starts no container
// again, the last state of a container that waits is its end.
func (f *facts) ownTerminated() *corev1.ContainerStateTerminated {
	state, last := f.main.State.Terminated, f.main.LastTerminationState.Terminated
	switch {
	case state != nil && !f.final && (f.isRestartedByRule(f.main, state) || f.restartsAll()):
		return nil
	case state != nil && isLost(state) && last != nil && last.ContainerID != "" && last.ContainerID == f.main.ContainerID:
		return last // the kubelet's TerminatePod has written over the state of a container that waited
	case state != nil:
		return state
	case f.main.State.Running == nil && f.final:
		return last
	default:
		return nil
	}
}

// pastTerminated returns the end in the last state, if it is not the executor's own.
func (f *facts) pastTerminated() *corev1.ContainerStateTerminated {
	last := f.main.LastTerminationState.Terminated
	if last == nil || last == f.own || f.isRestartedByRule(f.main, last) {
		return nil
	}
	return last
}

// lostReason is the reason that the kubelet gives to the end of a container that it
// cannot find any more (ContainerReasonStatusUnknown).
const lostReason = "ContainerStatusUnknown"

// isLost reports whether the kubelet has made up an end, because it cannot find the
// container any more (its convertToAPIContainerStatuses and TerminatePod). Such an end
// has no container ID and no times, and so it does not say which run has ended.
func isLost(terminated *corev1.ContainerStateTerminated) bool {
	return terminated.Reason == lostReason && terminated.ContainerID == "" && terminated.StartedAt.IsZero() && terminated.FinishedAt.IsZero()
}

// isLost reports whether the status has no container, and no other end than a lost one.
func (f *facts) isLost() bool {
	state, last := f.main.State.Terminated, f.main.LastTerminationState.Terminated
	switch {
	case f.main.ContainerID != "":
		return false
	case state != nil:
		return isLost(state) && (last == nil || isLost(last))
	default:
		return f.main.State.Waiting != nil && last != nil && isLost(last)
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

// A run is one run of the executor container.
type run struct {
	// id is 0 if the run has no known ID, see idOf.
	id uint64
	// restarts is the number of times that the container was restarted before this run.
	restarts int32
}

var idSeed = maphash.MakeSeed()

// idOf identifies a run by the ID that the runtime gave to the container. A
// hash does not keep the status of a pod in memory.
func idOf(containerID string) uint64 {
	if containerID == "" {
		return 0
	}
	return maphash.String(idSeed, containerID)
}

// findRun finds the run that the status of the executor container is about. It has no ID if
// the kubelet has no container to write about.
func (f *facts) findRun() {
	switch {
	case f.main == nil:
	case f.main.ContainerID == "" && f.own != nil:
		f.run = run{id: idOf(f.own.ContainerID), restarts: f.main.RestartCount}
	default:
		f.run = run{id: idOf(f.main.ContainerID), restarts: f.main.RestartCount}
	}
}

// restartingAllContainers is the reason that the kubelet gives to a container
// which it has stopped in order to start all containers of the pod again
// (KEP-5532).
const restartingAllContainers = "RestartingAllContainers"

// hasFailedForGood reports whether a container ended with a failure and will not
// be started again. Spark asks for a pod that restarts nothing; since then a container
// may have a policy (KEP-753) and rules (KEP-5307).
func (f *facts) hasFailedForGood() bool {
	if f.restartsAll() {
		return false
	}
	for status := range containers(f.pod) {
		if f.failedForGood(status, status.State.Terminated) {
			return true
		}
	}
	return false
}

// failedForGood reports whether an end of a container is a failure after which
// nothing starts it again.
func (f *facts) failedForGood(status *corev1.ContainerStatus, terminated *corev1.ContainerStateTerminated) bool {
	return terminated != nil && terminated.ExitCode != 0 && !f.isFailureRestarted(status, terminated)
}

// isFailureRestarted reports whether the kubelet starts a container of the pod
// again after a failure. It follows ContainerShouldRestart of Kubernetes: the
// restart rules of the container (KEP-5307), then its policy, then the pod's policy.
func (f *facts) isFailureRestarted(status *corev1.ContainerStatus, terminated *corev1.ContainerStateTerminated) bool {
	if f.isRestartedByRule(status, terminated) {
		return true
	}
	policy := f.pod.Spec.RestartPolicy
	if c := containerNamed(f.pod, status.Name); c != nil && c.RestartPolicy != nil {
		policy = corev1.RestartPolicy(*c.RestartPolicy)
	}
	return policy != corev1.RestartPolicyNever // but OnFailure, or Always, which is the default
}

// isRestartedByRule reports whether a restart rule of the container starts it again
// after this end, or whether the kubelet stopped it to restart all containers.
func (f *facts) isRestartedByRule(status *corev1.ContainerStatus, terminated *corev1.ContainerStateTerminated) bool {
	if terminated.Reason == restartingAllContainers {
		return true
	}
	_, matches := restartRule(containerNamed(f.pod, status.Name), terminated.ExitCode)
	return matches
}

// restartsAll reports whether the kubelet is about to start all containers of
// the pod again, as its ShouldAllContainersRestart does.
func (f *facts) restartsAll() bool {
	if f.allRestarting {
		return true
	}
	for status := range containers(f.pod) {
		terminated := status.State.Terminated
		if terminated == nil {
			continue
		}
		action, matches := restartRule(containerNamed(f.pod, status.Name), terminated.ExitCode)
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
