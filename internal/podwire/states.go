// SPDX-License-Identifier: Apache-2.0

package podwire

import (
	"hash/maphash"
	"weak"

	corev1 "k8s.io/api/core/v1"
)

// leastKnown is how many pods are remembered before any is looked for that is
// gone.
const leastKnown = 1024

// states remembers the newest state of each pod. From one to the next little
// changes: what did not is not read again, and both states share what is below
// it. A pod is known for as long as somebody holds that state.
type states struct {
	seed  maphash.Seed
	known map[uint64]weak.Pointer[state] // by the hash of the pod's UID
	sweep int                            // how many may be known before those that are gone are forgotten
}

// state is a pod, with the digests of the bytes that its parts were read from.
// They take the room that the allocator leaves beside a pod.
type state struct {
	pod        corev1.Pod
	metadata   uint64 // without the resource version and managedFields
	spec       uint64
	status     uint64 // without the conditions and what follows
	containers uint64 // the status of the containers, without what often changes
}

func newStates() states {
	return states{seed: maphash.MakeSeed(), known: map[uint64]weak.Pointer[state]{}, sweep: leastKnown}
}

// noState is what nothing is known of. It is not written to.
var noState state

// of returns the newest state of a pod.
func (s *states) of(uid []byte) *state {
	known := s.known[maphash.Bytes(s.seed, uid)].Value()
	if known == nil || string(known.pod.UID) != string(uid) {
		return &noState
	}
	return known
}

// put remembers a state of a pod in the place of the one that was known.
func (s *states) put(now *state) {
	if now.pod.UID == "" {
		return
	}
	if len(s.known) >= s.sweep {
		s.forget()
	}
	s.known[maphash.String(s.seed, string(now.pod.UID))] = weak.Make(now)
}

// forget makes room, each time for as many as are left.
func (s *states) forget() {
	for hash, known := range s.known {
		if known.Value() == nil {
			delete(s.known, hash)
		}
	}
	s.sweep = max(leastKnown, 2*len(s.known))
}

// digest is of a message without some of its fields, which stand at an offset
// each; the digest of nothing is 0. It is random, by the seed, and compared
// within one life of one pod only, so that nobody can make two that are equal. It
// is not ok if the message is damaged.
func (s *states) digest(m message, without func(f field, at int) bool) (sum uint64, ok bool) {
	from := 0 // of what is not in the sum yet
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

func (s *states) add(sum uint64, part message) uint64 {
	if len(part) == 0 {
		return sum
	}
	return sum*31 + maphash.Bytes(s.seed, part)
}
