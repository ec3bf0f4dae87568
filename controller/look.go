// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"sync"

	"github.com/executorpods/watchsource"
)

// A Look is what a reconcile gets of its owner.
type Look struct {
	// Snapshot is the newest view of the owner's pods. It has at least all that Ends has. It may
	// show an end that the next Look has in Ends.
	Snapshot watchsource.Snapshot
	// Ends are the changes that ended an executor since the last acknowledged look, in their order:
	// those with [watchsource.Change.Ended], and those of pods that have left without an end, whose
	// After is [watchsource.Deleted]. A process has each of them once, and the first look after a
	// start also has the ends of the pods that are there, so a resource that counts ends must
	// know which of them it has counted. The package comment says how.
	Ends []watchsource.Change

	acknowledge func()
}

// Acknowledge removes the ends of the look from the source, so that the next look has only those
// that came later. Call it when the ends are recorded, or when the owner is gone: ends that
// are not acknowledged stay in memory. [Source.Reconciler] calls it.
func (l Look) Acknowledge() {
	if l.acknowledge != nil {
		l.acknowledge()
	}
}

// Of returns the look of an owner. Two looks have the same ends if neither is acknowledged.
// Before Start it has no ends.
func (s *Source[request]) Of(owner request) Look {
	run := s.current()
	if run == nil {
		return Look{Snapshot: s.watch.Snapshot(owner)}
	}
	list, last := run.ends.of(owner) // before the snapshot, which then has all of them
	return Look{
		Snapshot:    s.watch.Snapshot(owner),
		Ends:        list,
		acknowledge: func() { run.ends.remove(owner, last) },
	}
}

// ends are the ends that are not acknowledged. The zero value is ready for use.
type ends[request comparable] struct {
	mu    sync.Mutex
	count uint64 // of all ends so far
	lists map[request][]numberedEnd
}

// A numberedEnd has its number among all ends of a source.
type numberedEnd struct {
	watchsource.Change
	number uint64
}

// add keeps the ends in changes of an owner.
func (e *ends[request]) add(owner request, changes []watchsource.Change) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, change := range changes {
		if !isEnd(change) {
			continue
		}
		if e.lists == nil {
			e.lists = map[request][]numberedEnd{}
		}
		e.count++
		e.lists[owner] = append(e.lists[owner], numberedEnd{change, e.count})
	}
}

// isEnd reports whether a change is the end of an executor, or its departure without one.
func isEnd(change watchsource.Change) bool {
	leftWithoutEnd := change.After.State == watchsource.Deleted && (change.Before == nil || !change.Before.State.Ended())
	return change.Ended || leftWithoutEnd
}

// of returns the ends of an owner, and the number of the last of them.
func (e *ends[request]) of(owner request) (list []watchsource.Change, last uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, end := range e.lists[owner] {
		list, last = append(list, end.Change), end.number
	}
	return list, last
}

// remove removes the ends of an owner up to a number.
func (e *ends[request]) remove(owner request, last uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := e.lists[owner]
	for len(list) > 0 && list[0].number <= last {
		list = list[1:]
	}
	if len(list) == 0 {
		delete(e.lists, owner)
		return
	}
	e.lists[owner] = list
}
