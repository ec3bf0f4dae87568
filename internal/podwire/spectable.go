// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"hash/maphash"
	"weak"

	corev1 "k8s.io/api/core/v1"
)

// specTable finds a spec that was read before from the same bytes. Most of what
// changes about a pod is its status, while its spec is most of its bytes; so
// the states of a pod share what is below its spec. A pod is known for as long
// as somebody holds it.
type specTable struct {
	seeds [2]maphash.Seed
	known map[fingerprint]weak.Pointer[corev1.Pod]
	sweep int // how many may be known before those that are gone are forgotten
}

// fingerprint stands for the bytes of a spec. Its 128 bits come from random
// seeds, so nobody can make two specs that share one.
type fingerprint [2]uint64

func newSpecTable() specTable {
	return specTable{
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
		known: map[fingerprint]weak.Pointer[corev1.Pod]{},
		sweep: 1024,
	}
}

// read reads the spec of a pod.
func (t *specTable) read(pod *corev1.Pod, m message) bool {
	of := fingerprint{maphash.Bytes(t.seeds[0], m), maphash.Bytes(t.seeds[1], m)}
	if before := t.known[of].Value(); before != nil {
		pod.Spec = before.Spec
	} else if pod.Spec.Unmarshal(m) != nil {
		return false
	}
	if len(t.known) >= t.sweep {
		t.forget()
	}
	t.known[of] = weak.Make(pod)
	return true
}

// forget makes room, each time for as many as are left.
func (t *specTable) forget() {
	for of, pod := range t.known {
		if pod.Value() == nil {
			delete(t.known, of)
		}
	}
	t.sweep = max(1024, 2*len(t.known))
}
