// SPDX-License-Identifier: Apache-2.0

package watchsource

import "k8s.io/apimachinery/pkg/types"

// reader is one range over [Store.Batches]: what it has not been shown yet,
// merged per pod so that it grows with the pods and not with their events.
type reader struct {
	wake chan struct{} // holds a token while there is something to show

	// Guarded by the store's mu.
	lives map[types.UID]*life
	order []*life // of first unseen change
}

// life is the unseen part of one pod's life.
type life struct {
	before *Executor   // as the reader knows it, nil if it does not
	steps  []*Executor // what is to be shown; only the last may be replaced
}

func newReader() *reader {
	return &reader{wake: make(chan struct{}, 1), lives: map[types.UID]*life{}}
}

// add queues the step from before to after.
func (r *reader) add(before, after *Executor) {
	key := after.key()
	l := r.lives[key]
	if l == nil || l.last().State == Deleted {
		l = &life{before: before}
		r.lives[key] = l
		r.order = append(r.order, l)
	}
	if l.open(after) {
		l.steps[len(l.steps)-1] = after
	} else {
		l.steps = append(l.steps, after)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// open reports whether after may replace the last step: an end may not be
// merged away, except by a later state of the same end.
func (l *life) open(after *Executor) bool {
	last := l.last()
	return last != nil && (!last.State.Ended() || after.State == last.State)
}

func (l *life) last() *Executor {
	if len(l.steps) == 0 {
		return nil
	}
	return l.steps[len(l.steps)-1]
}

// take returns the lives with something to show, and forgets them.
func (r *reader) take() []*life {
	select {
	case <-r.wake: // added after the reader woke up, and taken with the rest
	default:
	}
	lives := r.order
	r.order = nil
	r.lives = map[types.UID]*life{}
	return lives
}

// changes spells the lives out.
func changes(lives []*life) []Change {
	var all []Change
	for _, l := range lives {
		before := l.before
		for _, after := range l.steps {
			all = append(all, Change{Before: before, After: after})
			before = after
		}
	}
	return all
}
