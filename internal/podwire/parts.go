// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
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
type podParts struct{ metadata, spec, status protobuf.Message }

// partsOf returns the parts of a pod. ok is false if the pod is damaged, or if a part occurs twice,
// because the generated code merges such parts.
func partsOf(m protobuf.Message) (parts podParts, ok bool) {
	seen := [podStatus + 1]*protobuf.Message{podMetadata: &parts.metadata, podSpec: &parts.spec, podStatus: &parts.status}
	for len(m) > 0 {
		f, ok := m.Next()
		if !ok {
			return parts, false
		}
		switch part := f.Key(); {
		case part < podMetadata || part > podStatus:
			if new(corev1.Pod).Unmarshal(f.Whole) != nil {
				return parts, false
			}
		case *seen[part] != nil:
			return parts, false
		default:
			*seen[part] = f.Value
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
func (i *identity) read(f protobuf.Field) {
	switch f.Key() {
	case metaNamespace:
		i.namespace = f.Value
	case metaName:
		i.name = f.Value
	case metaUID:
		i.uid = f.Value
	case metaResourceVersion:
		i.resourceVersion = f.Value
	}
}
