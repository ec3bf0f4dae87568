// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// lagTolerance is how long a reader may leave a change lying after it could
// have taken it, before it is named in the log.
const lagTolerance = 30 * time.Second

// fewLives is how many unseen lives a reader may have had for the map of them to
// be used again: one that was large once would stay so.
const fewLives = 64

// A Backlog is what one range over [Store.Batches] has not been shown yet.
type Backlog struct {
	Reader  string    // the call of Batches, "backend.go:153"
	Changes int       // that wait, after merging
	Since   time.Time // when the first of them came
	GivenUp bool      // they are not kept any more, see WithBacklogLimit
}

// Backlogs returns the readers for which something waits, the one that has
// stayed away longest first; such as for metrics.
func (s *Store) Backlogs() []Backlog {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Backlog
	for r := range s.readers {
		if r.waiting > 0 {
			all = append(all, r.backlog())
		}
	}
	slices.SortFunc(all, func(a, b Backlog) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Reader, b.Reader))
	})
	return all
}

// reader is one range over [Store.Batches]: what it has not been shown yet,
// merged per pod so that it grows with the pods and not with their events.
type reader struct {
	// Fixed after newReader.
	name  string
	limit int           // of changes that wait, 0 for none
	wake  chan struct{} // holds a token while there is something to show

	// Guarded by the store's mu.
	lives   map[types.UID]*life
	order   []*life             // of first unseen change
	waiting int                 // changes in all lives
	since   time.Time           // of the first of them
	due     time.Time           // when the reader can take them at the earliest
	givenUp bool                // the lives, at the limit
	missed  int                 // executors that have left, among what was given up
	shown   map[types.UID]int32 // ends of each executor, when the lives were given up
	named   bool                // in the log
}

// step is a state of an executor, and how many ends it has had by then.
type step struct {
	*Executor
	ends int32
}

// gone is the step that follows when the pod leaves.
func (s step) gone() step { return step{s.Executor.gone(), s.ends} }

// life is the unseen part of one pod's life.
type life struct {
	before step    // as the reader knows it, without an executor if it does not
	steps  []step  // what is to be shown; only the last may be replaced
	first  [1]step // where steps begins: most lives have one
}

func newLife(before step) *life {
	l := &life{before: before}
	l.steps = l.first[:0]
	return l
}

func newReader(name string, limit int, due time.Time) *reader {
	return &reader{name: name, limit: limit, wake: make(chan struct{}, 1), lives: map[types.UID]*life{}, due: due}
}

func (r *reader) backlog() Backlog {
	return Backlog{Reader: r.name, Changes: r.waiting, Since: r.since, GivenUp: r.givenUp}
}

// add queues the step from before to after. ends are those of the executors that
// are present in the store.
func (r *reader) add(before, after step, ends map[types.UID]end, now time.Time) {
	if r.waiting == 0 {
		r.since = now
	}
	if r.givenUp {
		r.miss(before, after)
	} else {
		r.queue(before, after)
		if r.limit > 0 && r.waiting > r.limit {
			r.giveUp(ends)
		}
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *reader) queue(before, after step) {
	key := after.key()
	l := r.lives[key]
	if l == nil || l.last().State == Deleted {
		l = newLife(before)
		r.lives[key] = l
		r.order = append(r.order, l)
	}
	if l.open(after) {
		l.steps[len(l.steps)-1] = after
		return
	}
	l.steps = append(l.steps, after)
	r.waiting++
}

// giveUp forgets the lives, and keeps none until the reader comes: it will be
// shown everything present instead. It has been shown all ends but those in the
// lives.
func (r *reader) giveUp(ends map[types.UID]end) {
	r.givenUp = true
	r.shown = make(map[types.UID]int32, len(ends))
	for key, end := range ends {
		r.shown[key] = end.number
	}
	for _, l := range r.order {
		r.miss(l.before, *l.last())
	}
	r.order, r.lives = nil, map[types.UID]*life{}
}

// miss counts an executor that has left, because the reader will not be shown
// how. One that is there will be shown as it is; if it has ended since before,
// that is an end to the reader.
func (r *reader) miss(before, after step) {
	key := after.key()
	switch {
	case after.State == Deleted:
		r.missed++
		delete(r.shown, key)
	case before.ends < r.shown[key]:
		r.shown[key] = before.ends
	}
}

// lags reports whether the reader deserves to be named, and has not been yet.
func (r *reader) lags(now time.Time) bool {
	from := r.since
	if r.due.After(from) {
		from = r.due
	}
	return !r.named && (r.givenUp || now.Sub(from) > lagTolerance)
}

// take returns what there is to show, and forgets it. The reader will not come
// again before due.
func (r *reader) take(due time.Time) reader {
	select {
	case <-r.wake: // added after the reader woke up, and taken with the rest
	default:
	}
	taken := *r
	if len(r.lives) <= fewLives {
		clear(r.lives)
	} else {
		r.lives = map[types.UID]*life{}
	}
	r.order = nil
	r.waiting, r.givenUp, r.missed, r.shown = 0, false, 0, nil
	r.due = due
	return taken
}

// open reports whether after may replace the last step: an end may not be
// merged away, except by a later state of the same end.
func (l *life) open(after step) bool {
	last := l.last()
	return last != nil && (!last.State.Ended() || after.State.Ended() && last.ends == after.ends)
}

func (l *life) last() *step {
	if len(l.steps) == 0 {
		return nil
	}
	return &l.steps[len(l.steps)-1]
}

// changes spells the lives out.
func changes(lives []*life) []Change {
	var all []Change
	for _, l := range lives {
		before := l.before
		for _, after := range l.steps {
			all = append(all, change(before, after))
			before = after
		}
	}
	return all
}

func change(before, after step) Change {
	return Change{
		Before: before.Executor,
		After:  after.Executor,
		end:    verdictOf(after.State.Ended() && after.ends > before.ends),
	}
}
