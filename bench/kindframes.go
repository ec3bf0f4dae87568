// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource/internal/test/podtest"
)

// kindNamed returns a kind of pods.
func kindNamed(name string) (podtest.Kind, error) {
	i := slices.IndexFunc(podtest.Kinds, func(k podtest.Kind) bool { return k.Name == name })
	if i < 0 {
		return podtest.Kind{}, fmt.Errorf("there is no kind %q, only %s", name, strings.Join(kindNames(), ", "))
	}
	return podtest.Kinds[i], nil
}

func kindNames() []string {
	var names []string
	for _, k := range podtest.Kinds {
		names = append(names, k.Name)
	}
	return names
}

// kindPod makes each pod on demand: pods of a kind differ in the lengths of their texts, so that
// there is no template of them. The server is slower than its consumers then, which changes
// nothing in their memory.
func (s *script) kindPod(i, updates, version int) *corev1.Pod {
	pod := s.kind.Pod(i, updates)
	pod.ResourceVersion = podtest.VersionText(version)
	return pod
}

// kindUpdated returns which pod the j-th update changes, and the number of its updates so far.
// Two pods of three are updated, in a scattered order, and the others keep their first state.
func (s *script) kindUpdated(j int) (i, updates int) {
	changing := &script{pods: s.pods - s.pods/3}
	i, _ = changing.updated(j)
	return i/2*3 + i%2, j/changing.pods + 1
}

// updatedPod returns which pod the j-th update changes.
func (s *script) updatedPod(j int) (i int) {
	if s.kind != nil {
		i, _ = s.kindUpdated(j)
		return i
	}
	i, _ = s.updated(j)
	return i
}
