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

// A Backlog describes the changes that wait for one range over [Store.Batches] or
// [StoreBy.Batches].
type Backlog struct {
	// Reader is the line that called Batches, for example "backend.go:153".
	Reader string
	// Changes is how many changes wait, after merging.
	Changes int
	// Since is when the first of them came.
	Since time.Time
	// Dropped is true if the changes are not kept any more, see [WithBacklogLimit].
	Dropped bool
}

// reader holds the changes that one range over [Store.Batches] has not been shown yet.
// They are merged by pod, so they grow with the pods and not with the events.
type reader struct {
	// Fixed after newReader.
	name string
	// limit bounds the changes that wait, 0 for no bound.
	limit int
	// wake holds a token while there is something to show.
	wake chan struct{}
	// stopped is closed when the source stops. Nothing is added from then on.
	stopped chan struct{}

	// Guarded by the mutex of the records.
	pods map[types.UID]*pending
	// order has the pods in the order of their first waiting changes.
	order []*pending
	// waiting is the number of changes that wait, and since is when the first of them came.
	waiting int
	since   time.Time
	// due is when the reader can take the changes at the earliest.
	due time.Time
	// dropped is true if the changes were dropped at the limit. From then on, missed counts the
	// executors that leave each partition, and shown has the ends that the reader has been shown of
	// each of the others.
	dropped bool
	missed  map[*partition]int
	shown   map[types.UID]int32
	// logged is true if the log has said that the reader lags.
	logged bool
	// isStopped is true once the source has stopped. last then has the views of that time.
	isStopped bool
	last      map[*partition]Snapshot
}

// pending has the changes of one pod that a reader has not been shown.
type pending struct {
	partition *partition
	// before is the step that the reader was shown last. It has no executor before the first.
	before step
	// steps are to be shown. Only the last may be replaced.
	steps []step
	// first is the memory of the first step. Most pods have no other.
	first [1]step
}

func newPending(partition *partition, before step) *pending {
	p := &pending{partition: partition, before: before}
	p.steps = p.first[:0]
	return p
}

func newReader(name string, limit int, due time.Time) *reader {
	return &reader{
		name: name, limit: limit, wake: make(chan struct{}, 1), stopped: make(chan struct{}),
		pods: map[types.UID]*pending{}, missed: map[*partition]int{}, due: due,
	}
}

func (r *reader) backlog() Backlog {
	return Backlog{Reader: r.name, Changes: r.waiting, Since: r.since, Dropped: r.dropped}
}

// add queues the step from before to after of an executor in a partition. ends are those of the
// executors that are present in the store.
func (r *reader) add(in *partition, before, after step, ends map[types.UID]podstate.Ends, now time.Time) {
	if r.waiting == 0 {
		r.since = now
	}
	if r.dropped {
		r.miss(in, before, after)
	} else {
		r.queue(in, before, after)
		if r.limit > 0 && r.waiting > r.limit {
			r.drop(ends)
		}
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *reader) queue(in *partition, before, after step) {
	key := after.key()
	p := r.pods[key]
	if p == nil || p.last().isGone() {
		p = newPending(in, before)
		in.unread++
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
		r.miss(p.partition, p.before, *p.last())
		p.partition.unread--
	}
	r.order, r.pods = nil, map[types.UID]*pending{}
}

// forgetShown removes the executors that have an end that the reader has not been shown.
func (r *reader) forgetShown(ends map[types.UID]podstate.Ends) {
	maps.DeleteFunc(r.shown, func(key types.UID, shown int32) bool { return ends[key].Shown > shown })
}

// miss notes a change that the reader will not be shown. It counts an executor that has
// left. An executor that is present will be shown in its newest state, and that is an
// end to the reader if the executor has ended since before.
func (r *reader) miss(in *partition, before, after step) {
	key := after.key()
	switch {
	case after.isGone():
		if r.missed[in] == 0 {
			in.unread++
		}
		r.missed[in]++
		delete(r.shown, key)
	case before.ends < r.shown[key]:
		r.shown[key] = before.ends
	}
}

// lags reports whether to log the reader: changes have waited for lagTolerance since the reader
// could take them, or were dropped, and the reader has not been logged.
func (r *reader) lags(now time.Time) bool {
	from := r.since
	if r.due.After(from) {
		from = r.due
	}
	return !r.logged && (r.dropped || now.Sub(from) > lagTolerance)
}

// clear removes the waiting changes, which the reader has taken. It does not come again before due.
func (r *reader) clear(due time.Time) {
	select {
	case <-r.wake: // added after the reader woke up, and taken with the rest
	default:
	}
	if len(r.pods) <= maxReusedPending {
		clear(r.pods)
	} else {
		r.pods = map[types.UID]*pending{}
	}
	for _, p := range r.order {
		p.partition.unread--
	}
	for p := range r.missed {
		p.unread--
	}
	r.order, r.missed = nil, map[*partition]int{}
	r.waiting, r.dropped, r.shown = 0, false, nil
	r.due = due
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
