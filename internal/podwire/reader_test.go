// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"

	"github.com/executorpods/watchsource/internal/test/podtest"
)

// A Reader has nothing of the pods that it has read before into the same memory, and changes no
// string that it has returned.
func TestReaderForgetsEarlierPods(t *testing.T) {
	var pods []*corev1.Pod
	for seed := range uint64(100) {
		pods = append(pods, podtest.Filled(seed))
	}
	full, empty := podtest.Executor(1, 1, true), podtest.Executor(1, 1, true)
	end := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: "Error", ContainerID: "1"}}
	of := corev1.ContainerStatus{Name: "a", State: end, LastTerminationState: end, RestartCount: 3, ContainerID: "2"}
	full.Status = corev1.PodStatus{
		Phase: corev1.PodFailed, Message: "message", Reason: "reason", PodIP: "10.0.0.1",
		Conditions:        []corev1.PodCondition{{Type: "A", Status: "True", Reason: "b", Message: "c"}, {Type: "D"}},
		ContainerStatuses: []corev1.ContainerStatus{of, of}, InitContainerStatuses: []corev1.ContainerStatus{of, of},
	}
	full.Spec.InitContainers = []corev1.Container{{Name: "a", RestartPolicy: new(corev1.ContainerRestartPolicyAlways)}}
	full.DeletionTimestamp = &full.CreationTimestamp
	empty.Status = corev1.PodStatus{
		Conditions: make([]corev1.PodCondition, 2), ContainerStatuses: make([]corev1.ContainerStatus, 2), InitContainerStatuses: make([]corev1.ContainerStatus, 2),
	}
	other := full.DeepCopy()
	other.Status.Conditions[0] = corev1.PodCondition{Type: "B", Status: "Else", Reason: "d", Message: "e"} // of the same lengths
	other.Status.ContainerStatuses[0].Name = "b"
	pods = append(pods, full, empty, &corev1.Pod{}, other, full)
	d := newDecoder(Wire, nil, nil)
	var r Reader
	var was []*corev1.Pod // the pods that the reader has returned, copied
	for i, pod := range pods {
		raw, err := pod.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		wire := d.object(wrapped("Pod", raw)).(*Pod)
		got, want := r.Read(wire), executorPart(pod)
		if !apiequality.Semantic.DeepEqual(got, want) {
			t.Errorf("pod %d:\ngot  %+v\nwant %+v", i, got, want)
		}
		was = append(was, got.DeepCopy())
	}
	for i, pod := range pods {
		if !apiequality.Semantic.DeepEqual(was[i], executorPart(pod)) {
			t.Errorf("pod %d has changed since it was read:\nis  %+v\nwas %+v", i, was[i], executorPart(pod))
		}
	}
}
