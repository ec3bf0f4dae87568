// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"github.com/executorpods/watchsource/internal/podwire/envelope"
	"github.com/executorpods/watchsource/internal/podwire/packing"
	"github.com/executorpods/watchsource/internal/podwire/protobuf"
	"github.com/executorpods/watchsource/internal/shard"
)

// A Filter decides which pods a decoder reads completely.
type Filter struct {
	// Shard has the namespaces of the pods that are needed, nil for all. A list lacks all other
	// pods. In a stream another pod has only its namespace and its resource version, and is
	// valid until Next is called again. The decoder does not check the rest of it.
	Shard *shard.Range

	Label string // the key of the label that Wants receives
	// Wants reports whether a pod with this UID and this value of the label is needed. If Wants is
	// nil, all pods are needed. The decoder calls it for each pod of the shard and keeps neither
	// argument. Of a pod that is not needed the decoder reads the name, the namespace, the UID, the
	// resource version and the label, and does not check the rest: see [Pod.IsPartial].
	Wants func(uid, value []byte) bool
}

// inOtherShard returns the namespace and the version of a pod whose namespace is not in the shard.
// ok is false if the shard has the namespace, or if the pod is unusual. The object of a bookmark
// has no namespace. The API server writes the metadata first, and in it the namespace before the
// version.
func (d *decoder) inOtherShard(pod protobuf.Message) (id identity, ok bool) {
	if d.filter == nil || d.filter.Shard == nil {
		return id, false
	}
	metadata, ok := pod.Next()
	if !ok || metadata.Key() != podMetadata {
		return id, false
	}
	for m := protobuf.Message(metadata.Value); len(m) > 0 && id.resourceVersion == nil; {
		f, ok := m.Next()
		if !ok {
			return id, false
		}
		id.read(f)
	}
	return id, len(id.namespace) > 0 && !d.filter.Shard.OwnsBytes(id.namespace)
}

// passOver reads the namespace and the version of a pod in another shard into memory. It returns
// false for any other object.
func (d *decoder) passOver(memory *Pod, data []byte) bool {
	raw, kind, ok := envelope.Open(data)
	if !ok || string(kind) != "Pod" {
		return false
	}
	id, ok := d.inOtherShard(raw)
	if ok {
		*memory = Pod{
			Identity: Identity{Namespace: protobuf.StringLike(memory.Namespace, id.namespace), ResourceVersion: string(id.resourceVersion)},
			policies: noPolicies, partial: noLabel,
		}
	}
	return ok
}

// noLabel is the label of a pod in another shard.
var noLabel = &label{}

// partial returns a pod with the fields that a partial pod has. It returns nil if the filter wants
// the pod, or if the metadata is unusual.
func (d *decoder) partial(metadata protobuf.Message) *Pod {
	if d.filter == nil || d.filter.Wants == nil {
		return nil
	}
	var id identity
	var value []byte
	// The API server writes the fields in the order of their numbers. Most of the metadata comes
	// after the labels.
	complete := func() bool {
		return value != nil && id.name != nil && id.namespace != nil && id.uid != nil && id.resourceVersion != nil
	}
	for m := metadata; len(m) > 0 && !complete(); {
		f, ok := m.Next()
		if !ok {
			return nil
		}
		if id.read(f); f.Key() != metaLabels {
			continue
		}
		if !packing.MetadataShape().FitsField(f) {
			return nil
		}
		if key, of := protobuf.MapEntry(f.Value); string(key) == d.filter.Label {
			value = of
		}
	}
	if len(id.uid) == 0 || d.filter.Wants(id.uid, value) {
		return nil
	}
	return Part(d.identify(id, Identity{}), d.filter.Label, string(value))
}
