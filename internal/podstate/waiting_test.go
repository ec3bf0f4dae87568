// SPDX-License-Identifier: Apache-2.0

package podstate

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource/internal/podstate/choice"
)

// A state that takes the place of one with an end shows that end, so a slow store must receive it.
func TestMergedStateShowsTheEnd(t *testing.T) {
	const id = "containerd://1"
	rules := Rules{Executor: choice.Named("executor")}
	state := func(version string, state corev1.ContainerState) *corev1.Pod {
		pod := &corev1.Pod{}
		pod.UID, pod.ResourceVersion = "u", version
		pod.Spec.RestartPolicy = corev1.RestartPolicyNever
		pod.Status.Phase = corev1.PodRunning
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "executor", ContainerID: id, State: state}}
		return pod
	}
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	failed := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, ContainerID: id}}
	first := rules.Wait(nil, state("1", running))
	if first.HasToPass() {
		t.Error("a container that runs has to pass, want it to be optional")
	}
	ended := rules.Wait(first, state("2", failed))
	if !ended.HasToPass() {
		t.Error("the end of the container is optional, want that it has to pass")
	}
	later := rules.Wait(ended, state("3", failed))
	if later.HasToPass() {
		t.Error("a second state with the same end has to pass, want it to be optional")
	}
	if !later.MayReplace(ended) {
		t.Fatal("a second state with the same end does not replace the first, want it to")
	}
	if later.HasToPass() {
		t.Error("MayReplace has changed the state, want it to only report")
	}
	if later.Replace(ended); !later.HasToPass() {
		t.Error("a state that has replaced one with an end is optional, want that it has to pass")
	}
}

// The first state that waits may not name its run, and then only the store knows which run has ended
// in the next state's last state. That state must neither be merged nor dropped: a slow store that
// has seen run 1 would miss its end.
func TestEndOfARunThatOnlyTheStoreKnows(t *testing.T) {
	rules := Rules{Executor: choice.Named("executor")}
	state := func(version, id string, restarts int32, now, last corev1.ContainerState) *corev1.Pod {
		pod := &corev1.Pod{}
		pod.UID, pod.ResourceVersion = "u", version
		pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
		pod.Status.Phase = corev1.PodRunning
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
			Name: "executor", ContainerID: id, RestartCount: restarts, State: now, LastTerminationState: last,
		}}
		return pod
	}
	runs := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	waits := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}
	ended := func(id string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ContainerID: id, ExitCode: 137, Reason: "ContainerStatusUnknown"}}
	}
	pods := []*corev1.Pod{
		state("1", "containerd://1", 1, runs, ended("containerd://0")),
		state("2", "", 1, waits, ended("containerd://0")),
		state("3", "containerd://3", 3, runs, ended("")), // run 1 has ended
		state("4", "containerd://3", 3, waits, ended("containerd://3")),
	}
	var known Known
	for i, want := range []int32{0, 0, 1, 2} {
		now := rules.Read(pods[i], &known)
		known = Known{Seen: true, ResourceVersion: pods[i].ResourceVersion, Reading: now.Reading, Ends: now.Ends}
		if known.Ends.Shown != want {
			t.Fatalf("a store that receives each state shows %d ends in state %d, want %d", known.Ends.Shown, i+1, want)
		}
	}
	second := rules.Wait(nil, pods[1])
	third := rules.Wait(second, pods[2])
	fourth := rules.Wait(third, pods[3])
	if !third.HasToPass() {
		t.Error("the state with the end of run 1 is optional, want that it has to pass")
	}
	if fourth.MayReplace(third) {
		t.Error("the state with the end of run 3 takes the place of that with the end of run 1")
	}
}

// stateWith has the statuses of a pod that restarts its containers.
func stateWith(version string, statuses ...corev1.ContainerStatus) *corev1.Pod {
	pod := &corev1.Pod{}
	pod.UID, pod.ResourceVersion = "u", version
	pod.Spec.RestartPolicy = corev1.RestartPolicyAlways
	pod.Status.Phase = corev1.PodRunning
	pod.Status.ContainerStatuses = statuses
	return pod
}

func runs(name, id string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, ContainerID: id, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
}

func ended(name, id string) corev1.ContainerStatus {
	return corev1.ContainerStatus{Name: name, ContainerID: id, State: corev1.ContainerState{
		Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, ContainerID: id},
	}}
}

// runsAgain is a run after an end that the last state shows.
func runsAgain(name, id, before string) corev1.ContainerStatus {
	status := runs(name, id)
	status.RestartCount, status.LastTerminationState = 1, ended(name, before).State
	return status
}

type statuses = []corev1.ContainerStatus

// mergedStates are statuses of a pod with several containers, of which any may be the executor. The second ones take the
// place of the first only if they hide no end and lack no container.
var mergedStates = []struct {
	name         string
	before, then statuses
	merged       bool
}{
	{name: "nothing changes", before: statuses{runs("a", "1"), runs("b", "2")}, then: statuses{runs("a", "1"), runs("b", "2")}, merged: true},
	{name: "the first statuses", then: statuses{runs("a", "1"), runs("b", "2")}, merged: true},
	{name: "another container", before: statuses{runs("a", "1")}, then: statuses{runs("a", "1"), runs("b", "2")}, merged: true},
	{name: "an end stays", before: statuses{runs("a", "1"), ended("b", "2")}, then: statuses{runs("a", "1"), ended("b", "2")}, merged: true},
	{name: "an end of another container follows", before: statuses{ended("a", "1"), runs("b", "2")}, then: statuses{ended("a", "1"), ended("b", "2")}, merged: true},
	{name: "the first runs again", before: statuses{ended("a", "1"), runs("b", "2")}, then: statuses{runs("a", "3"), runs("b", "2")}},
	{name: "the last runs again", before: statuses{runs("a", "1"), ended("b", "2")}, then: statuses{runs("a", "1"), runs("b", "3")}},
	{name: "one status is gone", before: statuses{runs("a", "1"), runs("b", "2")}, then: statuses{runs("a", "1")}},
	{name: "all statuses are gone", before: statuses{runs("a", "1"), runs("b", "2")}},
}

func TestMergedStatesOfAnyContainer(t *testing.T) {
	for _, test := range mergedStates {
		first := AnyContainer.Wait(nil, stateWith("1", runs("a", "0"), runs("b", "0")))
		if len(test.before) == 0 {
			first = AnyContainer.Wait(nil, stateWith("1"))
		}
		before := AnyContainer.Wait(first, stateWith("2", test.before...))
		then := AnyContainer.Wait(before, stateWith("3", test.then...))
		if got := then.MayReplace(before); got != test.merged {
			t.Errorf("%s: the state may replace the one before: %v, want %v", test.name, got, test.merged)
		}
		wasNeeded := before.HasToPass()
		if then.Replace(before); wasNeeded && !then.HasToPass() {
			t.Errorf("%s: a state that replaced one with an end is optional, want that it has to pass", test.name)
		}
	}
}

// Without a first state that has no statuses, an end in the next one would be history.
func TestStateBeforeTheFirstStatusesIsNeeded(t *testing.T) {
	first := AnyContainer.Wait(nil, stateWith("1"))
	if then := AnyContainer.Wait(first, stateWith("2", runsAgain("a", "3", "1"), runs("b", "2"))); then.MayReplace(first) {
		t.Error("the first statuses, with an end, may replace a state without statuses, want both kept")
	}
}
