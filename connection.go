// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/listwatch"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/rv"
	"github.com/executorpods/watchsource/internal/sleep"
)

const (
	// gatherTime is how long the list of a late source waits for others to share it.
	gatherTime = 10 * time.Millisecond
	// maxListedByName bounds the applications in a selector, and so the length of the
	// request's URL. For more of them all pods are listed.
	maxListedByName = 100
	// listRetryDelay is the time between two attempts at the list of a late source, unless
	// the server asks for more.
	listRetryDelay = time.Second
)

// A connection is the watch of a [SharedWatch] from its first source to its last. It
// passes each event to the sessions of the pod's application.
type connection struct {
	// Fixed after newConnection.
	shared *SharedWatch
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when nothing runs any more
	loop   *listwatch.Loop
	status statusBoard

	calling atomic.Int32 // the callee that the watch goroutine waits for
	listing sync.WaitGroup

	// Owned by the watch goroutine.
	started bool // a watch has been open

	// Guarded by mu, which is never held while user code runs.
	mu              sync.Mutex
	resourceVersion string                // up to which the watch has shown everything
	passedVersion   string                // up to which the sessions have received everything
	waiting         map[*session]int      // calls of a store that wait for a version
	ready           bool                  // a watch is open
	wasReady        bool                  // a watch has been open
	sessions        map[string][]*session // by application; a slice is replaced, not changed
	owners          map[types.UID]string  // the application of each pod
	pods            map[string]int        // the number of pods of each application
	late            []*session            // to be listed
	listingNow      bool                  // a goroutine lists
}

func newConnection(w *SharedWatch) *connection {
	c := &connection{
		shared: w, done: make(chan struct{}),
		waiting: map[*session]int{}, sessions: map[string][]*session{}, owners: map[types.UID]string{}, pods: map[string]int{},
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.status.start("")
	return c
}

// run works until the last session has left, or until the first list has failed.
func (c *connection) run() {
	defer close(c.done)
	defer c.catch()
	selector := c.shared.route.selector()
	logger := c.shared.options.logger.WithValues("selector", selector.String())
	c.status.begin(&c.shared.options, logger, &c.calling)
	config := c.shared.options.loopConfig(c.shared.client, selector, logger)
	config.Known = c.known
	config.Filter = &podwire.Filter{Label: c.shared.route.key, Wants: c.wants}
	config.Sink, config.Report, config.Begin = c, c.report, func() bool { return true }
	c.loop = listwatch.New(config)
	err := c.loop.Run(c.ctx)
	c.finish(err, nil)
}

// stop ends the status, and keeps it for the SharedWatch.
func (c *connection) stop() {
	c.status.stop()
	c.shared.ended(c.status.read())
}

// catch makes a panic before the first watch one of the Starts that wait.
func (c *connection) catch() {
	if c.started {
		return // the panic ends the program, with its stack
	}
	if p := listwatch.PanicOf(recover()); p != nil {
		c.finish(p, p)
	}
}

// finish ends the sessions that are left.
func (c *connection) finish(err error, panicked *listwatch.CaughtPanic) {
	c.shared.fail(c, err)
	c.listing.Wait()
	c.stop()
	for _, s := range c.all() {
		if panicked != nil {
			s.panicked = panicked
		}
		s.end(err)
	}
}

func (c *connection) add(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sessions[s.appID] = append(slices.Clone(c.sessions[s.appID]), s)
}

// remove reports whether no session is left.
func (c *connection) remove(s *session) (last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(c.sessions[s.appID]), func(other *session) bool { return other == s })
	if len(left) > 0 {
		c.sessions[s.appID] = left
	} else {
		delete(c.sessions, s.appID)
	}
	return len(c.sessions) == 0
}

// all returns the sessions in no order.
func (c *connection) all() []*session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Concat(slices.Collect(maps.Values(c.sessions))...)
}

