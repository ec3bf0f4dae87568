// SPDX-License-Identifier: Apache-2.0

package podtest

import (
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Equal compares two pods without their TypeMeta, which only some clients set.
func Equal(a, b *corev1.Pod) bool {
	a, b = a.DeepCopy(), b.DeepCopy()
	a.TypeMeta, b.TypeMeta = metav1.TypeMeta{}, metav1.TypeMeta{}
	return apiequality.Semantic.DeepEqual(a, b)
}

// TrimmedSpec returns the part of the spec that WithTrimmedPods keeps.
func TrimmedSpec(p *corev1.Pod) corev1.PodSpec {
	kept := corev1.PodSpec{NodeName: p.Spec.NodeName, RestartPolicy: p.Spec.RestartPolicy}
	keep := func(containers []corev1.Container, all bool) (policies []corev1.Container) {
		for _, c := range containers {
			if all || c.RestartPolicy != nil {
				policies = append(policies, corev1.Container{Name: c.Name, RestartPolicy: c.RestartPolicy, RestartPolicyRules: c.RestartPolicyRules})
			}
		}
		return policies
	}
	kept.InitContainers, kept.Containers = keep(p.Spec.InitContainers, false), keep(p.Spec.Containers, len(p.Spec.Containers) > 1)
	return kept
}
