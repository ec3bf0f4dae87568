// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podstate"
)

// A place says where the state of a pod is: the number of a partition, and the index in its view.
type place struct{ partition, index uint32 }

// positions has the place of each pod of a store, and its ends.
type positions struct {
	byKey map[types.UID]place
	// ends has the ends of the executors that have had one.
	ends map[types.UID]podstate.Ends

	// The key that was looked up last, which often is looked up again.
	lastKey   types.UID
	lastPlace place
}

// newPositions returns positions with room for n pods.
func newPositions(n int) positions {
	return positions{byKey: make(map[types.UID]place, n), ends: map[types.UID]podstate.Ends{}}
}

// of returns the place of a pod.
func (s *positions) of(key types.UID) (at place, ok bool) {
	if key == s.lastKey && key != "" {
		return s.lastPlace, true
	}
	at, ok = s.byKey[key]
	if ok {
		s.lastKey, s.lastPlace = key, at
	}
	return at, ok
}

// ofUID returns the place of a pod with a UID. It copies nothing.
func (s *positions) ofUID(uid []byte) (at place, ok bool) {
	at, ok = s.byKey[types.UID(uid)]
	return at, ok
}

func (s *positions) put(e *Executor, at place) { s.byKey[e.key()] = at }

func (s *positions) remove(e *Executor) {
	s.lastKey = ""
	delete(s.byKey, e.key())
	delete(s.ends, e.key())
}

// step returns a state with the number of ends until then.
func (s *positions) step(e *Executor) step {
	if e == nil || len(s.ends) == 0 {
		return step{Executor: e}
	}
	return step{Executor: e, ends: s.ends[e.key()].Shown}
}

// slots are the indexes in the view of one partition.
type slots struct {
	// runs has by index the newest run of the executor container, see [podstate.EndsOfRun].
	runs []uint64
	// free are the indexes below used that no pod has.
	free []uint32
	used int
}

// take returns an index for a pod, which keeps it until it leaves.
func (s *slots) take() int {
	if last := len(s.free) - 1; last >= 0 {
		index := s.free[last]
		s.free = s.free[:last]
		return int(index)
	}
	s.used++
	return s.used - 1
}

func (s *slots) release(index int) { s.free = append(s.free, uint32(index)) }

func (s *slots) setRun(index int, run uint64) {
	if more := s.used - len(s.runs); more > 0 {
		s.runs = slices.Grow(s.runs, more)[:s.used]
	}
	s.runs[index] = run
}
