// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"sync/atomic"

	"k8s.io/apimachinery/pkg/types"

	"github.com/executorpods/watchsource/internal/places"
	"github.com/executorpods/watchsource/internal/podstate"
	"github.com/executorpods/watchsource/internal/rv"
)

// A partition has the executors of one owner. A [Store] has a single partition.
type partition struct {
	// Fixed after newPartition.
	number uint32
	owner  any // the key of a [StoreBy], nil in a Store

	current atomic.Pointer[published]

	// Guarded by the mutex of the records.
	slots places.Slots
	// unread is the number of changes that wait for readers.
	unread int
}

func newPartition(number uint32, owner any, first view, stopped bool) *partition {
	p := &partition{number: number, owner: owner}
	p.current.Store(&published{view: first, stopped: stopped})
	return p
}

// view returns the newest view.
func (p *partition) view() *view { return &p.current.Load().view }

// publish makes view the newest one.
func (p *partition) publish(view view) {
	p.current.Swap(&published{view: view}).supersede()
}

// publishStop notes that the source has stopped.
func (p *partition) publishStop() {
	p.current.Swap(&published{view: *p.view(), stopped: true}).supersede()
}

// advance publishes the view with a newer version.
func (p *partition) advance(version string) {
	held := p.view().resourceVersion
	if newest := rv.Newer(held, version); newest != held {
		next := *p.view()
		next.resourceVersion = newest
		p.publish(next)
	}
}

// wake makes goroutines that wait for a view look at it again.
func (p *partition) wake() {
	if last := p.current.Load(); last.next.Load() != nil {
		p.current.Store(&published{view: last.view, stopped: last.stopped})
		last.supersede()
	}
}

// of returns the executor with a key, and its index in the view.
func (p *partition) of(pods *places.Places, key types.UID) (index int, known *Executor) {
	at, ok := pods.Of(key)
	if !ok || at.Partition != p.number {
		return 0, nil
	}
	return int(at.Index), p.view().executors.Get(int(at.Index))
}

// endsOf returns the ends of an executor with an index. Without an executor there are none.
func (p *partition) endsOf(pods *places.Places, e *Executor, index int) podstate.Ends {
	if e == nil {
		return podstate.Ends{}
	}
	if all := pods.Ends(); len(all) > 0 {
		if ends, ok := all[e.key()]; ok {
			return ends
		}
	}
	return podstate.EndsOfRun(p.slots.Run(index), e.Restarts)
}

// setEnds notes the ends of an executor with an index.
func (p *partition) setEnds(pods *places.Places, e *Executor, index int, ends podstate.Ends) {
	p.slots.SetRun(index, ends.RunID())
	if ends.Known() {
		pods.SetEnds(e.key(), ends)
	}
}

// changesTo returns the changes from the view before to the view of p after a list: first the
// executors that have left, then those that are new or in another state. A pod in replaced is
// another one than the known pod of its name. A pod in moved has left its owner.
func (p *partition) changesTo(before *view, had, has *places.Places, replaced, moved map[types.UID]bool) []Change {
	var changes []Change
	for known := range before.all() {
		switch at, here := has.Of(known.key()); {
		case moved[known.key()]:
			changes = append(changes, Change{Before: known, After: known.gone(), Gone: Unselected})
		case !here || at.Partition != p.number || replaced[known.key()]:
			changes = append(changes, Change{Before: known, After: known.gone(), Gone: Missed})
		}
	}
	for e := range p.view().all() {
		var known *Executor
		if at, ok := had.Of(e.key()); ok && at.Partition == p.number && !replaced[e.key()] {
			known = before.executors.Get(int(at.Index))
		}
		if known == nil || !known.equals(e) {
			changes = append(changes, Change{Before: known, After: e})
		}
	}
	return changes
}

// A signal wakes goroutines that wait for something to change.
type signal struct{ next atomic.Pointer[chan struct{}] }

// wait returns a channel that is closed by the next fire.
func (s *signal) wait() <-chan struct{} {
	for {
		if c := s.next.Load(); c != nil {
			return *c
		}
		c := make(chan struct{})
		if s.next.CompareAndSwap(nil, &c) {
			return c
		}
	}
}

func (s *signal) fire() {
	if c := s.next.Swap(nil); c != nil {
		close(*c)
	}
}

// published is one view, and a channel that is closed when there is a newer one.
type published struct {
	view    view
	stopped bool                          // the source has stopped, and has not started again
	next    atomic.Pointer[chan struct{}] // made when it is first asked for
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
