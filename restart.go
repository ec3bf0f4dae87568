// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

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
