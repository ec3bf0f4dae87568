// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"maps"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/podstate"
)

// lagTolerance is how long a change may wait for a reader that could have taken it,
// before the store logs the reader.
const lagTolerance = 30 * time.Second

// A reader's map is reused only if it held at most maxReusedPending entries, because
// a Go map never shrinks.
const maxReusedPending = 64

// A Backlog describes the changes that wait for one range over [Store.Batches].
type Backlog struct {
	Reader  string    // the call of Batches, "backend.go:153"
	Changes int       // that wait, after merging
	Since   time.Time // when the first of them came
	Dropped bool      // they are not kept any more, see WithBacklogLimit
}

// reader holds the changes that one range over [Store.Batches] has not been shown yet.
// They are merged by pod, so they grow with the pods and not with the events.
type reader struct {
	// Fixed after newReader.
	name    string
	limit   int           // of changes that wait, 0 for none
	wake    chan struct{} // holds a token while there is something to show
	stopped chan struct{} // closed when the source stops; nothing is added from then on

	// Guarded by the store's mu.
	pods    map[types.UID]*pending
	order   []*pending          // by first waiting change
	waiting int                 // changes of all pods
	since   time.Time           // of the first of them
	due     time.Time           // when the reader can take them at the earliest
	dropped bool                // the changes were dropped at the limit
	missed  int                 // executors that left after the changes were dropped, or before unseen
	shown   map[types.UID]int32 // ends of each executor when the changes were dropped
	named   bool                // in the log
	last    *view               // the view when the source stopped, nil before
}

// pending has the changes of one pod that a reader has not been shown.
type pending struct {
	before step    // as the reader knows it; without an executor if it does not know it
	steps  []step  // to be shown; only the last may be replaced
	first  [1]step // where steps begins: most pods have one
}

func newPending(before step) *pending {
	p := &pending{before: before}
	p.steps = p.first[:0]
	return p
}

func newReader(name string, limit int, due time.Time) *reader {
	return &reader{
		name: name, limit: limit, wake: make(chan struct{}, 1), stopped: make(chan struct{}),
		pods: map[types.UID]*pending{}, due: due,
	}
}

func (r *reader) backlog() Backlog {
	return Backlog{Reader: r.name, Changes: r.waiting, Since: r.since, Dropped: r.dropped}
}

// add queues the step from before to after. ends are those of the executors that
// are present in the store.
func (r *reader) add(before, after step, ends map[types.UID]podstate.Ends, now time.Time) {
	if r.waiting == 0 {
		r.since = now
	}
	if r.dropped {
		r.miss(before, after)
	} else {
		r.queue(before, after)
		if r.limit > 0 && r.waiting > r.limit {
			r.drop(ends)
		}
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *reader) queue(before, after step) {
	key := after.key()
	p := r.pods[key]
	if p == nil || p.last().State == Deleted {
		p = newPending(before)
		r.pods[key] = p
		r.order = append(r.order, p)
	}
	if p.open(after) {
		p.steps[len(p.steps)-1] = after
		return
	}
	p.steps = append(p.steps, after)
	r.waiting++
}

// drop drops the waiting changes and keeps none until the reader returns. The reader
// is then shown everything present. It has been shown all ends except those dropped
// here.
func (r *reader) drop(ends map[types.UID]podstate.Ends) {
	r.dropped = true
	r.shown = make(map[types.UID]int32, len(ends))
	for key, known := range ends {
		r.shown[key] = known.Shown
	}
	for _, p := range r.order {
		r.miss(p.before, *p.last())
	}
	r.order, r.pods = nil, map[types.UID]*pending{}
}

// stop keeps what waits for the last batch. The source has stopped with the view last,
// and ends are those of the executors in it.
func (r *reader) stop(last *view, ends map[types.UID]podstate.Ends) {
	if r.last != nil {
		return
	}
	r.last = last
	r.forgetShown(ends)
	close(r.stopped)
}

// forgetShown removes the executors that have an end that the reader has not been shown.
func (r *reader) forgetShown(ends map[types.UID]podstate.Ends) {
	maps.DeleteFunc(r.shown, func(key types.UID, shown int32) bool { return ends[key].Shown > shown })
}

// miss notes a change that the reader will not be shown. It counts an executor that has
// left. An executor that is present will be shown in its newest state, and that is an
// end to the reader if the executor has ended since before.
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
	return !r.named && (r.dropped || now.Sub(from) > lagTolerance)
}

// take returns the waiting changes and removes them. The reader does not call it again
// before due.
func (r *reader) take(due time.Time) reader {
	select {
	case <-r.wake: // added after the reader woke up, and taken with the rest
	default:
	}
	taken := *r
	if len(r.pods) <= maxReusedPending {
		clear(r.pods)
	} else {
		r.pods = map[types.UID]*pending{}
	}
	r.order = nil
	r.waiting, r.dropped, r.missed, r.shown = 0, false, 0, nil
	r.due = due
	return taken
}

// open reports whether after may replace the last step: an end may not be
// merged away, except by a later state of the same end.
func (p *pending) open(after step) bool {
	last := p.last()
	return last != nil && (!last.State.Ended() || after.State.Ended() && last.ends == after.ends)
}

func (p *pending) last() *step {
	if len(p.steps) == 0 {
		return nil
	}
	return &p.steps[len(p.steps)-1]
}

// changesOf returns the waiting changes of some pods, one by one.
func changesOf(pods []*pending) []Change {
	var all []Change
	for _, p := range pods {
		before := p.before
		for _, after := range p.steps {
			all = append(all, changeOf(before, after))
			before = after
		}
	}
	return all
}
