// SPDX-License-Identifier: Apache-2.0

// Package places knows where a store has the state of each pod, and the ends of the pod.
package places

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podstate"
)

// A Place is where the state of a pod is: the number of a partition of the store, and the index in
// the partition.
type Place struct{ Partition, Index uint32 }

// Places has the place of each pod by its key, and its ends. It is not safe for concurrent use.
type Places struct {
	byKey map[types.UID]Place
	// ends has the ends of the executors that have had one.
	ends map[types.UID]podstate.Ends

	// The key that was looked up last, which often is looked up again.
	lastKey   types.UID
	lastPlace Place
}

// New returns Places with room for n pods.
func New(n int) Places {
	return Places{byKey: make(map[types.UID]Place, n), ends: map[types.UID]podstate.Ends{}}
}

// Len returns the number of pods.
func (p *Places) Len() int { return len(p.byKey) }

// Of returns the place of a pod.
func (p *Places) Of(key types.UID) (at Place, ok bool) {
	if key == p.lastKey && key != "" {
		return p.lastPlace, true
	}
	at, ok = p.byKey[key]
	if ok {
		p.lastKey, p.lastPlace = key, at
	}
	return at, ok
}

// OfUID returns the place of a pod with a UID. It copies nothing.
func (p *Places) OfUID(uid []byte) (at Place, ok bool) {
	at, ok = p.byKey[types.UID(uid)]
	return at, ok
}

// Put sets the place of a new pod.
func (p *Places) Put(key types.UID, at Place) { p.byKey[key] = at }

// Remove forgets a pod and its ends.
func (p *Places) Remove(key types.UID) {
	p.lastKey = ""
	delete(p.byKey, key)
	delete(p.ends, key)
}

// Ends returns the ends of each pod that has had one. The caller must not change them.
func (p *Places) Ends() map[types.UID]podstate.Ends { return p.ends }

// SetEnds sets the ends of a pod.
func (p *Places) SetEnds(key types.UID, ends podstate.Ends) { p.ends[key] = ends }

// Slots are the indexes in one partition.
type Slots struct {
	// runs has by index the newest run of the executor container, see [podstate.EndsOfRun].
	runs []uint64
	// free are the indexes below used that no pod has.
	free []uint32
	used int
}

// Filled returns Slots of which the first n are taken.
func Filled(n int) Slots { return Slots{used: n} }

// Take returns an index for a pod, which keeps it until it leaves.
func (s *Slots) Take() int {
	if last := len(s.free) - 1; last >= 0 {
		index := s.free[last]
		s.free = s.free[:last]
		return int(index)
	}
	s.used++
	return s.used - 1
}

// Release frees an index.
func (s *Slots) Release(index int) { s.free = append(s.free, uint32(index)) }

// Run returns the newest run of the pod with an index, as SetRun has set it.
func (s *Slots) Run(index int) uint64 { return s.runs[index] }

// SetRun sets the newest run of the pod with an index.
func (s *Slots) SetRun(index int, run uint64) {
	if more := s.used - len(s.runs); more > 0 {
		s.runs = slices.Grow(s.runs, more)[:s.used]
	}
	s.runs[index] = run
}
