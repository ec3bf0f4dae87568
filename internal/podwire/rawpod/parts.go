// SPDX-License-Identifier: Apache-2.0

// Package rawpod reads a pod that is not decoded: the parts of the message, and the fields of the
// metadata, the spec and the status that the library needs. It keeps nothing, and checks only the
// fields that it reads.
package rawpod

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource/internal/podwire/protobuf"
)

// The field numbers of this package are those of k8s.io/api/core/v1/generated.proto and
// k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto.

// Fields of Pod.
const (
	PodMetadata = 1
	PodSpec     = 2
	PodStatus   = 3
)

// Fields of PodList.
const (
	ListMetadata = 1
	ListItems    = 2
)

// Parts has the parts of a pod in their wire form.
type Parts struct{ Metadata, Spec, Status protobuf.Message }

// Split returns the parts of a pod. ok is false if the pod is damaged, or if a part occurs twice,
// because the generated code merges such parts.
func Split(m protobuf.Message) (parts Parts, ok bool) {
	seen := [PodStatus + 1]*protobuf.Message{PodMetadata: &parts.Metadata, PodSpec: &parts.Spec, PodStatus: &parts.Status}
	for len(m) > 0 {
		f, ok := m.Next()
		if !ok {
			return parts, false
		}
		switch part := f.Key(); {
		case part < PodMetadata || part > PodStatus:
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

// Trimmed returns the parts of a pod with a spec that has only the node, the restart policy and what
// decides which container is restarted. The parts must be valid.
func (p Parts) Trimmed() Parts {
	spec, node := TrimSpec(nil, p.Spec, false)
	if node != nil {
		spec = protobuf.AppendBytes(spec, SpecNodeName, node)
	}
	p.Spec = spec
	return p
}

// Decode decodes the parts with client-go's generated code.
func (p Parts) Decode() (*corev1.Pod, error) {
	pod := new(corev1.Pod)
	return pod, cmp.Or(
		pod.ObjectMeta.Unmarshal(p.Metadata),
		pod.Spec.Unmarshal(p.Spec),
		pod.Status.Unmarshal(p.Status),
	)
}

// IdentityOf reads an item of a list. The metadata of a PartialObjectMetadata has the number
// that it has in a pod.
func IdentityOf(item protobuf.Message) (id Identity, ok bool) {
	for len(item) > 0 {
		f, ok := item.Next()
		if !ok {
			return id, false
		}
		if f.Key() != PodMetadata {
			continue
		}
		for m := protobuf.Message(f.Value); len(m) > 0; {
			f, ok := m.Next()
			if !ok {
				return id, false
			}
			id.Read(f)
		}
	}
	return id, true
}
