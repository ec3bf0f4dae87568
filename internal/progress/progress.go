// SPDX-License-Identifier: Apache-2.0

// Package progress notes how far several watches of one API server have come.
//
// The versions of one server can be compared, so what the watches have brought together is complete
// up to the oldest of their versions. If one of them finds that the server has begun another history,
// as after a restore from a backup, the versions of the others are of the history before and mean
// nothing any more until these have listed again.
//
// While a watch is open, the server can be asked in another way how far it has come (package catchup).
// The answer counts only if the same watch is still open: after an interruption the server may have
// begun another history.
package progress

import (
	"sync"
	"time"

	"github.com/executorpods/watchsource/internal/rv"
)

// Of returns the watches of some namespaces of one server.
func Of(namespaces []string) []*Watch {
	all := &watches{of: make([]*Watch, len(namespaces))}
	for i := range all.of {
		all.of[i] = &Watch{all: all, namespace: namespaces[i]}
	}
	return all.of
}

type watches struct {
	// mu guards the fields below and those of each Watch.
	mu sync.Mutex
	of []*Watch
	// history counts the histories that the server has begun.
	history int
	// newest is the newest version that a watch has reached in this history.
	newest string
}

// A Watch has the version up to which one watch has brought everything. Any goroutine may use it. A
// nil Watch is alone.
type Watch struct {
	all       *watches
	namespace string
	version   string
	history   int
	listedAt  time.Time
	// opened counts the openings of the watch.
	opened int
	isOpen bool
}

// A Position is a version that a watch has reached, while it was open.
type Position struct {
	Version string
	opened  int
}

// Namespace returns the namespace of the watch, "" for all.
func (w *Watch) Namespace() string {
	if w == nil {
		return ""
	}
	return w.namespace
}

// Listed notes a list. It returns when the oldest of the last lists of all watches arrived.
func (w *Watch) Listed(version string, at time.Time) (oldest time.Time) {
	if w == nil {
		return at
	}
	w.all.mu.Lock()
	defer w.all.mu.Unlock()
	if !w.outdated() && rv.Older(version, w.version) {
		w.all.history++
		w.all.newest = ""
	}
	w.version, w.history, w.listedAt = version, w.all.history, at
	w.all.newest = rv.Newer(w.all.newest, version)
	for _, other := range w.all.of {
		if other.listedAt.Before(at) {
			at = other.listedAt
		}
	}
	return at
}

// Reached notes a version up to which the watch has brought everything. It returns the version up to
// which all watches have, "" if that is unknown.
func (w *Watch) Reached(version string) (oldest string) {
	if w == nil {
		return version
	}
	w.all.mu.Lock()
	defer w.all.mu.Unlock()
	w.reach(version)
	return w.all.oldest()
}

func (w *Watch) reach(version string) {
	w.version = rv.Newer(w.version, version)
	if !w.outdated() {
		w.all.newest = rv.Newer(w.all.newest, w.version)
	}
}

// SetOpen notes that the watch is open, or is not any more.
func (w *Watch) SetOpen(isOpen bool) {
	if w == nil {
		return
	}
	w.all.mu.Lock()
	defer w.all.mu.Unlock()
	w.isOpen = isOpen
	if isOpen {
		w.opened++
	}
}

// Lags returns the version that the watch has reached, and true if it is open, another watch has
// come farther, and the version is older than the wanted one.
func (w *Watch) Lags(wanted string) (Position, bool) {
	w.all.mu.Lock()
	defer w.all.mu.Unlock()
	lags := w.isOpen && !w.outdated() && rv.Older(w.version, w.all.newest) && rv.Older(w.version, wanted)
	return Position{w.version, w.opened}, lags
}

// Confirm notes that nothing has happened between a position of the watch and a version, unless the
// watch was interrupted since or the server has begun another history. It returns the version up to
// which all watches have brought everything, "" if that is unknown.
func (w *Watch) Confirm(from Position, version string) (oldest string) {
	w.all.mu.Lock()
	defer w.all.mu.Unlock()
	if w.isOpen && w.opened == from.opened && !w.outdated() {
		w.reach(version)
	}
	return w.all.oldest()
}

// Oldest returns the version up to which all watches have brought everything, "" if that is unknown.
func (w *Watch) Oldest() string {
	w.all.mu.Lock()
	defer w.all.mu.Unlock()
	return w.all.oldest()
}

func (a *watches) oldest() string {
	oldest := a.of[0].version
	for _, w := range a.of {
		switch {
		case w.version == "" || w.outdated():
			return ""
		case rv.Older(w.version, oldest):
			oldest = w.version
		}
	}
	return oldest
}

// Outdated reports whether another watch has found a new history, and this one has not listed since.
// It must then list.
func (w *Watch) Outdated() bool {
	if w == nil {
		return false
	}
	w.all.mu.Lock()
	defer w.all.mu.Unlock()
	return w.outdated()
}

func (w *Watch) outdated() bool { return w.history != w.all.history }
