// SPDX-License-Identifier: Apache-2.0

package spark

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
)

// The names under which the tests look for the executor container. The first one is the
// default of Spark and of watchsource.
const (
	defaultContainer = "spark-kubernetes-executor"
	otherContainer   = "worker"
)

var containerNames = []string{defaultContainer, otherContainer}

// A generator makes pods at random: those that a kubelet reports, and many that none
// does.
type generator struct{ *rand.Rand }

// oneIn returns true in one of n cases.
func (g generator) oneIn(n int) bool { return g.IntN(n) == 0 }

func pick[T any](g generator, choices ...T) T { return choices[g.IntN(len(choices))] }

// states makes a pod and up to two later states of it.
func (g generator) states() []*corev1.Pod {
	pods := []*corev1.Pod{g.pod()}
	for range g.IntN(3) {
		pods = append(pods, g.next(pods[len(pods)-1]))
	}
	return pods
}

func (g generator) pod() *corev1.Pod {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "exec-1", Namespace: "jobs", UID: "u", ResourceVersion: "1",
			Labels: map[string]string{
				watchsource.LabelApp:        "app",
				watchsource.LabelRole:       watchsource.RoleExecutor,
				watchsource.LabelExecutorID: "1",
			},
		},
		Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever},
	}
	if g.oneIn(2) {
		pod.Spec.RestartPolicy = pick(g, corev1.RestartPolicyAlways, corev1.RestartPolicyOnFailure, "")
	}
	if g.oneIn(30) {
		pod.Labels[watchsource.LabelExecutorID] = pick(g, "EXECID", "one", "")
	}
	if g.oneIn(60) {
		delete(pod.Labels, watchsource.LabelExecutorID)
	}
	g.addContainers(pod)
	pod.Status.Phase = g.phase()
	if g.oneIn(4) {
		pod.Status.Reason = pick(g, "Evicted", "DeadlineExceeded", "NodeLost")
	}
	if g.oneIn(5) {
		setDeleting(pod)
	}
	if g.oneIn(20) {
		restarting := corev1.PodCondition{Type: corev1.AllContainersRestarting, Status: pick(g, corev1.ConditionTrue, corev1.ConditionFalse)}
		pod.Status.Conditions = []corev1.PodCondition{restarting}
	}
	if g.oneIn(20) {
		pod.Status.ContainerStatuses = nil
	}
	return pod
}

func (g generator) phase() corev1.PodPhase {
	if g.oneIn(12) {
		return pick[corev1.PodPhase](g, "Unknown", "", "Dreaming", "running", "PENDING", "Terminating")
	}
	return pick(g, corev1.PodPending, corev1.PodRunning, corev1.PodRunning, corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed)
}

func setDeleting(pod *corev1.Pod) {
	pod.DeletionTimestamp = new(metav1.Unix(1_700_000_000, 0))
}

// addContainers adds an executor, or none, and other containers before and after it.
func (g generator) addContainers(pod *corev1.Pod) {
	for i := range g.IntN(3) {
		if g.oneIn(3) {
			g.add(pod, fmt.Sprintf("init-%d", i), true)
		}
	}
	sidecars := g.IntN(6) - 3 // mostly none
	for i := range max(sidecars, 0) {
		if g.oneIn(2) {
			g.add(pod, fmt.Sprintf("before-%d", i), false)
		}
	}
	switch g.IntN(12) {
	case 0: // no executor
	case 1:
		g.add(pod, defaultContainer, true)
	case 2:
		g.add(pod, otherContainer, false)
	default:
		g.add(pod, defaultContainer, false)
	}
	for i := range max(sidecars, 0) {
		g.add(pod, fmt.Sprintf("after-%d", i), false)
	}
}

