// SPDX-License-Identifier: Apache-2.0

// Package catchup asks the API server how far quiet namespaces have come, while a call waits for a
// version.
//
// A watch in which nothing happens learns the version of the server by a bookmark, about once a
// minute. A second watch that is asked to end soon has its bookmark within two seconds
// ([podwatch.Bookmark]). If that is the first event after a version that the running watch has
// reached, nothing has happened in between, and the running watch has come as far.
package catchup

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/executorpods/watchsource/internal/progress"
	"github.com/executorpods/watchsource/internal/rv"
	"github.com/executorpods/watchsource/internal/sleep"
)

const (
	// minPause is the shortest time between the beginnings of two requests in a namespace. It
	// doubles after each request that fails, up to maxPause.
	minPause = time.Second
	maxPause = 16 * time.Second
)

// A Watch is the watch of one namespace. Its functions are called by one goroutine at a time.
type Watch struct {
	Progress *progress.Watch
	// Ask returns the version of a bookmark if nothing has happened between a version and the
	// bookmark, and "" if something has.
	Ask func(ctx context.Context, from string) (version string, err error)
	// Confirm notes that nothing has happened between a position and a version.
	Confirm func(from progress.Position, version string)
}

// A Group has the watches of the namespaces of a source. Its methods are safe for concurrent use. A
// nil Group asks for nothing.
type Group struct {
	// Fixed after New, and the members after Add.
	members []*member
	stopped context.Context
	stop    context.CancelFunc
	follow  func(version string) (stop func())

	// isWanted is true while a call waits.
	isWanted atomic.Bool
	running  sync.WaitGroup

	// Guarded by mu.
	mu sync.Mutex
	// hook has follow until Stop. It is nil before Serve.
	hook *Hook
	// calls has the versions for which calls wait.
	calls map[*string]struct{}
	// wanted is the newest of these versions, "" for none.
	wanted string
	// ctx ends when no call waits any more.
	ctx    context.Context
	cancel context.CancelFunc
}

// A Hook has what a store calls to follow a version.
type Hook = atomic.Pointer[func(version string) (stop func())]

// A member asks in one namespace.
type member struct {
	Watch
	// isBusy is true while a goroutine asks. It is guarded by the mutex of the Group.
	isBusy bool

	// Owned by that goroutine.
	next  time.Time
	pause time.Duration
}

// New returns a group without watches. It is nil for a fake client, whose versions have no order.
func New(fake bool) *Group {
	if fake {
		return nil
	}
	g := &Group{calls: map[*string]struct{}{}}
	g.follow = g.Follow
	g.stopped, g.stop = context.WithCancel(context.Background())
	return g
}

// Add adds a watch, before Serve.
func (g *Group) Add(w Watch) {
	if g != nil {
		g.members = append(g.members, &member{Watch: w, pause: minPause})
	}
}

// Serve lets a store call Follow until Stop.
func (g *Group) Serve(hook *Hook) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hook = hook
	hook.Store(&g.follow)
}

// Follow asks in each namespace that lags, until all have reached a version or until the function
// that it returns is called.
func (g *Group) Follow(version string) (stop func()) {
	call := &version
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.calls) == 0 {
		g.ctx, g.cancel = context.WithCancel(g.stopped)
	}
	g.calls[call] = struct{}{}
	g.wanted = rv.Newer(g.wanted, version)
	g.isWanted.Store(true)
	g.look()
	return func() { g.end(call) }
}

// end notes that a call does not wait any more.
func (g *Group) end(call *string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.calls, call)
	if *call == g.wanted {
		g.wanted = ""
		for other := range g.calls {
			g.wanted = rv.Newer(g.wanted, *other)
		}
	}
	if len(g.calls) == 0 {
		g.isWanted.Store(false)
		g.cancel()
	}
}

// Look notes that the progress of a watch has changed.
func (g *Group) Look() {
	if g == nil || !g.isWanted.Load() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.look()
}

// look begins to ask in each namespace that lags. g.mu is held.
func (g *Group) look() {
	for _, m := range g.members {
		if !m.isBusy && g.lags(m) {
			m.isBusy = true
			g.running.Go(func() { g.catchUp(m) })
		}
	}
}

// lags reports whether a call waits for a namespace. g.mu is held.
func (g *Group) lags(m *member) bool {
	if len(g.calls) == 0 || g.stopped.Err() != nil {
		return false
	}
	_, lags := m.Progress.Lags(g.wanted)
	return lags
}

// catchUp asks in a namespace until it does not lag any more.
func (g *Group) catchUp(m *member) {
	for {
		ctx, ok := g.isNeeded(m)
		if !ok {
			return
		}
		if sleep.For(ctx, time.Until(m.next)) {
			g.ask(ctx, m)
		}
	}
}

// isNeeded reports whether the goroutine of a namespace must ask, and returns the context of the
// request. If not, the goroutine ends.
func (g *Group) isNeeded(m *member) (context.Context, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m.isBusy = g.lags(m)
	return g.ctx, m.isBusy
}

// ask makes one request, if the namespace still lags.
func (g *Group) ask(ctx context.Context, m *member) {
	g.mu.Lock()
	wanted := g.wanted
	g.mu.Unlock()
	from, lags := m.Progress.Lags(wanted)
	if !lags {
		return
	}
	began := time.Now()
	version, err := m.Ask(ctx, from.Version)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		m.pause = min(2*m.pause, maxPause)
	default:
		m.pause = minPause
	}
	m.next = began.Add(m.pause)
	if err == nil && version != "" {
		m.Confirm(from, version)
		g.Look()
	}
}

// Stop ends all requests, and returns when nothing runs any more. Later calls of Follow ask for
// nothing.
func (g *Group) Stop() {
	if g == nil {
		return
	}
	g.stop()
	g.close()
	g.running.Wait()
}

// close ends Serve. When it has returned look starts no goroutine any more.
func (g *Group) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hook != nil {
		g.hook.CompareAndSwap(&g.follow, nil)
	}
}
