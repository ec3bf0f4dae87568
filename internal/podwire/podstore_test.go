// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	goruntime "runtime"
	"unsafe"
	"weak"

	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podwire/packing"
)

// partNames are the names of the parts in [partsIn].
var partNames = [3]string{"metadata", "spec", "status"}

// A store keeps the last state of each pod, as long as it wants, and counts the templates.
type podStore struct {
	*decoder
	pods map[types.UID]*Pod
	// made has the templates of all states.
	made map[weak.Pointer[packing.Template]]bool
}

func newPodStore() *podStore {
	s := &podStore{pods: map[types.UID]*Pod{}, made: map[weak.Pointer[packing.Template]]bool{}}
	s.decoder = newDecoder(Wire, nil, func(uid []byte) Known {
		if pod := s.pods[types.UID(uid)]; pod != nil {
			return Known{Identity: pod.Identity, Pod: pod}
		}
		return Known{}
	})
	return s
}

func partsIn(p *Pod) [3]packing.Part { return [3]packing.Part{p.metadata, p.spec, p.status} }

// inUse returns the number of templates of the pods in the store, by part, and the bytes of their deltas.
func (s *podStore) inUse() (templates [3]int, deltas int) {
	var seen [3]map[*packing.Template]bool
	for _, pod := range s.pods {
		for i, p := range partsIn(pod) {
			if seen[i] == nil {
				seen[i] = map[*packing.Template]bool{}
			}
			if p.Template != nil {
				seen[i][p.Template] = true
			}
			deltas += len(p.Delta)
		}
	}
	for i := range seen {
		templates[i] = len(seen[i])
	}
	return templates, deltas
}

// alive returns the number of templates, of all that were made, that are not garbage.
func (s *podStore) alive() (n int) {
	goruntime.GC()
	goruntime.GC()
	for t := range s.made {
		if t.Value() != nil {
			n++
		}
	}
	return n
}

func samePacked(a, b packing.Part) bool {
	return a.Template == b.Template && len(a.Delta) == len(b.Delta) && unsafe.StringData(a.Delta) == unsafe.StringData(b.Delta)
}
