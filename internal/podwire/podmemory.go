// SPDX-License-Identifier: Apache-2.0

package podwire

import corev1 "k8s.io/api/core/v1"

// podMemory is the memory of one pod. The decoder decodes each pod of a stream into it if
// the reader does not keep them. A nil podMemory allocates memory for each.
type podMemory struct {
	pod        corev1.Pod
	labels     map[string]string
	conditions [expectedConditions]corev1.PodCondition
	statuses   [expectedContainers]corev1.ContainerStatus
}

// A pod rarely has more of them.
const (
	expectedConditions = 8
	expectedContainers = 2
)

// newPod returns an empty pod.
func (m *podMemory) newPod() *corev1.Pod {
	if m == nil {
		return new(corev1.Pod)
	}
	m.pod = corev1.Pod{}
	return &m.pod
}

// newLabels returns an empty map for n labels.
func (m *podMemory) newLabels(n int) map[string]string {
	if m == nil {
		return make(map[string]string, min(n, mostExpected))
	}
	if m.labels == nil {
		m.labels = make(map[string]string, min(n, mostExpected))
	}
	clear(m.labels)
	return m.labels
}

// newConditions returns an empty slice.
func (m *podMemory) newConditions() []corev1.PodCondition {
	if m == nil {
		return nil
	}
	return m.conditions[:0]
}

// newStatuses returns an empty slice.
func (m *podMemory) newStatuses() []corev1.ContainerStatus {
	if m == nil {
		return nil
	}
	return m.statuses[:0]
}
