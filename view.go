// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"iter"
	"strings"
	"time"
	"unique"

	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/places"
	"github.com/executorpods/watchsource/internal/rv"
	"github.com/executorpods/watchsource/internal/sorted"
	"github.com/executorpods/watchsource/internal/vector"
)

// view has the contents of a Snapshot. The store makes a new one for every change.
type view struct {
	byName    sorted.Set[*entry]
	byID      sorted.Set[*entry]
	executors vector.Vector[Executor]
	counts    [stateCount]int

	resourceVersion string
	syncedAt        time.Time // zero until the first full list
}

// newView returns a view of executors that follows the view before, and the slots of it. It adds the
// places of the executors to pods. If several have the same key or the same name, the last
// one counts.
func newView(executors []*Executor, before *view, partition uint32, pods *places.Places) (view, places.Slots) {
	last := make(map[types.UID]int, len(executors))
	for i, e := range executors {
		last[e.key()] = i
	}
	all := make([]*entry, 0, len(last))
	for i, e := range executors {
		if last[e.key()] == i {
			all = append(all, newEntry(e, i, rv.Number(e.ResourceVersion)))
		}
	}
	v := view{byName: sorted.New(compareNames, all...), byID: sorted.New(compareIDs)}
	v.keepFirstVersions(executors, before)
	states := make([]*Executor, 0, v.byName.Len())
	var identified []*entry
	for entry := range v.byName.All() {
		e := executors[entry.index]
		entry.index = int32(len(states)) // in the order in which All will walk
		states = append(states, e)
		pods.Put(e.key(), places.Place{Partition: partition, Index: uint32(entry.index)})
		v.counts[e.State]++
		if e.ID != "" {
			identified = append(identified, entry)
		}
	}
	v.byID = sorted.New(compareIDs, identified...)
	v.executors = vector.Of(states)
	return v, places.Filled(len(states))
}

// named returns the executor whose pod has a name, or nil.
func (v *view) named(namespace, name string) *Executor {
	entry, ok := v.byName.Get(nameKey(namespace, name))
	if !ok {
		return nil
	}
	return v.executors.Get(int(entry.index))
}

// keepFirstVersions copies the first versions of the executors that a view had before. Both
// walks are in the order of the names.
func (v *view) keepFirstVersions(executors []*Executor, before *view) {
	if before.byName.Len() == 0 {
		return
	}
	next, stop := iter.Pull(before.byName.All())
	defer stop()
	known, more := next()
	for entry := range v.byName.All() {
		for more && compareNames(known, entry) < 0 {
			known, more = next()
		}
		if more && compareNames(known, entry) == 0 && before.executors.Get(int(known.index)).UID == executors[entry.index].UID {
			entry.firstVersion = known.firstVersion
		}
	}
}

// firstVersion returns the version at which an executor of the view was first seen.
func (v *view) firstVersion(e *Executor) uint64 {
	entry, _ := v.byName.Get(nameKey(e.Namespace, e.Name))
	return entry.firstVersion
}

// isYounger reports whether the pod of an entry was created after that of another one.
func (v *view) isYounger(a, b *entry) bool {
	one, other := v.executors.Get(int(a.index)), v.executors.Get(int(b.index))
	switch {
	case !one.CreatedAt.Equal(other.CreatedAt):
		return one.CreatedAt.After(other.CreatedAt)
	case a.firstVersion != b.firstVersion && a.firstVersion != 0 && b.firstVersion != 0:
		return a.firstVersion > b.firstVersion
	default:
		return !one.State.Ended() && other.State.Ended()
	}
}

// added returns the view with another executor, which was first seen at a version.
func (v view) added(e *Executor, index int, firstVersion uint64) view {
	entry := newEntry(e, index, firstVersion)
	v.byName = v.byName.With(entry)
	if entry.id() != "" {
		v.byID = v.byID.With(entry)
	}
	v.executors = v.executors.With(index, e)
	v.counts[e.State]++
	return v
}

// changed returns the view with a new state of an executor.
func (v view) changed(before, e *Executor, index int) view {
	v.executors = v.executors.With(index, e)
	v.counts[before.State]--
	v.counts[e.State]++
	return v
}

// without returns the view without one of its executors.
func (v view) without(e *Executor, index int) view {
	entry := newEntry(e, index, 0)
	v.byName = v.byName.Without(entry)
	if entry.id() != "" {
		v.byID = v.byID.Without(entry)
	}
	v.executors = v.executors.With(index, nil)
	v.counts[e.State]--
	return v
}

// all yields the executors in the order of their names, then namespaces.
func (v *view) all() iter.Seq[*Executor] {
	return func(yield func(*Executor) bool) {
		for entry := range v.byName.All() {
			if !yield(v.executors.Get(int(entry.index))) {
				return
			}
		}
	}
}

// entry is the place of one pod in a view: its names, and the index of its newest
// state. A change of state does not change the entry, so only pods that come or leave
// cost a search in the sorted sets. Entries are ordered by their names alone.
//
// An entry is kept small, because there is one for each pod.
type entry struct {
	// names is the name, followed by the id unless the name ends with it. nameEnd and idStart
	// are offsets in names.
	names            string
	nameEnd, idStart uint32
	// namespace is a handle, because most pods share one.
	namespace unique.Handle[string]
	// firstVersion orders pods by when they were first seen, 0 if unknown.
	firstVersion uint64
	index        int32
}

func newEntry(e *Executor, index int, firstVersion uint64) *entry {
	names, idStart := e.Name, len(e.Name)-len(e.ID)
	if !strings.HasSuffix(e.Name, e.ID) {
		names, idStart = e.Name+e.ID, len(e.Name)
	}
	return &entry{
		names: names, nameEnd: uint32(len(e.Name)), idStart: uint32(idStart), namespace: unique.Make(e.Namespace),
		firstVersion: firstVersion, index: int32(index),
	}
}

func (e *entry) name() string { return e.names[:e.nameEnd] }
func (e *entry) id() string   { return e.names[e.idStart:] }

// nameKey returns an entry to search for by name.
func nameKey(namespace, name string) *entry {
	return newEntry(&Executor{Name: name, Namespace: namespace}, 0, 0)
}

// idKey returns an entry that is ordered before all entries with an id.
func idKey(id string) *entry { return newEntry(&Executor{ID: id}, 0, 0) }

// compareNames orders by name, then namespace. Pods of one name in several namespaces
// are therefore neighbours.
func compareNames(a, b *entry) int {
	if c := strings.Compare(a.name(), b.name()); c != 0 {
		return c
	}
	return strings.Compare(a.namespace.Value(), b.namespace.Value())
}

func compareIDs(a, b *entry) int {
	if c := strings.Compare(a.id(), b.id()); c != 0 {
		return c
	}
	return compareNames(a, b)
}
