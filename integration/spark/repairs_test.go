// SPDX-License-Identifier: Apache-2.0

package spark

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
)

// A repair is a documented difference between Spark's states and those of watchsource.
type repair struct {
	name string
	doc  string // words of the comment of watchsource.State
	// apply returns the state that the comment demands, if the difference applies. The
	// state before the repair is that of Spark after the earlier repairs.
	apply func(c *comparison, before outcome) (outcome, bool)
}

// outcome is the part of a state that both sides have.
type outcome struct {
	state    watchsource.State
	exitCode int32
}

var (
	pending = outcome{watchsource.Pending, watchsource.UnknownExitCode}
	running = outcome{watchsource.Running, watchsource.UnknownExitCode}
	failed  = outcome{watchsource.Failed, watchsource.UnknownExitCode}
	unknown = outcome{watchsource.Unknown, watchsource.UnknownExitCode}
	nothing = outcome{exitCode: -2} // Spark has no state, or a state that watchsource lacks
)

// repairs are in ascending order of authority.
var repairs = []repair{
	{name: "deleted when gone", doc: "counts as Deleted only once the API server has reported that it is gone", apply: func(c *comparison, before outcome) (outcome, bool) {
		return c.plain, c.deleted && c.ours.Terminating
	}},
	{name: "bad executor id", doc: "if its executor id is missing or is not a number", apply: func(c *comparison, before outcome) (outcome, bool) {
		return c.plain, before == nothing && c.badID && strings.Contains(c.ours.Problem, "label "+watchsource.LabelExecutorID)
	}},
	{name: "no phase", doc: "Unknown is the phase Unknown, no phase, or", apply: func(c *comparison, before outcome) (outcome, bool) {
		return unknown, c.phase() == "" && c.hasStatus()
	}},
	{name: "no status", doc: "a pod without any status", apply: func(c *comparison, before outcome) (outcome, bool) {
		return pending, c.phase() == "" && !c.hasStatus()
	}},
	{name: "phase Terminating", doc: "a phase that Kubernetes does not define", apply: func(c *comparison, before outcome) (outcome, bool) {
		return unknown, c.phase() == "terminating"
	}},
	{name: "failure in a deleted pod", doc: "only if the pod is not being deleted", apply: func(c *comparison, before outcome) (outcome, bool) {
		return running, c.phase() == "running" && c.pod.DeletionTimestamp != nil && before.state == watchsource.Failed
	}},
	{name: "container that the kubelet restarts", doc: "if the kubelet may not start the container again", apply: func(c *comparison, before outcome) (outcome, bool) {
		return running, c.phase() == "running" && before.state == watchsource.Failed && !c.failedForGood(c.pod.Status.ContainerStatuses)
	}},
	{name: "executor that a rule restarts", doc: "An end does not count if a restart rule then starts the container again", apply: func(c *comparison, before outcome) (outcome, bool) {
		restarts := c.isStarting() && c.main.status != nil && c.main.status.State.Terminated != nil && c.end() == nil
		if !c.only && c.failedForGood(c.pod.Status.ContainerStatuses) {
			return failed, restarts // by another container, so without an exit code
		}
		return running, restarts
	}},
	{name: "runs in the phase Pending", doc: "the executor is Running in the phase Pending too", apply: func(c *comparison, before outcome) (outcome, bool) {
		return running, c.phase() == "pending" && c.main.status != nil && c.main.status.State.Running != nil
	}},
	{name: "container with the policy Never", doc: "its policy (KEP-753) or the pod's policy", apply: func(c *comparison, before outcome) (outcome, bool) {
		return failed, !c.only && c.phase() == "running" && c.pod.Spec.RestartPolicy != corev1.RestartPolicyNever &&
			c.failedForGood(c.pod.Status.ContainerStatuses)
	}},
	{name: "failure in the phase Pending", doc: "fails the executor in the phase Pending too", apply: func(c *comparison, before outcome) (outcome, bool) {
		return failed, !c.only && c.phase() == "pending" && c.failedForGood(c.pod.Status.ContainerStatuses)
	}},
	{name: "failure of an init container", doc: "so does the failure of an init container", apply: func(c *comparison, before outcome) (outcome, bool) {
		return failed, !c.only && c.isStarting() && c.failedForGood(c.pod.Status.InitContainerStatuses)
	}},
	{name: "own end", doc: "the end of the executor container decides, whatever the phase", apply: func(c *comparison, before outcome) (outcome, bool) {
		return outcomeOf(c.ownEnd()), c.main.found == byName && c.ownEnd() != nil
	}},
	{name: "end in the last state", doc: "waits has ended, and its last state is the end", apply: func(c *comparison, before outcome) (outcome, bool) {
		return outcomeOf(c.lastStateEnd()), c.main.found == byName && c.lastStateEnd() != nil
	}},
	{name: "only container", doc: "the only container of the pod is the executor", apply: func(c *comparison, before outcome) (outcome, bool) {
		return outcomeOf(c.end()), c.main.found == alone && c.end() != nil
	}},
	{name: "executor as a native sidecar", doc: "may be a restartable init container", apply: func(c *comparison, before outcome) (outcome, bool) {
		return outcomeOf(c.end()), c.main.found == inInit && c.end() != nil
	}},
	{name: "verdict", doc: "A verdict on the pod decides over exit code 0", apply: func(c *comparison, before outcome) (outcome, bool) {
		return outcome{watchsource.Failed, before.exitCode}, c.phase() == "failed" && c.pod.Status.Reason != "" && before.state == watchsource.Succeeded
	}},
	{name: "end is final", doc: "An end is final for its run", apply: func(c *comparison, before outcome) (outcome, bool) {
		return c.last.outcome, c.lastEndStands(before)
	}},
}

