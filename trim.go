// SPDX-License-Identifier: Apache-2.0

package watchsource

import corev1 "k8s.io/api/core/v1"

// trimmed returns the pod without what nobody reads. It copies the pod instead
// of changing it, because a fake hands out pods that its test still holds.
func (w *Watcher) trimmed(pod *corev1.Pod) *corev1.Pod {
	if !w.trimPods && pod.ManagedFields == nil {
		return pod
	}
	kept := *pod
	kept.ManagedFields = nil
	if w.trimPods {
		kept.Spec = corev1.PodSpec{
			NodeName:      pod.Spec.NodeName,
			RestartPolicy: pod.Spec.RestartPolicy,
			Containers:    selfRestarting(pod.Spec.Containers),
		}
	}
	return &kept
}

// selfRestarting keeps the containers that do not follow the pod's restart
// policy, of which there are hardly ever any.
func selfRestarting(containers []corev1.Container) []corev1.Container {
	var kept []corev1.Container
	for i := range containers {
		if c := &containers[i]; c.RestartPolicy != nil {
			kept = append(kept, corev1.Container{Name: c.Name, RestartPolicy: c.RestartPolicy})
		}
	}
	return kept
}
