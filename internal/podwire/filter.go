// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A Filter says which pods a decoder decodes completely. Of any other pod it decodes the
// name, the namespace, the UID, the resource version and one label, and does not check the
// rest: see [IsPartial].
type Filter struct {
	Label string // the key of the label
	// Wants reports whether the pod with a UID, and with a value of the label, is needed.
	// The decoder calls it for each pod, and keeps neither argument.
	Wants func(uid, value []byte) bool
}

// partialKind is the kind of the pods that a filter did not want. A decoded pod has no kind.
const partialKind = "PartialObjectMetadata"

// IsPartial reports whether a pod lacks all that its filter did not want.
func IsPartial(pod *corev1.Pod) bool { return pod.Kind == partialKind }

// partial returns nil if the filter wants the pod, or if its metadata is unusual.
func (d *decoder) partial(metadata message) *corev1.Pod {
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
