// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"iter"
	"strings"
	"time"

	"github.com/executorpods/watchsource/internal/sorted"
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
	byName sorted.Set[*Executor]
	byID   sorted.Set[*Executor]
	counts [stateCount]int

	resourceVersion string
	syncedAt        time.Time // zero until the first full list
}

func newView(executors []*Executor) *view {
	v := &view{
		byName: sorted.New(compareNames, executors...),
		byID:   sorted.New(compareIDs),
	}
	var identified []*Executor
	for e := range v.byName.All() {
		v.counts[e.State]++
		if e.ID != "" {
			identified = append(identified, e)
		}
	}
	v.byID = sorted.New(compareIDs, identified...)
	return v
}

// compareNames orders by name, then namespace: a look-up by name alone then
// finds all that bear it side by side.
func compareNames(a, b *Executor) int {
	if c := strings.Compare(a.Name, b.Name); c != 0 {
		return c
	}
	return strings.Compare(a.Namespace, b.Namespace)
}

func compareIDs(a, b *Executor) int {
	if c := strings.Compare(a.ID, b.ID); c != 0 {
		return c
	}
	return compareNames(a, b)
}

// with returns the view with e in the place of before, which may be nil.
func (v *view) with(before, e *Executor) *view {
	next := *v
	next.byName = v.byName.With(e)
	if before != nil {
		next.counts[before.State]--
		if before.ID != "" && before.ID != e.ID {
			next.byID = next.byID.Without(before)
		}
	}
	next.counts[e.State]++
	if e.ID != "" {
		next.byID = next.byID.With(e)
	}
	return &next
}

// without returns the view without e, which must be in it.
func (v *view) without(e *Executor) *view {
	next := *v
	next.byName = v.byName.Without(e)
	next.counts[e.State]--
	if e.ID != "" {
		next.byID = v.byID.Without(e)
	}
	return &next
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
	for e := range s.view.byName.From(&Executor{Name: name}) {
		if e.Name != name {
			break
		}
		return *e, true
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
	for e := range s.view.byID.From(&Executor{ID: executorID}) {
		if e.ID != executorID {
			break
		}
		if newest == nil || e.CreatedAt.After(newest.CreatedAt) {
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
		for e := range s.view.byName.All() {
			if !yield(*e) {
				return
			}
		}
	}
}

// Count returns how many executors are in a state, without looking at them.
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

// Complete reports whether the snapshot started from a full list. Until then
// the absence of an executor means nothing.
func (s Snapshot) Complete() bool { return !s.SyncedAt().IsZero() }

// SyncedAt returns when the last full list arrived, the zero time if none has.
// An executor that was registered before and is absent now is missing.
func (s Snapshot) SyncedAt() time.Time {
	if s.view == nil {
		return time.Time{}
	}
	return s.view.syncedAt
}
