// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// slot is the place of one pod in a view: what the pod is found by, and the
// index of its newest state. A change of state leaves it as it is, so that only
// arrivals and departures have to search in sorted sets.
type slot struct {
	name, namespace, id string
	index               int
}

func newSlot(e *Executor, index int) *slot {
	return &slot{name: e.Name, namespace: e.Namespace, id: e.ID, index: index}
}

// fits reports whether the slot still has the names of its pod. Labels can be
// changed, and the executor id is one; the rest is as good as fixed.
func (s *slot) fits(e *Executor) bool {
	return s.id == e.ID && s.name == e.Name && s.namespace == e.Namespace
}

// compareNames orders by name, then namespace: a look-up by name alone then
// finds all that bear it side by side.
func compareNames(a, b *slot) int {
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	return strings.Compare(a.namespace, b.namespace)
}

func compareIDs(a, b *slot) int {
	if c := strings.Compare(a.id, b.id); c != 0 {
		return c
	}
	return compareNames(a, b)
}

// slots are those in use, for the writer of a store to find a pod's at once.
type slots struct {
	byKey map[types.UID]*slot
	free  []int // indexes below used
	used  int
}

// take gives a pod the slot that it keeps until it leaves.
func (s *slots) take(e *Executor) *slot {
	index := s.used
	if last := len(s.free) - 1; last >= 0 {
		index, s.free = s.free[last], s.free[:last]
	} else {
		s.used++
	}
	return s.set(e, index)
}

// set puts a slot of the pod's present names at an index.
func (s *slots) set(e *Executor, index int) *slot {
	slot := newSlot(e, index)
	s.byKey[e.key()] = slot
	return slot
}

func (s *slots) release(e *Executor) *slot {
	slot := s.byKey[e.key()]
	delete(s.byKey, e.key())
	s.free = append(s.free, slot.index)
	return slot
}
