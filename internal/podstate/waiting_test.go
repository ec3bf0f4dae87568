// SPDX-License-Identifier: Apache-2.0

package podstate

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// A state that takes the place of one with an end shows that end, so a slow store must receive it.
func TestMergedStateShowsTheEnd(t *testing.T) {
	const id = "containerd://1"
	rules := Rules{Container: "executor"}
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
