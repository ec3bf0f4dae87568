// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"flag"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource"
)

// Builders of pods for tables, beside those of podtest.

func status(reason, message string) func(*corev1.Pod) {
	return func(p *corev1.Pod) { p.Status.Reason, p.Status.Message = reason, message }
}

func condition(kind corev1.PodConditionType, status corev1.ConditionStatus, reason string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: kind, Status: status, Reason: reason})
	}
}

// initContainer adds an init container, a native sidecar if it has the restart
// policy Always.
func initContainer(name string, policy corev1.ContainerRestartPolicy, state corev1.ContainerState) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		c := corev1.Container{Name: name}
		if policy != "" {
			c.RestartPolicy = &policy
		}
		p.Spec.InitContainers = append(p.Spec.InitContainers, c)
		p.Status.InitContainerStatuses = append(p.Status.InitContainerStatuses, corev1.ContainerStatus{Name: name, State: state})
	}
}

func containerPolicy(name string, policy corev1.ContainerRestartPolicy) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		for i := range p.Spec.Containers {
			if p.Spec.Containers[i].Name == name {
				p.Spec.Containers[i].RestartPolicy = &policy
			}
		}
	}
}

func restartPolicyAlways(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyAlways }

// lastEnd gives the container that was added last an earlier run.
func lastEnd(code int32, reason string, restarts int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		status := &p.Status.ContainerStatuses[len(p.Status.ContainerStatuses)-1]
		status.LastTerminationState = ended(code, reason)
		status.RestartCount = restarts
	}
}

// restartRule gives the container that was added last the policy Never and a rule.
func restartRule(operator corev1.ContainerRestartRuleOnExitCodesOperator, action corev1.ContainerRestartRuleAction, codes ...int32) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		never := corev1.ContainerRestartPolicyNever
		c := &p.Spec.Containers[len(p.Spec.Containers)-1]
		c.RestartPolicy = &never
		c.RestartPolicyRules = append(c.RestartPolicyRules, corev1.ContainerRestartRule{
			Action:    action,
			ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{Operator: operator, Values: codes},
		})
	}
}

// lastInitEnd gives the init container that was added last an earlier run.
func lastInitEnd(code int32, reason string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.InitContainerStatuses[len(p.Status.InitContainerStatuses)-1].LastTerminationState = ended(code, reason)
	}
}

func ephemeralContainer(name string, state corev1.ContainerState) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		p.Status.EphemeralContainerStatuses = append(p.Status.EphemeralContainerStatuses, corev1.ContainerStatus{Name: name, State: state})
	}
}

// formsOf returns a store for each form in which a store may get and keep a pod.
func formsOf(t *testing.T, p *corev1.Pod, options ...watchsource.StoreOption) map[string]*watchsource.Store {
	t.Helper()
	full, listed := watchsource.NewStore(options...), watchsource.NewStore(options...)
	trimmed := watchsource.NewStore(options...)
	dropped := watchsource.NewStore(append(slices.Clip(options), watchsource.WithoutPods())...)
	selector := selectorOf(t, "")
	watcher := watchsource.NewWatcher(watchsource.Tee(full, &recordingStore{}), selector)
	must(t, watcher.Receive(added(p)))
	watcher = watchsource.NewWatcher(watchsource.Tee(trimmed, dropped), selector, watchsource.WithTrimmedPods())
	must(t, watcher.Receive(added(p.DeepCopy())))
	listed.ReplaceSnapshot([]*corev1.Pod{p})
	wired, wiredAndDropped := watchsource.NewStore(options...), watchsource.NewStore(append(slices.Clip(options),
		watchsource.WithoutPods())...)
	for _, store := range []*watchsource.Store{wired, wiredAndDropped} {
		must(t, watchsource.NewWatcher(store, selector).Receive(watch.Event{Type: watch.Added, Object: inWireForm(t, p)}))
	}
	return map[string]*watchsource.Store{
		"full": full, "listed": listed, "trimmed": trimmed, "dropped": dropped, "in wire form": wired, "in wire form, dropped": wiredAndDropped,
	}
}

var tableFile = flag.String("table", "", "file to which TestExecutorState writes its pods as lines of JSON, for integration/spark")