func outcomeOf(end *corev1.ContainerStateTerminated) outcome {
	switch {
	case end == nil:
		return unknown
	case end.ExitCode == 0:
		return outcome{watchsource.Succeeded, 0}
	default:
		return outcome{watchsource.Failed, end.ExitCode}
	}
}

// found says where the status of the executor container is.
type found int

const (
	nowhere found = iota
	byName
	inInit
	alone // under another name
)

type executorStatus struct {
	found  found
	status *corev1.ContainerStatus
}

func findExecutor(pod *corev1.Pod, name string) executorStatus {
	status := func(statuses []corev1.ContainerStatus) *corev1.ContainerStatus {
		if i := slices.IndexFunc(statuses, func(s corev1.ContainerStatus) bool { return s.Name == name }); i >= 0 {
			return &statuses[i]
		}
		return nil
	}
	if s := status(pod.Status.InitContainerStatuses); s != nil {
		return executorStatus{inInit, s}
	}
	if s := status(pod.Status.ContainerStatuses); s != nil {
		return executorStatus{byName, s}
	}
	if len(pod.Status.ContainerStatuses) == 1 && specOf(pod, name) == nil {
		return executorStatus{alone, &pod.Status.ContainerStatuses[0]}
	}
	return executorStatus{}
}

func specOf(pod *corev1.Pod, name string) *corev1.Container {
	for _, c := range append(slices.Clip(pod.Spec.Containers), pod.Spec.InitContainers...) {
		if c.Name == name {
			return &c
		}
	}
	return nil
}

// comparison is one pod in its present state, read by both sides.
type comparison struct {
	pod       *corev1.Pod
	container string // name of the executor container
	only      bool   // WithExecutorContainerOnly, and no checkAllContainers
	main      executorStatus
	last      lastEnd
	knowsRun  bool // an earlier state has shown a run of the executor container
	ours      watchsource.Executor
	spark     Answer

	theirs  outcome // Spark's, or nothing
	deleted bool    // PodDeleted is Spark's state
	badID   bool    // Spark leaves the pod out because of its executor id, or throws an exception
	plain   outcome // Spark's without a deletion timestamp and with a good executor id
}

// lastEnd is the last end that was shown of the executor, if the pod has not gone on from it.
type lastEnd struct {
	outcome  outcome
	own      bool   // of the container, not only of the pod
	run      string // container ID, "" if unknown
	restarts int32
	runsOn   bool // the executor was to be started again after it
}

// lastEndStands reports whether the last end outlasts the present state of the pod.
func (c *comparison) lastEndStands(now outcome) bool {
	switch {
	case !c.last.outcome.state.Ended() || !c.isOfLastRun() || !now.contradicts(c.last.outcome):
		return false
	case c.last.runsOn:
		return c.last.own && now.state.Ended()
	default:
		isAboutToRun := c.main.status != nil && c.main.status.State.Running == nil && c.end() == nil && !c.isFinal()
		return !isAboutToRun
	}
}