func (g generator) add(pod *corev1.Pod, name string, init bool) {
	spec := corev1.Container{Name: name}
	if g.oneIn(4) || init && name == defaultContainer {
		policy := pick(g, corev1.ContainerRestartPolicyAlways, corev1.ContainerRestartPolicyOnFailure, corev1.ContainerRestartPolicyNever)
		spec.RestartPolicy = &policy
		if g.oneIn(2) && policy != corev1.ContainerRestartPolicyAlways {
			spec.RestartPolicyRules = []corev1.ContainerRestartRule{g.rule()}
		}
	}
	status := corev1.ContainerStatus{Name: name, RestartCount: int32(g.IntN(3)), State: g.state()}
	status.ContainerID = runID(name, status.RestartCount)
	if g.oneIn(3) {
		status.LastTerminationState = corev1.ContainerState{Terminated: g.end()}
		status.LastTerminationState.Terminated.ContainerID = runID(name, status.RestartCount-1)
	}
	specs, statuses := &pod.Spec.Containers, &pod.Status.ContainerStatuses
	if init {
		specs, statuses = &pod.Spec.InitContainers, &pod.Status.InitContainerStatuses
	}
	if !g.oneIn(20) {
		*specs = append(*specs, spec)
	}
	if !g.oneIn(20) {
		*statuses = append(*statuses, status)
	}
}

func runID(container string, run int32) string {
	return fmt.Sprintf("containerd://%s-%d", container, run)
}

func (g generator) rule() corev1.ContainerRestartRule {
	actions := []corev1.ContainerRestartRuleAction{
		corev1.ContainerRestartRuleActionRestart, corev1.ContainerRestartRuleActionRestart,
		corev1.ContainerRestartRuleActionRestartAllContainers, "Explode",
	}
	return corev1.ContainerRestartRule{
		Action: pick(g, actions...),
		ExitCodes: &corev1.ContainerRestartRuleOnExitCodes{
			Operator: pick(g, corev1.ContainerRestartRuleOnExitCodesOpIn, corev1.ContainerRestartRuleOnExitCodesOpNotIn),
			Values:   []int32{42},
		},
	}
}

func (g generator) state() corev1.ContainerState {
	switch g.IntN(8) {
	case 0:
		return corev1.ContainerState{}
	case 1, 2:
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}
	case 3, 4:
		return corev1.ContainerState{Terminated: g.end()}
	default:
		return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Unix(1_700_000_100, 0)}}
	}
}

func (g generator) end() *corev1.ContainerStateTerminated {
	end := &corev1.ContainerStateTerminated{
		ExitCode:   pick[int32](g, 0, 0, 1, 42, 137, -1073741510),
		StartedAt:  metav1.Unix(1_700_000_100, 0),
		FinishedAt: metav1.Unix(1_700_000_200+int64(g.IntN(100)), 0),
	}
	if g.oneIn(20) {
		end.Reason = "RestartingAllContainers"
	}
	return end
}

// next makes a later state of a pod.
func (g generator) next(pod *corev1.Pod) *corev1.Pod {
	pod = pod.DeepCopy()
	version, _ := strconv.Atoi(pod.ResourceVersion)
	pod.ResourceVersion = strconv.Itoa(version + 1)
	for range 1 + g.IntN(3) {
		switch g.IntN(5) {
		case 0:
			pod.Status.Phase = g.phase()
		case 1:
			setDeleting(pod)
		case 2:
			if g.oneIn(3) {
				pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses = nil, nil
			}
		default:
			g.change(pod.Status.ContainerStatuses)
		}
	}
	return pod
}

// change changes the state of a container: its run goes on or ends, or it runs again.
func (g generator) change(statuses []corev1.ContainerStatus) {
	if len(statuses) == 0 {
		return
	}
	status := &statuses[g.IntN(len(statuses))]
	end, state := status.State.Terminated, g.state()
	// A container that waits keeps its end in the last state. One that has ended and
	// runs again without that contradicts itself.
	waits := state.Running == nil && state.Terminated == nil
	if end != nil && (waits || g.oneIn(2)) {
		status.LastTerminationState.Terminated = end.DeepCopy()
		status.LastTerminationState.Terminated.ContainerID = status.ContainerID
		status.RestartCount++
		status.ContainerID = runID(status.Name, status.RestartCount)
	}
	status.State = state
}
