// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"iter"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unique"

	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podstate"
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

// newView returns a view of executors that follows another one, and their positions in it. If
// several have the same key or the same name, the last one counts.
func newView(executors []*Executor, before *view) (view, positions) {
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
	s := positions{byKey: make(map[types.UID]int, v.byName.Len()), ends: map[types.UID]podstate.Ends{}, used: v.byName.Len()}
	states := make([]*Executor, 0, s.used)
	var identified []*entry
	for entry := range v.byName.All() {
		e := executors[entry.index]
		entry.index = int32(len(states)) // in the order in which All will walk
		states = append(states, e)
		s.byKey[e.key()] = int(entry.index)
		v.counts[e.State]++
		if e.ID != "" {
			identified = append(identified, entry)
		}
	}
	v.byID = sorted.New(compareIDs, identified...)
	v.executors = vector.Of(states)
	return v, s
}

// of returns the executor with a key, and its index in the view.
func (v *view) of(positions *positions, key types.UID) (index int, known *Executor) {
	index, ok := positions.of(key)
	if !ok {
		return 0, nil
	}
	return index, v.executors.Get(index)
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

// changesTo returns the changes to the view next of a list: first the executors that have left,
// then those that are new or in another state. A pod in replaced is another one than the known pod
// of its name.
func (v *view) changesTo(next *view, had, has *positions, replaced map[types.UID]bool) []Change {
	var changes []Change
	for known := range v.all() {
		if _, here := has.byKey[known.key()]; !here || replaced[known.key()] {
			changes = append(changes, Change{Before: known, After: known.gone()})
		}
	}
	for e := range next.all() {
		_, known := v.of(had, e.key())
		if replaced[e.key()] {
			known = nil
		}
		if known == nil || !known.equals(e) {
			changes = append(changes, Change{Before: known, After: e})
		}
	}
	return changes
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

// positions has the index of each pod in the view, and what only the writer of a store needs
// of the pod.
type positions struct {
	byKey map[types.UID]int
	// runs has by index the newest run of the executor container, see [podstate.EndsOfRun].
	runs []uint64
	// ends has the ends of the executors that have had one.
	ends map[types.UID]podstate.Ends
	// free are the indexes below used that no pod has.
	free []int
	used int

	// The key that was looked up last, which often is looked up again.
	lastKey   types.UID
	lastIndex int
}

// of returns the index of a pod.
func (s *positions) of(key types.UID) (index int, ok bool) {
	if key == s.lastKey && key != "" {
		return s.lastIndex, true
	}
	index, ok = s.byKey[key]
	if ok {
		s.lastKey, s.lastIndex = key, index
	}
	return index, ok
}

// ofUID returns the index of a pod with a UID. It copies nothing.
func (s *positions) ofUID(uid []byte) (index int, ok bool) {
	index, ok = s.byKey[types.UID(uid)]
	return index, ok
}

// take assigns an index to a pod, which keeps it until it leaves.
func (s *positions) take(e *Executor) int {
	index := s.used
	if last := len(s.free) - 1; last >= 0 {
		index, s.free = s.free[last], s.free[:last]
	} else {
		s.used++
	}
	s.byKey[e.key()] = index
	return index
}

func (s *positions) release(e *Executor) {
	index := s.byKey[e.key()]
	s.free = append(s.free, index)
	s.lastKey = ""
	delete(s.byKey, e.key())
	delete(s.ends, e.key())
}

// endsOf returns the ends of an executor with an index. Without an executor there are none.
func (s *positions) endsOf(e *Executor, index int) podstate.Ends {
	if e == nil {
		return podstate.Ends{}
	}
	if len(s.ends) > 0 {
		if ends, ok := s.ends[e.key()]; ok {
			return ends
		}
	}
	return podstate.EndsOfRun(s.runs[index], e.Restarts)
}

func (s *positions) setEnds(e *Executor, index int, ends podstate.Ends) {
	if more := s.used - len(s.runs); more > 0 {
		s.runs = slices.Grow(s.runs, more)[:s.used]
	}
	s.runs[index] = ends.RunID()
	if ends.Known() {
		s.ends[e.key()] = ends
	}
}

// step returns a state with the number of ends until then.
func (s *positions) step(e *Executor) step {
	if e == nil || len(s.ends) == 0 {
		return step{Executor: e}
	}
	return step{Executor: e, ends: s.ends[e.key()].Shown}
}

// published is one view, and a channel that is closed when there is a newer one.
type published struct {
	view    view
	stopped bool                          // the source has stopped, and has not started again
	next    atomic.Pointer[chan struct{}] // made when it is first asked for
}

// A publishedPointer is filled by NewStore, and never nil after that.
type publishedPointer struct{ atomic.Pointer[published] }

// Load panics if the Store is not from NewStore.
func (p *publishedPointer) Load() *published {
	v := p.Pointer.Load()
	if v == nil {
		panic("watchsource: use NewStore to make a Store")
	}
	return v
}

var closedChannel = func() *chan struct{} {
	c := make(chan struct{})
	close(c)
	return &c
}()

// superseded returns the channel that is closed once a newer version exists.
func (v *published) superseded() <-chan struct{} {
	if c := v.next.Load(); c != nil {
		return *c
	}
	c := make(chan struct{})
	if v.next.CompareAndSwap(nil, &c) {
		return c
	}
	return *v.next.Load()
}

func (v *published) supersede() {
	if c := v.next.Swap(closedChannel); c != nil {
		close(*c)
	}
}
