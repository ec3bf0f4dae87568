// SPDX-License-Identifier: Apache-2.0

package faults

import "time"

// A reader sees the marker.
type reader interface {
	// sees returns the resource version of the marker as the user would read it
	// now.
	sees() string
}

// A watcher is one of the two that are compared.
type watcher interface {
	reader
	holder
	// count returns its counts so far.
	count() count
	// lastError is the last one shown to the user.
	lastError() error
	stop()
}

func readers(watchers []watcher) (readers []reader) {
	for _, w := range watchers {
		readers = append(readers, w)
	}
	return readers
}

// A count has the requests of one watcher and the errors that it has shown to its user.
type count struct {
	lists    int // asked for, streaming ones included
	answered int // of these
	gone     int // times that the server said that a version is gone
	errors   int // shown to the user
}

func (c count) since(before count) count {
	return count{lists: c.lists - before.lists, answered: c.answered - before.answered, gone: c.gone - before.gone, errors: c.errors - before.errors}
}

func (c count) plus(other count) count {
	return count{lists: c.lists + other.lists, answered: c.answered + other.answered, gone: c.gone + other.gone, errors: c.errors + other.errors}
}

func (t *traffic) count(errors int) count {
	return count{lists: int(t.lists.Load()), answered: int(t.answered.Load()), gone: int(t.gone.Load()), errors: errors}
}

// An outcome is how one watcher took one fault.
type outcome struct {
	converged bool
	took      time.Duration
	last      error // shown, of this round or an earlier one
	count
}
