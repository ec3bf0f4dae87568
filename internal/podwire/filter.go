// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"github.com/executorpods/watchsource/internal/podwire/packing"
	"github.com/executorpods/watchsource/internal/podwire/protobuf"
	"github.com/executorpods/watchsource/internal/podwire/rawpod"
	"github.com/executorpods/watchsource/internal/shard"
)

// A Filter decides which pods a decoder reads completely.
type Filter struct {
	// Shard has the namespaces of the pods that are needed, nil for all. A list lacks all other
	// pods. In a stream another pod has only its namespace and its resource version, and is
	// valid until Next is called again. The decoder does not check the rest of it.
	Shard *shard.Range

	// Label is the key of the label that Wants receives.
	Label string
	// Wants reports whether a pod with this UID and this value of the label is needed. If Wants is
	// nil, all pods are needed. The decoder calls it for each pod of the shard and keeps neither
	// argument. Of a pod that is not needed the decoder reads the name, the namespace, the UID, the
	// resource version and the label, and does not check the rest: see [Pod.IsPartial].
	Wants func(uid, value []byte) bool
}

// otherShard returns the namespace and the version of a pod whose namespace is not in the shard.
// ok is false if the shard has the namespace, or if the pod is unusual. The object of a bookmark
// has no namespace. The API server writes the metadata first, and in it the namespace before the
// version.
func (f *Filter) otherShard(pod protobuf.Message) (id rawpod.Identity, ok bool) {
	if f == nil || f.Shard == nil {
		return id, false
	}
	metadata, ok := pod.Next()
	if !ok || metadata.Key() != rawpod.PodMetadata {
		return id, false
	}
	for m := protobuf.Message(metadata.Value); len(m) > 0 && id.ResourceVersion == nil; {
		field, ok := m.Next()
		if !ok {
			return id, false
		}
		id.Read(field)
	}
	return id, len(id.Namespace) > 0 && !f.Shard.OwnsBytes(id.Namespace)
}

// skips reports whether a pod with this metadata is not needed. It returns the identity and the value
// of the label. It returns false if the metadata is unusual.
func (f *Filter) skips(metadata protobuf.Message) (id rawpod.Identity, value []byte, ok bool) {
	if f == nil || f.Wants == nil {
		return id, nil, false
	}
	// The API server writes the fields in the order of their numbers. Most of the metadata comes
	// after the labels.
	complete := func() bool {
		return value != nil && id.Name != nil && id.Namespace != nil && id.UID != nil && id.ResourceVersion != nil
	}
	for m := metadata; len(m) > 0 && !complete(); {
		field, ok := m.Next()
		if !ok {
			return id, nil, false
		}
		if id.Read(field); field.Key() != rawpod.MetaLabels {
			continue
		}
		if !packing.MetadataShape().FitsField(field) {
			return id, nil, false
		}
		if key, of := protobuf.MapEntry(field.Value); string(key) == f.Label {
			value = of
		}
	}
	return id, value, len(id.UID) > 0 && !f.Wants(id.UID, value)
}
