// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"errors"
	"sync/atomic"
)

// ErrStopped means that Stop ended a Start or a wait for a snapshot.
var ErrStopped = errors.New("watchsource: the source was stopped")

// published is one view, and a channel that is closed when there is a newer one.
type published struct {
	view    view
	stopped bool                          // the source has stopped, and has not started again
	next    atomic.Pointer[chan struct{}] // made when it is first asked for
}

// A publishedPointer is filled by NewStore, and never nil after that.
type publishedPointer struct{ atomic.Pointer[published] }

// Load panics if the Store is not from NewStore.
func (p *publishedPointer) Load() *published {
	v := p.Pointer.Load()
	if v == nil {
		panic("watchsource: use NewStore to make a Store")
	}
	return v
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
