// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// reader reads pods, and remembers what they have in common. Its methods that
// read a part of a pod report whether they understood all of it.
type reader struct {
	form Form

	mu          sync.Mutex // guards the following
	states      states
	strings     *stringTable
	annotations common[map[string]string]
	owners      common[[]metav1.OwnerReference]
	allotted    common[corev1.ContainerStatus] // with nothing else
	policies    common[corev1.PodSpec]         // of containers, with nothing else
	scratch     []byte
}

func newReader(form Form) *reader {
	return &reader{
		form:        form,
		states:      newStates(),
		strings:     newStringTable(),
		annotations: newCommon[map[string]string](),
		owners:      newCommon[[]metav1.OwnerReference](),
		allotted:    newCommon[corev1.ContainerStatus](),
		policies:    newCommon[corev1.PodSpec](),
	}
}

// object reads a pod or a list of pods, and returns nil for anything that it
// does not understand.
func (r *reader) object(data []byte) runtime.Object {
	raw, kind, ok := open(data)
	if !ok {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch string(kind) {
	case "Pod":
		if pod := r.pod(raw); pod != nil {
			return pod
		}
	case "PodList":
		if list := new(metainternal.List); r.list(list, raw) {
			return list
		}
	}
	return nil
}

// Fields of PodList.
const (
	listMetadata = 1
	listItems    = 2
)

func (r *reader) list(list *metainternal.List, m message) bool {
	for len(m) > 0 {
		f, ok := m.next()
		if !ok {
			return false
		}
		switch f.key() {
		case listMetadata:
			ok = list.ListMeta.Unmarshal(f.value) == nil
		case listItems:
			pod := r.pod(f.value)
			ok = pod != nil
			list.Items = append(list.Items, pod)
		default:
			ok = false
		}
		if !ok {
			return false
		}
	}
	return true
}
