// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

func containersOf(pod *corev1.Pod) []string {
	names := []string{podtest.ExecutorContainer}
	for _, statuses := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for i := range statuses {
			names = append(names, statuses[i].Name)
		}
	}
	return names[:min(len(names), 3)]
}

func policiesOf(containers []corev1.Container) (policies []corev1.Container) {
	for _, c := range containers {
		policies = append(policies, corev1.Container{Name: c.Name, RestartPolicy: c.RestartPolicy, RestartPolicyRules: c.RestartPolicyRules})
	}
	return policies
}

// executorPart returns the part of a pod that Reader reads.
func executorPart(pod *corev1.Pod) *corev1.Pod {
	part := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
			CreationTimestamp: pod.CreationTimestamp, DeletionTimestamp: pod.DeletionTimestamp,
		},
		Spec: corev1.PodSpec{
			NodeName: pod.Spec.NodeName, RestartPolicy: pod.Spec.RestartPolicy,
			InitContainers: policiesOf(pod.Spec.InitContainers), Containers: policiesOf(pod.Spec.Containers),
		},
		Status: corev1.PodStatus{
			Phase: pod.Status.Phase, Reason: pod.Status.Reason, Message: pod.Status.Message, PodIP: pod.Status.PodIP,
			ContainerStatuses: statusParts(pod.Status.ContainerStatuses), InitContainerStatuses: statusParts(pod.Status.InitContainerStatuses),
		},
	}
	for _, c := range pod.Status.Conditions {
		part.Status.Conditions = append(part.Status.Conditions, corev1.PodCondition{Type: c.Type, Status: c.Status, Reason: c.Reason, Message: c.Message})
	}
	return part
}

func statusParts(statuses []corev1.ContainerStatus) (parts []corev1.ContainerStatus) {
	for _, s := range statuses {
		parts = append(parts, corev1.ContainerStatus{
			Name: s.Name, State: s.State, LastTerminationState: s.LastTerminationState, RestartCount: s.RestartCount, ContainerID: s.ContainerID,
		})
	}
	return parts
}
