// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	metainternal "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// decoder decodes pods, and keeps the parts that pods share. Its methods that decode a
// part report whether they understood all of it.
type decoder struct {
	form   Form
	filter *Filter   // nil for none
	cache  SpecCache // nil for a receiver that keeps the pods

	mu          sync.Mutex // guards the following
	known       knownPods
	newSpecs    newSpecs
	strings     *stringTable
	annotations internCache[map[string]string]
	owners      internCache[[]metav1.OwnerReference]
	resources   internCache[corev1.ContainerStatus] // with no other field
	policies    internCache[corev1.PodSpec]         // of containers, with nothing else
	scratch     []byte
}

func newDecoder(form Form, filter *Filter, cache SpecCache) *decoder {
	return &decoder{
		form:        form,
		filter:      filter,
		cache:       cache,
		known:       newKnownPods(),
		strings:     newStringTable(),
		annotations: newInternCache[map[string]string](),
		owners:      newInternCache[[]metav1.OwnerReference](),
		resources:   newInternCache[corev1.ContainerStatus](),
		policies:    newInternCache[corev1.PodSpec](),
	}
}

// object decodes a pod or a list of pods, a pod into memory unless that is nil. It returns
// nil for everything that it does not understand.
func (d *decoder) object(data []byte, memory *podMemory) runtime.Object {
	raw, kind, ok := open(data)
	if !ok {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch string(kind) {
	case "Pod":
		if pod := d.pod(raw, memory); pod != nil {
			return pod
		}
	case "PodList":
		if list := new(metainternal.List); d.list(list, raw) {
			return list
		}
	}
	return nil
}

// cacheSpecs moves the specs of the pods that were decoded to the cache.
func (d *decoder) cacheSpecs() {
	if d.cache == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.newSpecs.moveTo(d.cache)
}

// Fields of PodList.
const (
	listMetadata = 1
	listItems    = 2
)

func (d *decoder) list(list *metainternal.List, m message) bool {
	for len(m) > 0 {
		f, ok := m.next()
		if !ok {
			return false
		}
		switch f.key() {
		case listMetadata:
			ok = list.ListMeta.Unmarshal(f.value) == nil
		case listItems:
			if _, _, other := d.inOtherShard(f.value); other {
				continue
			}
			pod := d.pod(f.value, nil)
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
