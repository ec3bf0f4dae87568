// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	corev1 "k8s.io/api/core/v1"
)

// The field numbers of this package are those of k8s.io/api/core/v1/generated.proto and
// k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto.

// Fields of Pod.
const (
	podMetadata = 1
	podSpec     = 2
	podStatus   = 3
)

// podParts has the parts of a pod in their wire form.
type podParts struct{ metadata, spec, status message }

// partsOf returns the parts of a pod. ok is false if the pod is damaged, or if a part occurs twice,
// because the generated code merges such parts.
func partsOf(m message) (parts podParts, ok bool) {
	seen := [podStatus + 1]*message{podMetadata: &parts.metadata, podSpec: &parts.spec, podStatus: &parts.status}
	for len(m) > 0 {
		f, ok := m.next()
		if !ok {
			return parts, false
		}
		switch part := f.key(); {
		case part < podMetadata || part > podStatus:
			if new(corev1.Pod).Unmarshal(f.whole) != nil {
				return parts, false
			}
		case *seen[part] != nil:
			return parts, false
		default:
			*seen[part] = f.value
		}
	}
	return parts, true
}

// Fields of ObjectMeta.
const (
	metaName              = 1
	metaNamespace         = 3
	metaUID               = 5
	metaResourceVersion   = 6
	metaCreationTimestamp = 8
	metaDeletionTimestamp = 9
	metaLabels            = 11
	metaAnnotations       = 12
	metaOwnerReferences   = 13
	metaManagedFields     = 17
)

// identity has the fields of the metadata that distinguish one state of a pod from all others.
type identity struct{ namespace, name, uid, resourceVersion []byte }

// read reads a field of the metadata if it belongs to the identity.
func (i *identity) read(f field) {
	switch f.key() {
	case metaNamespace:
		i.namespace = f.value
	case metaName:
		i.name = f.value
	case metaUID:
		i.uid = f.value
	case metaResourceVersion:
		i.resourceVersion = f.value
	}
}
