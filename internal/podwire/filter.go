// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/shard"
)

// A Filter says which pods a decoder decodes completely.
type Filter struct {
	// Shard has the namespaces of the pods that are needed, nil for all. A list lacks all other
	// pods. In a stream another pod has only its namespace and its resource version, and is
	// valid until Next is called again. The decoder does not check the rest.
	Shard *shard.Range

	Label string // the key of a label
	// Wants reports whether the pod with a UID, and with a value of the label, is needed. If it
	// is nil, all pods are. The decoder calls it for each pod of the shard, and keeps neither
	// argument. Of a pod that it does not want the decoder decodes the name, the namespace, the
	// UID, the resource version and the label, and does not check the rest: see [IsPartial].
	Wants func(uid, value []byte) bool
}

// partialKind is the kind of the pods that a filter did not want. A decoded pod has no kind.
const partialKind = "PartialObjectMetadata"

// IsPartial reports whether a pod lacks all that its filter did not want.
func IsPartial(pod *corev1.Pod) bool { return pod.Kind == partialKind }

// inOtherShard returns the namespace and the version of a pod whose namespace the shard lacks.
// It is not ok if the shard has the namespace, or if the pod is unusual. The object of a
// bookmark has no namespace. The API server writes the metadata first, and in it the namespace
// before the version.
func (d *decoder) inOtherShard(pod message) (namespace, resourceVersion []byte, ok bool) {
	if !d.isSharded() {
		return nil, nil, false
	}
	metadata, ok := pod.next()
	if !ok || metadata.key() != podMetadata {
		return nil, nil, false
	}
	for m := message(metadata.value); len(m) > 0 && resourceVersion == nil; {
		f, ok := m.next()
		if !ok {
			return nil, nil, false
		}
		switch f.key() {
		case metaNamespace:
			namespace = f.value
		case metaResourceVersion:
			resourceVersion = f.value
		}
	}
	return namespace, resourceVersion, len(namespace) > 0 && !d.filter.Shard.OwnsBytes(namespace)
}

func (d *decoder) isSharded() bool { return d.filter != nil && d.filter.Shard != nil }

// newPassed returns the memory for passOver, nil if it is not needed.
func (d *decoder) newPassed() *corev1.Pod {
	if !d.isSharded() {
		return nil
	}
	return new(corev1.Pod)
}

// passOver decodes the namespace and the version of a pod in another shard into memory, and
// returns it. It returns nil for any other object, and if memory is nil.
func (d *decoder) passOver(data []byte, memory *corev1.Pod) *corev1.Pod {
	if memory == nil {
		return nil
	}
	raw, kind, ok := open(data)
	if !ok || string(kind) != "Pod" {
		return nil
	}
	namespace, resourceVersion, ok := d.inOtherShard(raw)
	if !ok {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	memory.Kind = partialKind
	memory.Namespace, memory.ResourceVersion = d.strings.get(namespace), string(resourceVersion)
	return memory
}

// partial returns nil if the filter wants the pod, or if its metadata is unusual.
func (d *decoder) partial(metadata message) *corev1.Pod {
	if d.filter == nil || d.filter.Wants == nil {
		return nil
	}
	var name, namespace, uid, resourceVersion, value []byte
	// The API server writes the fields in the order of their numbers. Most of the metadata comes
	// after the labels.
	complete := func() bool {
		return value != nil && name != nil && namespace != nil && uid != nil && resourceVersion != nil
	}
	for m := metadata; len(m) > 0 && !complete(); {
		f, ok := m.next()
		if !ok {
			return nil
		}
		switch f.key() {
		case metaName:
			name = f.value
		case metaNamespace:
			namespace = f.value
		case metaUID:
			uid = f.value
		case metaResourceVersion:
			resourceVersion = f.value
		case metaLabels:
			key, of, ok := mapEntry(f.value)
			if !ok {
				return nil
			}
			if string(key) == d.filter.Label {
				value = of
			}
		}
	}
	if len(uid) == 0 || d.filter.Wants(uid, value) {
		return nil
	}
	nameString, uidString := d.internPair(name, uid)
	return &corev1.Pod{
		TypeMeta: metav1.TypeMeta{Kind: partialKind},
		ObjectMeta: metav1.ObjectMeta{
			Name: nameString, Namespace: d.strings.get(namespace), UID: types.UID(uidString),
			ResourceVersion: string(resourceVersion),
			Labels:          map[string]string{d.filter.Label: d.strings.get(value)},
		},
	}
}

// mapEntry reads one entry of a map.
func mapEntry(m message) (key, value []byte, ok bool) {
	for len(m) > 0 {
		f, ok := m.next()
		if !ok {
			return nil, nil, false
		}
		switch f.key() {
		case mapKey:
			key = f.value
		case mapValue:
			value = f.value
		default:
			return nil, nil, false
		}
	}
	return key, value, true
}