// wants reports whether a started application has, or has had, a pod.
func (c *connection) wants(uid, appID []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.sessions[string(appID)]; ok {
		return true
	}
	_, ok := c.sessions[c.owners[types.UID(uid)]]
	return ok
}

// known returns what a store has of the pod with a UID, see [Store.known].
func (c *connection) known(uid []byte) podwire.Known {
	var known podwire.Known
	for _, s := range c.sessionsOf(types.UID(uid)) {
		own, ok := s.source.store.(*Store)
		if !ok {
			continue
		}
		if known = own.known(uid); known.Pod != nil {
			break
		}
	}
	return known
}

// sessionsOf returns the sessions of the application that has a pod.
func (c *connection) sessionsOf(uid types.UID) []*session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[c.owners[uid]]
}

func (c *connection) appOf(pod *podwire.Pod) string {
	app, _ := pod.Label(c.shared.route.key)
	return app
}

// byApp splits pods by their applications.
func (c *connection) byApp(pods []*podwire.Pod) map[string][]*podwire.Pod {
	split := map[string][]*podwire.Pod{}
	for _, pod := range pods {
		app := c.appOf(pod)
		split[app] = append(split[app], pod)
	}
	return split
}

// Replace implements [listwatch.Sink], as the following methods do.
func (c *connection) Replace(pods []*podwire.Pod, resourceVersion string) {
	byApp := c.byApp(pods)
	owners := make(map[types.UID]string, len(pods))
	counts := make(map[string]int, len(byApp))
	for app, pods := range byApp {
		counts[app] = len(pods)
		for _, pod := range pods {
			owners[podKeyOf(pod)] = app
		}
	}
	c.mu.Lock()
	c.resourceVersion, c.owners, c.pods = resourceVersion, owners, counts
	c.passedVersion = "" // it may be of another history
	c.mu.Unlock()
	for _, s := range c.all() {
		s.replace(byApp[s.appID], resourceVersion)
	}
	c.passed(resourceVersion)
}

func (c *connection) Receive(event watch.Event) error {
	pod, err := listwatch.PodOf(event)
	if err != nil {
		return err
	}
	if event.Type == watch.Bookmark {
		c.advance(pod.ResourceVersion)
		return nil
	}
	here, before := c.route(event.Type, pod)
	for _, s := range before {
		s.route(event, pod)
	}
	for _, s := range here {
		s.route(event, pod)
	}
	c.passed(pod.ResourceVersion)
	return nil
}

// passed notes that the sessions have received everything up to a version, and passes it
// to those that wait for one.
func (c *connection) passed(resourceVersion string) {
	c.mu.Lock()
	c.passedVersion = rv.Newer(c.passedVersion, resourceVersion)
	var waiting []*session
	for s := range c.waiting {
		waiting = append(waiting, s)
	}
	c.mu.Unlock()
	for _, s := range waiting {
		s.advanceToPassed()
	}
}

// wait passes versions to a session until the function that it returns is called.
func (c *connection) wait(s *session) (stop func()) {
	c.mu.Lock()
	c.waiting[s]++
	c.mu.Unlock()
	s.advanceToPassed()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.waiting[s]--; c.waiting[s] == 0 {
			delete(c.waiting, s)
		}
	}
}

// passedTo returns the version up to which the sessions have received everything.
func (c *connection) passedTo() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.passedVersion
}

// advance passes the version of a bookmark to all sessions.
func (c *connection) advance(resourceVersion string) {
	c.mu.Lock()
	c.resourceVersion = rv.Newer(c.resourceVersion, resourceVersion)
	c.mu.Unlock()
	for _, s := range c.all() {
		s.advanceTo(resourceVersion)
	}
	c.passed(resourceVersion)
}

