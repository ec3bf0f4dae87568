// SPDX-License-Identifier: Apache-2.0

package podstate

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

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
