// SPDX-License-Identifier: Apache-2.0

package podwire

import corev1 "k8s.io/api/core/v1"

// podMemory is the memory of one pod. The decoder decodes each pod of a stream into it if
// the reader does not keep them. A nil podMemory allocates memory for each.
type podMemory struct {
	pod        corev1.Pod
	labels     map[string]string
	entries    []labelEntry // of labels, in the order of the pod; none if a key occurs twice
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

// newConditions returns an empty slice.
func (m *podMemory) newConditions() []corev1.PodCondition {
	if m == nil {
		return nil
	}
	return m.conditions[:0]
}

// lastCondition returns the i-th condition of the pod before, if there is one.
func (m *podMemory) lastCondition(i int) corev1.PodCondition {
	if m == nil || i >= len(m.conditions) {
		return corev1.PodCondition{}
	}
	return m.conditions[i]
}

// newStatuses returns an empty slice.
func (m *podMemory) newStatuses() []corev1.ContainerStatus {
	if m == nil {
		return nil
	}
	return m.statuses[:0]
}

// labelEntry is a label.
type labelEntry struct{ key, value string }

// readLabels reads the labels of a pod with a name. In memory that is used again, most labels
// are those of the pod before.
func (d *decoder) readLabels(run message, name string, m *podMemory) (map[string]string, bool) {
	if m == nil {
		labels := make(map[string]string, min(run.count(), mostExpected))
		return labels, d.readMap(labels, run, name)
	}
	i := 0
	for rest := run; len(rest) > 0; i++ {
		entry, _ := rest.next()
		key, value, ok := mapEntry(entry.value)
		if !ok {
			return nil, false
		}
		if i == len(m.entries) || m.entries[i].key != string(key) {
			return d.replaceLabels(run, name, m)
		}
		if before := &m.entries[i]; before.value != string(value) {
			before.value = d.valueOf(value, name)
			m.labels[before.key] = before.value
		}
	}
	if i < len(m.entries) {
		return d.replaceLabels(run, name, m)
	}
	return m.labels, true
}

// replaceLabels reads labels whose keys differ from those of the pod before.
func (d *decoder) replaceLabels(run message, name string, m *podMemory) (map[string]string, bool) {
	if m.labels == nil {
		m.labels = map[string]string{}
	}
	clear(m.labels)
	m.entries = m.entries[:0]
	for len(run) > 0 {
		entry, _ := run.next()
		key, value, ok := mapEntry(entry.value)
		if !ok {
			m.entries = m.entries[:0]
			return nil, false
		}
		read := labelEntry{d.strings.get(key), d.valueOf(value, name)}
		m.labels[read.key] = read.value
		m.entries = append(m.entries, read)
	}
	if len(m.labels) != len(m.entries) {
		m.entries = m.entries[:0]
	}
	return m.labels, true
}