// route returns the sessions of a pod's application, and those of the application that
// the pod belonged to before its label changed.
func (c *connection) route(event watch.EventType, pod *podwire.Pod) (here, before []*session) {
	key, app := podKeyOf(pod), c.appOf(pod)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resourceVersion = rv.Newer(c.resourceVersion, pod.ResourceVersion)
	owner, known := c.owners[key]
	if known && owner != app {
		before = c.sessions[owner]
	}
	if known && (owner != app || event == watch.Deleted) {
		delete(c.owners, key)
		if c.pods[owner]--; c.pods[owner] == 0 {
			delete(c.pods, owner)
		}
		known = false
	}
	if !known && event != watch.Deleted {
		c.owners[key] = app
		c.pods[app]++
	}
	return c.sessions[app], before
}

func (c *connection) ResourceVersion() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resourceVersion
}

func (c *connection) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resourceVersion = ""
}

// report updates the status, calls the observer, and admits the sessions that wait for a
// watch.
func (c *connection) report(e listwatch.Event) {
	c.shared.options.report(e, &c.status, &c.calling)
	switch e.Kind {
	case listwatch.Opened:
		c.started = true
		c.setReady(true)
		for _, s := range c.all() {
			s.admit()
		}
	case listwatch.Closed:
		c.setReady(false)
	}
}

func (c *connection) setReady(ready bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ready, c.wasReady = ready, c.wasReady || ready
}

// isInterrupted reports whether no watch is open although one has been.
func (c *connection) isInterrupted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wasReady && !c.ready
}

// view returns the version up to which the watch has shown everything, and whether it
// has shown a pod of an application. It is not ready while no watch is open.
func (c *connection) view(appID string) (resourceVersion string, has, ready bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resourceVersion, c.pods[appID] > 0, c.ready
}

// list queues a session for a list of its application.
func (c *connection) list(s *session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = append(c.late, s)
	if !c.listingNow && c.ctx.Err() == nil {
		c.listingNow = true
		c.listing.Go(c.listLate)
	}
}

// listLate lists until no session is late. Sessions that come while a list is on its way
// share the next one.
func (c *connection) listLate() {
	for {
		sleep.For(c.ctx, gatherTime)
		late := c.takeLate()
		if len(late) == 0 {
			return
		}
		pods, resourceVersion, err := c.listOf(late)
		switch {
		case c.ctx.Err() != nil:
		case err != nil:
			for _, s := range late {
				s.listFailed(err)
			}
			sleep.For(c.ctx, max(listRetryDelay, listwatch.ServerDelay(err)))
		default:
			for _, s := range late {
				s.receiveList(pods[s.appID], resourceVersion)
			}
		}
	}
}

func (c *connection) takeLate() []*session {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		c.late = nil
	}
	late := c.late
	c.late, c.listingNow = nil, len(late) > 0
	return late
}

// listOf lists the pods of some sessions, by application.
func (c *connection) listOf(sessions []*session) (pods map[string][]*podwire.Pod, resourceVersion string, err error) {
	selector := c.shared.route.selector()
	if len(sessions) <= maxListedByName {
		var appIDs []string
		for _, s := range sessions {
			appIDs = append(appIDs, s.appID)
		}
		selector = c.shared.route.selectorOf(appIDs)
	}
	all, resourceVersion, err := c.loop.List(c.ctx, selector.String())
	return c.byApp(all), resourceVersion, err
}

// statusSince returns the status for a session that began at base.
func (c *connection) statusSince(base, own Status) Status {
	now := c.status.read()
	now.AppID = own.AppID
	now.Lists -= base.Lists
	now.Relists -= base.Relists
	now.Resumes -= base.Resumes
	now.Stalls -= base.Stalls
	now.Errors -= base.Errors
	now.Events -= base.Events
	if own.Phase == Starting {
		now.Phase = Starting
	}
	if now.Since.Before(own.Since) {
		now.Since = own.Since
	}
	if now.ErrAt.Before(own.Since) {
		now.Err, now.ErrAt = nil, time.Time{}
	}
	if own.ErrAt.After(now.ErrAt) { // of the list of a late source
		now.Err, now.ErrAt = own.Err, own.ErrAt
	}
	return now
}
