// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"iter"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"github.com/executorpods/watchsource/internal/sorted"
	"github.com/executorpods/watchsource/internal/vector"
)

// A Snapshot is the view of an application's executors at one moment. It never
// changes, costs nothing to take or copy, and may be read by any number of
// goroutines. The zero Snapshot is empty and not complete.
//
// The pods in it are shared with every other snapshot that holds them: do not
// change them.
type Snapshot struct {
	view *view
}

// view is what a Snapshot sees. The store makes a new one for every change.
type view struct {
	byName sorted.Set[*slot]
	byID   sorted.Set[*slot]
	states vector.Vector[Executor] // by the slots' index
	counts [stateCount]int

	resourceVersion string
	syncedAt        time.Time // zero until the first full list
}

// newView returns the view of some executors, and the slots they have in it. Of
// those with one key, and of those with one name, the last one counts.
func newView(executors []*Executor) (view, slots) {
	last := make(map[types.UID]int, len(executors))
	for i, e := range executors {
		last[e.key()] = i
	}
	all := make([]*slot, 0, len(last))
	for i, e := range executors {
		if last[e.key()] == i {
			all = append(all, newSlot(e, i))
		}
	}
	v := view{byName: sorted.New(compareNames, all...), byID: sorted.New(compareIDs)}
	s := slots{byKey: make(map[types.UID]int, v.byName.Len()), ends: map[types.UID]end{}, used: v.byName.Len()}
	states := make([]*Executor, 0, s.used)
	var identified []*slot
	for slot := range v.byName.All() {
		e := executors[slot.index]
		slot.index = len(states) // in the order in which All will walk
		states = append(states, e)
		s.byKey[e.key()] = slot.index
		v.counts[e.State]++
		if e.ID != "" {
			identified = append(identified, slot)
		}
	}
	v.byID = sorted.New(compareIDs, identified...)
	v.states = vector.Of(states)
	return v, s
}

// of returns the state of a pod that has one of the slots, and its index.
func (v *view) of(slots *slots, key types.UID) (index int, known *Executor) {
	index, ok := slots.byKey[key]
	if !ok {
		return 0, nil
	}
	return index, v.states.Get(index)
}

// named returns the executor whose pod has a name, nil if there is none.
func (v *view) named(namespace, name string) *Executor {
	slot, ok := v.byName.Get(slotNamed(namespace, name))
	if !ok {
		return nil
	}
	return v.states.Get(slot.index)
}

// added is the view with an executor that was not there before.
func (v view) added(e *Executor, index int) view {
	slot := newSlot(e, index)
	v.byName = v.byName.With(slot)
	if slot.id != "" {
		v.byID = v.byID.With(slot)
	}
	v.states = v.states.With(index, e)
	v.counts[e.State]++
	return v
}

// changed is the view with another state of an executor.
func (v view) changed(before, e *Executor, index int) view {
	v.states = v.states.With(index, e)
	v.counts[before.State]--
	v.counts[e.State]++
	return v
}

// without is the view without an executor that is in it.
func (v view) without(e *Executor, index int) view {
	slot := newSlot(e, index)
	v.byName = v.byName.Without(slot)
	if slot.id != "" {
		v.byID = v.byID.Without(slot)
	}
	v.states = v.states.With(index, nil)
	v.counts[e.State]--
	return v
}

// all walks the executors in the order of their names, then namespaces.
func (v *view) all() iter.Seq[*Executor] {
	return func(yield func(*Executor) bool) {
		for slot := range v.byName.All() {
			if !yield(v.states.Get(slot.index)) {
				return
			}
		}
	}
}

// Len returns the number of executors.
func (s Snapshot) Len() int {
	if s.view == nil {
		return 0
	}
	return s.view.byName.Len()
}

// Get returns the executor whose pod has the given name. Where several
// namespaces are watched and have a pod of that name, it is the first of them
// in the order of the namespaces' names.
func (s Snapshot) Get(name string) (Executor, bool) {
	if s.view == nil {
		return Executor{}, false
	}
	for slot := range s.view.byName.From(slotNamed("", name)) {
		if slot.name != name {
			break
		}
		return *s.view.states.Get(slot.index), true
	}
	return Executor{}, false
}

// ByID returns the executor with the given executor id. Of several pods that
// claim one id, as when an executor was started anew under its old id, it is
// the one created last.
func (s Snapshot) ByID(executorID string) (Executor, bool) {
	if s.view == nil || executorID == "" {
		return Executor{}, false
	}
	var newest *Executor
	for slot := range s.view.byID.From(slotIdentified(executorID)) {
		if slot.id != executorID {
			break
		}
		if e := s.view.states.Get(slot.index); newest == nil || e.CreatedAt.After(newest.CreatedAt) {
			newest = e
		}
	}
	if newest == nil {
		return Executor{}, false
	}
	return *newest, true
}

// All returns the executors in the order of their pods' names, then namespaces.
// The sequence may be used any number of times.
func (s Snapshot) All() iter.Seq[Executor] {
	return func(yield func(Executor) bool) {
		if s.view == nil {
			return
		}
		for e := range s.view.all() {
			if !yield(*e) {
				return
			}
		}
	}
}

// Count returns how many executors are in a state, those that are terminating
// included, without looking at them.
func (s Snapshot) Count(state State) int {
	if s.view == nil || state >= stateCount {
		return 0
	}
	return s.view.counts[state]
}

// ResourceVersion returns the version of the API server's state that the
// snapshot shows, as far as the store has been told; empty if it does not
// know, as for a moment after a list.
func (s Snapshot) ResourceVersion() string {
	if s.view == nil {
		return ""
	}
	return s.view.resourceVersion
}

// Contains reports whether the snapshot shows everything up to a resource
// version. It is false where either version is unknown or cannot be compared.
//
// An executor whose creation is contained, and who is absent nevertheless, has
// come and gone.
func (s Snapshot) Contains(version string) bool {
	order, err := resourceversion.CompareResourceVersion(s.ResourceVersion(), version)
	return err == nil && order >= 0
}

// Complete reports whether the snapshot started from a full list. Until then
// the absence of an executor means nothing.
func (s Snapshot) Complete() bool { return !s.SyncedAt().IsZero() }

// SyncedAt returns when the last full list arrived, the zero time if none has.
// An executor that was registered well before, longer than a list may take, and
// is absent now is missing (SPARK-33711). Where the version of its creation is
// known, Contains tells that without a doubt, and sooner.
func (s Snapshot) SyncedAt() time.Time {
	if s.view == nil {
		return time.Time{}
	}
	return s.view.syncedAt
}
