// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The numbers of fields are those of k8s.io/api/core/v1/generated.proto and
// k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto.
//
// A field by itself is a message too, and messages of one type merge when they
// are read one after the other. So what is not worth code of its own is handed,
// field by field, to the Unmarshal that client-go uses.

const (
	podMetadata = 1
	podSpec     = 2
	podStatus   = 3
)

func (d *Decoder) pod(pod *corev1.Pod, m message) bool {
	for len(m) > 0 {
		f, ok := m.next()
		if !ok {
			return false
		}
		if f.kind != bytesKind {
			ok = pod.Unmarshal(f.whole) == nil
			if !ok {
				return false
			}
			continue
		}
		switch f.number {
		case podMetadata:
			ok = d.metadata(&pod.ObjectMeta, f.value)
		case podSpec:
			ok = d.spec(&pod.Spec, f.value)
		case podStatus:
			ok = d.status(&pod.Status, f.value)
		default:
			ok = pod.Unmarshal(f.whole) == nil
		}
		if !ok {
			return false
		}
	}
	return true
}

func (d *Decoder) metadata(meta *metav1.ObjectMeta, m message) bool {
	for len(m) > 0 {
		f, ok := m.next()
		if !ok {
			return false
		}
		if f.number == 17 && f.kind == bytesKind {
			continue
		}
		if meta.Unmarshal(f.whole) != nil {
			return false
		}
	}
	return true
}

func (d *Decoder) spec(spec *corev1.PodSpec, m message) bool {
	if d.form == Full {
		return spec.Unmarshal(m) == nil
	}
	for len(m) > 0 {
		f, ok := m.next()
		if !ok {
			return false
		}
		switch f.number {
		case 3, 10:
			ok = spec.Unmarshal(f.whole) == nil
		case 2:
			ok = f.kind == bytesKind
		}
		if !ok {
			return false
		}
	}
	return true
}

func (d *Decoder) status(status *corev1.PodStatus, m message) bool {
	return status.Unmarshal(m) == nil
}