// isOfLastRun reports whether the pod is about the run that the last end was of.
func (c *comparison) isOfLastRun() bool {
	switch {
	case c.main.status == nil:
		return true
	case c.last.run == "":
		return c.main.status.RestartCount == c.last.restarts
	default:
		return c.run() == c.last.run
	}
}

func (o outcome) contradicts(end outcome) bool {
	if o.state == end.state && end.exitCode == watchsource.UnknownExitCode {
		return o.state == watchsource.Failed && o.exitCode == 0
	}
	return o != end
}

// run identifies the run that the status is about.
func (c *comparison) run() string { return c.main.status.ContainerID }

func (c *comparison) phase() string { return strings.ToLower(string(c.pod.Status.Phase)) }

func (c *comparison) hasStatus() bool {
	status := &c.pod.Status
	return status.Reason != "" || len(status.Conditions)+len(status.ContainerStatuses)+len(status.InitContainerStatuses) > 0
}

func (c *comparison) isStarting() bool { return c.phase() == "pending" || c.phase() == "running" }

func (c *comparison) isFinal() bool {
	return c.pod.DeletionTimestamp != nil || c.phase() == "failed" || c.phase() == "succeeded"
}

func (c *comparison) end() *corev1.ContainerStateTerminated {
	if end := c.ownEnd(); end != nil {
		return end
	}
	return c.lastStateEnd()
}

func (c *comparison) ownEnd() *corev1.ContainerStateTerminated {
	if c.main.status == nil {
		return nil
	}
	end := c.main.status.State.Terminated
	if end != nil && !c.isFinal() && (c.restartedByRule(c.main.status.Name, end) || c.restartsAll()) {
		return nil
	}
	return end
}

func (c *comparison) lastStateEnd() *corev1.ContainerStateTerminated {
	if s := c.main.status; s != nil && s.State.Terminated == nil && s.State.Running == nil && c.isFinal() {
		if end := s.LastTerminationState.Terminated; end != nil && !(c.knowsRun && end.ContainerID != s.ContainerID) {
			return end // otherwise a run before a container that was created and not started
		}
	}
	return nil
}

// ruleAction returns the action of the rule that applies to an end of a container.
func (c *comparison) ruleAction(container string, end *corev1.ContainerStateTerminated) corev1.ContainerRestartRuleAction {
	spec := specOf(c.pod, container)
	if spec == nil || end == nil {
		return ""
	}
	for _, rule := range spec.RestartPolicyRules {
		in := rule.ExitCodes.Operator == corev1.ContainerRestartRuleOnExitCodesOpIn
		if slices.Contains(rule.ExitCodes.Values, end.ExitCode) == in {
			return rule.Action
		}
	}
	return ""
}

func (c *comparison) restartedByRule(container string, end *corev1.ContainerStateTerminated) bool {
	action := c.ruleAction(container, end)
	return end.Reason == "RestartingAllContainers" ||
		action == corev1.ContainerRestartRuleActionRestart || action == corev1.ContainerRestartRuleActionRestartAllContainers
}

func (c *comparison) restartsAll() bool {
	restarts := func(status corev1.ContainerStatus) bool {
		return c.ruleAction(status.Name, status.State.Terminated) == corev1.ContainerRestartRuleActionRestartAllContainers
	}
	announced := func(condition corev1.PodCondition) bool {
		return condition.Type == corev1.AllContainersRestarting && condition.Status == corev1.ConditionTrue
	}
	return slices.ContainsFunc(c.pod.Status.Conditions, announced) ||
		slices.ContainsFunc(c.pod.Status.ContainerStatuses, restarts) || slices.ContainsFunc(c.pod.Status.InitContainerStatuses, restarts)
}

// failedForGood reports whether a container has failed that nothing starts again. In a pod
// that is deleted such a failure does not count.
func (c *comparison) failedForGood(statuses []corev1.ContainerStatus) bool {
	return c.pod.DeletionTimestamp == nil && !c.restartsAll() && slices.ContainsFunc(statuses, func(status corev1.ContainerStatus) bool {
		end := status.State.Terminated
		if end == nil || end.ExitCode == 0 || c.restartedByRule(status.Name, end) {
			return false
		}
		policy := string(c.pod.Spec.RestartPolicy)
		if spec := specOf(c.pod, status.Name); spec != nil && spec.RestartPolicy != nil {
			policy = string(*spec.RestartPolicy)
		}
		return policy == string(corev1.RestartPolicyNever)
	})
}
