// SPDX-License-Identifier: Apache-2.0

package podwire

import corev1 "k8s.io/api/core/v1"

// A Form says which parts of a pod are kept.
type Form uint8

const (
	Full    Form = iota // all but managedFields
	Trimmed             // without the spec, but for what decides about restarts and where the pod runs
	Summary             // of a trimmed pod, only the metadata and the status that a store reads
)

// Trim removes the parts that the form leaves out. It does not write to the slices and
// maps below the pod, so a shallow copy may be trimmed.
func (f Form) Trim(pod *corev1.Pod) {
	pod.ManagedFields = nil
	if f != Full {
		pod.Spec = corev1.PodSpec{
			NodeName:       pod.Spec.NodeName,
			RestartPolicy:  pod.Spec.RestartPolicy,
			InitContainers: policies(pod.Spec.InitContainers, false),
			Containers:     policies(pod.Spec.Containers, len(pod.Spec.Containers) > 1),
		}
	}
	if f == Summary {
		summarize(pod)
	}
}

// policies keeps the name, policy and rules of the containers that have a restart policy,
// or of all containers. If a pod has several, their names identify the executor.
func policies(containers []corev1.Container, all bool) []corev1.Container {
	var kept []corev1.Container
	for i := range containers {
		if c := &containers[i]; all || c.RestartPolicy != nil {
			kept = append(kept, corev1.Container{Name: c.Name, RestartPolicy: c.RestartPolicy, RestartPolicyRules: c.RestartPolicyRules})
		}
	}
	return kept
}
