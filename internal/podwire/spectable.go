// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"hash/maphash"
	"weak"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// leastKnown is how many pods are remembered before any is looked for that is
// gone.
const leastKnown = 1024

// specTable finds the spec that a pod had before. Most of what changes about a
// pod is its status, while its spec is most of its bytes; so the states of a
// pod share what is below its spec. A pod is known for as long as somebody
// holds it.
type specTable struct {
	seed  maphash.Seed
	known map[types.UID]knownSpec
	sweep int // how many may be known before those that are gone are forgotten
}

// knownSpec is the spec of a pod, and the hash of the bytes it was read from. By
// the seed it is random, and it is compared within one life of one pod only.
type knownSpec struct {
	hash uint64
	in   weak.Pointer[corev1.Pod]
}

func newSpecTable() specTable {
	return specTable{seed: maphash.MakeSeed(), known: map[types.UID]knownSpec{}, sweep: leastKnown}
}

// get reads the spec of a pod, whose metadata was read before, unless it is what
// it was.
func (t *specTable) get(pod *corev1.Pod, m message, read func(*corev1.PodSpec, message) bool) bool {
	hash := maphash.Bytes(t.seed, m)
	known := t.known[pod.UID]
	if before := known.in.Value(); before != nil && known.hash == hash && pod.UID != "" {
		pod.Spec = before.Spec
	} else if !read(&pod.Spec, m) {
		return false
	}
	if len(t.known) >= t.sweep {
		t.forget()
	}
	t.known[pod.UID] = knownSpec{hash, weak.Make(pod)}
	return true
}

// forget makes room, each time for as many as are left.
func (t *specTable) forget() {
	for uid, spec := range t.known {
		if spec.in.Value() == nil {
			delete(t.known, uid)
		}
	}
	t.sweep = max(leastKnown, 2*len(t.known))
}
