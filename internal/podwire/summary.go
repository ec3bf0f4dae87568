// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// summarize removes what a Summary leaves out of the metadata and the status.
func summarize(pod *corev1.Pod) {
	meta, status := pod.ObjectMeta, pod.Status
	pod.ObjectMeta = metav1.ObjectMeta{
		Name: meta.Name, Namespace: meta.Namespace, UID: meta.UID, ResourceVersion: meta.ResourceVersion,
		CreationTimestamp: meta.CreationTimestamp, DeletionTimestamp: meta.DeletionTimestamp, Labels: meta.Labels,
	}
	if end, ok := meta.Annotations[metav1.InitialEventsAnnotationKey]; ok {
		pod.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: end}
	}
	pod.Status = corev1.PodStatus{
		Phase: status.Phase, Reason: status.Reason, Message: status.Message, PodIP: status.PodIP,
		InitContainerStatuses: summariesOf(status.InitContainerStatuses),
		ContainerStatuses:     summariesOf(status.ContainerStatuses),
	}
	for _, c := range status.Conditions {
		pod.Status.Conditions = append(pod.Status.Conditions,
			corev1.PodCondition{Type: c.Type, Status: c.Status, Reason: c.Reason, Message: c.Message})
	}
}

func summariesOf(statuses []corev1.ContainerStatus) (kept []corev1.ContainerStatus) {
	for _, s := range statuses {
		kept = append(kept, corev1.ContainerStatus{
			Name: s.Name, State: s.State, LastTerminationState: s.LastTerminationState,
			RestartCount: s.RestartCount, ContainerID: s.ContainerID,
		})
	}
	return kept
}

// summary decodes the parts of a pod that a Summary has.
func (d *decoder) summary(parts podParts, memory *podMemory) *corev1.Pod {
	pod := memory.newPod()
	cached, ok := d.summaryOfMetadata(&pod.ObjectMeta, parts.metadata, memory)
	if !ok || !d.readSpec(pod, parts.spec, d.known.add(0, parts.spec), cached) || !d.summaryOfStatus(&pod.Status, parts.status, memory) {
		return nil
	}
	return pod
}

// summaryOfMetadata also returns what the receiver has of the pod.
func (d *decoder) summaryOfMetadata(meta *metav1.ObjectMeta, m message, memory *podMemory) (cached CachedPod, ok bool) {
	var seen header
	var labels message
	for len(m) > 0 {
		rest := m
		f, ok := m.next()
		if !ok {
			return cached, false
		}
		switch f.key() {
		case metaName:
			seen.name = f.value
		case metaNamespace:
			meta.Namespace = d.strings.get(f.value)
		case metaUID:
			seen.uid = f.value
		case metaResourceVersion:
			meta.ResourceVersion = string(f.value)
		case metaCreationTimestamp:
			ok = meta.CreationTimestamp.Unmarshal(f.value) == nil
		case metaDeletionTimestamp:
			ok = meta.Unmarshal(f.whole) == nil
		case metaLabels:
			ok = labels == nil // or they are in two places
			labels, m = rest.run(metaLabels)
		case metaAnnotations:
			ok = keepEndOfList(meta, f)
		default:
			ok = metadataShape().fitsField(f)
		}
		if !ok {
			return cached, false
		}
	}
	cached = d.lookup(seen)
	meta.Name, meta.UID = d.names(seen, cached)
	if labels == nil {
		return cached, true
	}
	meta.Labels, ok = d.readLabels(labels, meta.Name, memory)
	return cached, ok
}

// keepEndOfList reads an annotation if it marks the end of a streaming list.
func keepEndOfList(meta *metav1.ObjectMeta, annotation field) bool {
	key, value, ok := mapEntry(annotation.value)
	if ok && string(key) == metav1.InitialEventsAnnotationKey {
		meta.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: string(value)}
	}
	return ok
}

func (d *decoder) summaryOfStatus(status *corev1.PodStatus, m message, memory *podMemory) bool {
	for len(m) > 0 {
		f, ok := m.next()
		if !ok {
			return false
		}
		switch f.key() {
		case statusPhase:
			status.Phase = corev1.PodPhase(d.strings.get(f.value))
		case statusMessage:
			status.Message = d.strings.get(f.value)
		case statusReason:
			status.Reason = d.strings.get(f.value)
		case statusPodIP:
			status.PodIP = string(f.value)
		case statusConditions:
			if status.Conditions == nil {
				status.Conditions = memory.newConditions()
			}
			last := memory.lastCondition(len(status.Conditions))
			status.Conditions = append(status.Conditions, corev1.PodCondition{})
			ok = d.condition(&status.Conditions[len(status.Conditions)-1], &last, f.value)
		case statusContainerStatuses:
			if status.ContainerStatuses == nil {
				status.ContainerStatuses = memory.newStatuses()
			}
			status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{})
			ok = d.summaryOfContainer(&status.ContainerStatuses[len(status.ContainerStatuses)-1], f.value)
		case statusInitContainerStatuses:
			status.InitContainerStatuses = append(status.InitContainerStatuses, corev1.ContainerStatus{})
			ok = d.summaryOfContainer(&status.InitContainerStatuses[len(status.InitContainerStatuses)-1], f.value)
		default:
			ok = statusShape().fitsField(f)
		}
		if !ok {
			return false
		}
	}
	return true
}

func (d *decoder) summaryOfContainer(status *corev1.ContainerStatus, m message) bool {
	for len(m) > 0 {
		f, ok := m.next()
		if !ok {
			return false
		}
		switch {
		case f.key() == containerStatusName:
			status.Name = d.strings.get(f.value)
		case f.number == containerStatusState, f.number == containerStatusLastState,
			f.number == containerStatusRestartCount, f.number == containerStatusContainerID:
			ok = status.Unmarshal(f.whole) == nil
		default:
			ok = containerShape().fitsField(f)
		}
		if !ok {
			return false
		}
	}
	return true
}
