// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"strings"
	"unique"

	"k8s.io/apimachinery/pkg/types"
)

// slot is the place of one pod in a view: what the pod is found by, and the
// index of its newest state. A change of state leaves it as it is, so that only
// arrivals and departures have to search in sorted sets. The index is no part of
// what it is found by.
type slot struct {
	name, id  string
	namespace unique.Handle[string] // one or few, so each slot does with a pointer
	index     int
}

func newSlot(e *Executor, index int) *slot {
	return &slot{name: e.Name, namespace: unique.Make(e.Namespace), id: e.ID, index: index}
}

// slotNamed returns a slot to search for by its name.
func slotNamed(namespace, name string) *slot {
	return &slot{name: name, namespace: unique.Make(namespace)}
}

// slotIdentified returns what stands before all slots of an id.
func slotIdentified(id string) *slot { return &slot{id: id, namespace: unique.Make("")} }

// compareNames orders by name, then namespace: a look-up by name alone then
// finds all that bear it side by side.
func compareNames(a, b *slot) int {
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	return strings.Compare(a.namespace.Value(), b.namespace.Value())
}

func compareIDs(a, b *slot) int {
	if c := strings.Compare(a.id, b.id); c != 0 {
		return c
	}
	return compareNames(a, b)
}

// slots are the indexes in use, for the writer of a store to find a pod's at once,
// and the last ends of the executors.
type slots struct {
	byKey map[types.UID]int
	ends  map[types.UID]end // of executors that have had one
	free  []int             // indexes below used
	used  int
}

// take gives a pod the index that it keeps until it leaves.
func (s *slots) take(e *Executor) int {
	index := s.used
	if last := len(s.free) - 1; last >= 0 {
		index, s.free = s.free[last], s.free[:last]
	} else {
		s.used++
	}
	s.byKey[e.key()] = index
	return index
}

func (s *slots) release(e *Executor) {
	s.free = append(s.free, s.byKey[e.key()])
	delete(s.byKey, e.key())
	delete(s.ends, e.key())
}

// end returns the last end of an executor, or of nil.
func (s *slots) end(e *Executor) end {
	if e == nil || len(s.ends) == 0 {
		return end{}
	}
	return s.ends[e.key()]
}

func (s *slots) setEnd(e *Executor, last end) {
	if last != (end{}) {
		s.ends[e.key()] = last
	}
}

// step returns a state as a step in the life of its executor.
func (s *slots) step(e *Executor) step { return step{e, s.end(e).number} }
