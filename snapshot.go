// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"iter"
	"time"

	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// A Snapshot is the view of an application's executors at one moment. It never
// changes. Taking or copying a snapshot copies one pointer, and any number of goroutines
// may read it. The zero Snapshot is empty and not complete.
//
// A reader can change nothing in a Snapshot: each Executor that it returns is a copy, and
// [Executor.Pod] returns a copy of the pod.
type Snapshot struct {
	view *view
}

// Len returns the number of executors.
func (s Snapshot) Len() int {
	if s.view == nil {
		return 0
	}
	return s.view.byName.Len()
}

// Get returns the executor whose pod has the given name. If several namespaces have
// a pod of that name, Get returns the first in the order of the namespaces.
func (s Snapshot) Get(name string) (Executor, bool) {
	if s.view == nil {
		return Executor{}, false
	}
	for entry := range s.view.byName.From(nameKey("", name)) {
		if entry.name() != name {
			break
		}
		return *s.view.executors.Get(int(entry.index)), true
	}
	return Executor{}, false
}

// GetIn returns the executor whose pod has the given namespace and name.
func (s Snapshot) GetIn(namespace, name string) (Executor, bool) {
	if s.view == nil {
		return Executor{}, false
	}
	e := s.view.named(namespace, name)
	if e == nil {
		return Executor{}, false
	}
	return *e, true
}

// ByID returns the executor with the given executor id. If several pods have the id,
// for example after a scheduler has replaced an executor, ByID returns the pod that
// was created last. Creation times have a precision of a second. Among pods of the same
// second, ByID compares the resource versions at which the store first saw them, and then
// prefers an executor that has not ended.
func (s Snapshot) ByID(executorID string) (Executor, bool) {
	if s.view == nil || executorID == "" {
		return Executor{}, false
	}
	var newest *entry
	for entry := range s.view.byID.From(idKey(executorID)) {
		if entry.id() != executorID {
			break
		}
		if newest == nil || s.view.isYounger(entry, newest) {
			newest = entry
		}
	}
	if newest == nil {
		return Executor{}, false
	}
	return *s.view.executors.Get(int(newest.index)), true
}

// All returns the executors in the order of their pods' names, then namespaces.
// You may range over the sequence any number of times.
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

// Count returns how many executors are in a state, including those that are
// terminating. Its cost does not depend on the number of executors.
func (s Snapshot) Count(state State) int {
	if s.view == nil || state >= stateCount {
		return 0
	}
	return s.view.counts[state]
}

// ResourceVersion returns the resource version up to which the snapshot is complete.
// It is empty if the store does not know it yet, for example right after a list.
func (s Snapshot) ResourceVersion() string {
	if s.view == nil {
		return ""
	}
	return s.view.resourceVersion
}

// Contains reports whether the snapshot shows everything up to a resource version.
// It returns false if either version is unknown or cannot be compared.
//
// If the snapshot contains the version at which an executor was created but not the
// executor, the executor has already been deleted, or the source does not watch
// its namespace or its labels.
func (s Snapshot) Contains(version string) bool {
	order, err := resourceversion.CompareResourceVersion(s.ResourceVersion(), version)
	return err == nil && order >= 0
}

// Complete reports whether the store has received a full list. Until then an executor
// may exist and be absent from the snapshot.
func (s Snapshot) Complete() bool { return !s.SyncedAt().IsZero() }

// SyncedAt returns when the last full list arrived, or the zero time. With WithNamespaces it is the
// time of the oldest of the last lists. If an executor
// registered long before that, longer than a list may take, and is absent from the
// snapshot, it is missing (SPARK-33711). If you know the resource version of its
// creation, use Contains: it answers the same question sooner and exactly.
func (s Snapshot) SyncedAt() time.Time {
	if s.view == nil {
		return time.Time{}
	}
	return s.view.syncedAt
}
