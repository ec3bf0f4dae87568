// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"hash/maphash"
	"weak"

	corev1 "k8s.io/api/core/v1"
)

// leastKnown is the number of pods from which the decoder looks for pods that are gone.
const leastKnown = 1024

// knownPods has the newest state of each pod. The decoder does not decode again the parts
// that have not changed: both states share them. The pointers are weak, so a pod is
// known as long as another part of the program holds its state. A receiver that does not
// keep the pods has a [SpecCache].
type knownPods struct {
	seed  maphash.Seed
	known map[uint64]weak.Pointer[knownPod] // by the hash of the pod's UID
	sweep int                               // the number from which pods that are gone are removed
}

// knownPod is a pod with the digests of the bytes of its parts. The digests fit into the
// space that the allocator's size class leaves beside a pod.
type knownPod struct {
	pod        corev1.Pod
	metadata   uint64 // without the resource version and managedFields
	spec       uint64
	status     uint64 // without the conditions and the fields after them
	containers uint64 // of the container statuses, without the fields that change often
}

func newKnownPods() knownPods {
	return knownPods{seed: maphash.MakeSeed(), known: map[uint64]weak.Pointer[knownPod]{}, sweep: leastKnown}
}

// noState is the previous state of an unknown pod. It is never changed.
var noState knownPod

// of returns the newest state of a pod, or noState.
func (s *knownPods) of(uid []byte) *knownPod {
	pod := s.known[maphash.Bytes(s.seed, uid)].Value()
	if pod == nil || string(pod.pod.UID) != string(uid) {
		return &noState
	}
	return pod
}

// put replaces the known state of a pod.
func (s *knownPods) put(now *knownPod) {
	if now.pod.UID == "" {
		return
	}
	if len(s.known) >= s.sweep {
		s.forget()
	}
	s.known[maphash.String(s.seed, string(now.pod.UID))] = weak.Make(now)
}

// forget removes the pods that are gone. The next removal is due when the number of pods
// has doubled.
func (s *knownPods) forget() {
	for hash, pod := range s.known {
		if pod.Value() == nil {
			delete(s.known, hash)
		}
	}
	s.sweep = max(leastKnown, 2*len(s.known))
}

// digest returns a hash of a message without some of its fields, and 0 for no fields.
// without receives each field and its offset. The seed is random and digests are compared
// only between states of one pod, so a client cannot construct a collision. ok is false if
// the message is damaged.
func (s *knownPods) digest(m message, without func(f field, at int) bool) (sum uint64, ok bool) {
	from := 0 // start of the bytes that are not in the sum yet
	for rest := m; len(rest) > 0; {
		at := len(m) - len(rest)
		f, ok := rest.next()
		if !ok {
			return 0, false
		}
		if without(f, at) {
			sum = s.add(sum, m[from:at])
			from = len(m) - len(rest)
		}
	}
	return s.add(sum, m[from:]), true
}

func (s *knownPods) add(sum uint64, part message) uint64 {
	if len(part) == 0 {
		return sum
	}
	return sum*31 + maphash.Bytes(s.seed, part)
}
