// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/fieldpath"
	"k8s.io/kubernetes/third_party/forked/golang/expansion"
)

// environment returns the variables of a container, and a function that replaces their
// names, written $(NAME), in words. Sources other than a field of the pod are errors.
func environment(pod *corev1.Pod, container *corev1.Container) (variables []string, expand func([]string) []string, err error) {
	if len(container.EnvFrom) > 0 {
		return nil, nil, fmt.Errorf("container %s: envFrom is not supported", container.Name)
	}
	values := map[string]string{}
	mapping := expansion.MappingFuncFor(values)
	for _, v := range container.Env {
		value := expansion.Expand(v.Value, mapping)
		if source := v.ValueFrom; source != nil {
			if source.FieldRef == nil {
				return nil, nil, fmt.Errorf("container %s: variable %s: only values of fieldRef are supported", container.Name, v.Name)
			}
			if value, err = field(pod, source.FieldRef.FieldPath); err != nil {
				return nil, nil, fmt.Errorf("container %s: variable %s: %w", container.Name, v.Name, err)
			}
		}
		values[v.Name] = value
		variables = append(variables, v.Name+"="+value)
	}
	return variables, func(words []string) []string {
		expanded := make([]string, len(words))
		for i, word := range words {
			expanded[i] = expansion.Expand(word, mapping)
		}
		return expanded
	}, nil
}

// field reads a field that the downward API offers.
func field(pod *corev1.Pod, path string) (string, error) {
	switch path {
	case "spec.nodeName":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.hostIP":
		return pod.Status.HostIP, nil
	case "status.podIP":
		return pod.Status.PodIP, nil
	}
	return fieldpath.ExtractFieldPathAsString(pod, path)
}
