// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource/internal/caught"
	"github.com/executorpods/watchsource/internal/latelist"
	"github.com/executorpods/watchsource/internal/listwatch"
	"github.com/executorpods/watchsource/internal/podclient"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/roster"
	"github.com/executorpods/watchsource/internal/routing"
	"github.com/executorpods/watchsource/internal/rv"
	"github.com/executorpods/watchsource/internal/usercode"
)

// maxListedByName bounds the applications in a selector, and so the length of the request's
// URL. For more of them all pods are listed.
const maxListedByName = 100

// A connection is the watch of a [SharedWatch] from its first member to its last. It is the
// sink of the loop, and passes each event to the members of the pod's application.
type connection struct {
	// Fixed after newConnection.
	client    kubernetes.Interface
	options   *sourceOptions
	routing   routing.Label
	selector  labels.Selector // selects the pods of all applications
	logger    logr.Logger
	ctx       context.Context
	cancel    context.CancelCauseFunc
	done      chan struct{} // closed when nothing runs any more
	status    statusBoard
	monitor   *monitor
	lateLists *latelist.Lists
	starting  sync.Once

	// loop is fixed before a member is admitted.
	loop *listwatch.Loop
	// userCode marks what the watch goroutine is calling.
	userCode usercode.Mark

	// Owned by the watch goroutine.
	hasOpened bool // a watch has been open

	// Guarded by mu, which is never held while user code runs.
	mu     sync.Mutex
	closed bool // the last member has left, or the first list has failed
	roster roster.Roster[*member]
	// resourceVersion is the version up to which the watch has shown everything.
	resourceVersion string
	// passedVersion is the version up to which the members have received everything.
	passedVersion string
	// followers counts the calls of each member's store that wait for a version.
	followers   map[*member]int
	isOpen      bool // a watch is open
	wasEverOpen bool
}

// newConnection returns a connection that has not started. The logger names the selector.
func newConnection(client kubernetes.Interface, o *sourceOptions, label routing.Label, logger logr.Logger) *connection {
	c := &connection{
		client: client, options: o, logger: logger, routing: label, selector: label.Selector(),
		done: make(chan struct{}), roster: roster.New[*member](), followers: map[*member]int{},
	}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	c.monitor = newMonitor(&c.status, o.observer, o.stallTimeout, c.logger, &c.userCode)
	c.lateLists = latelist.New(c.ctx, c.listOf)
	c.status.start("")
	return c
}

// start begins to watch. Further calls do nothing.
func (c *connection) start() {
	c.starting.Do(func() { go c.run() })
}

// run works until the last member has left, or until the first list has failed.
func (c *connection) run() {
	defer close(c.done)
	defer c.catch()
	config := c.options.loopConfig(c.client, c.options.namespaces[0], c.selector, c.logger)
	config.Known = c.known
	config.Filter = &podwire.Filter{Label: c.routing.Key, Wants: c.wants}
	config.Sink, config.Report, config.Begin = c, c.report, func() bool { return true }
	c.loop = listwatch.New(config)
	c.finish(c.loop.Run(c.ctx), nil)
}

// catch makes a panic before the first watch one of the Starts that wait. A later panic ends
// the program, with its stack.
func (c *connection) catch() {
	if c.hasOpened {
		return
	}
	if p := caught.Of(recover()); p != nil {
		c.finish(p, p)
	}
}

// finish ends the members that are left.
func (c *connection) finish(err error, panicked *caught.Panic) {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel(err)
	c.lateLists.Wait()
	c.stopStatus()
	for _, m := range c.members() {
		if panicked != nil {
			m.session.panicked = panicked
		}
		m.end(err)
	}
}

// stopStatus begins the phase Stopped. When it has returned nothing is logged any more.
func (c *connection) stopStatus() {
	c.monitor.stop()
	c.status.stop()
}

// join returns a new member for a session, and false if the connection is closed or nil.
func (c *connection) join(s *session) (*member, bool) {
	if c == nil {
		return nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false
	}
	m := newMember(c, s)
	c.roster.Add(s.claim.AppID, m)
	return m, true
}

// leave ends a member, and reports whether it was the last one. Then the watch ends, and leave
// returns when nothing of it runs any more.
func (c *connection) leave(m *member, cause error) (last bool) {
	c.mu.Lock()
	last = c.roster.Remove(m.session.claim.AppID, m)
	c.closed = c.closed || last
	c.mu.Unlock()
	if last {
		c.cancel(cause)
		<-c.done
		c.stopStatus() // user code may have ended the watch goroutine
	}
	m.end(cause)
	return last
}

func (c *connection) members() []*member {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.roster.All()
}

// wants reports whether a started application has, or has had, a pod.
func (c *connection) wants(uid, appID []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.roster.Wants(uid, appID)
}

// known returns what a store has of the pod with a UID, see [Store.known].
func (c *connection) known(uid []byte) podwire.Known {
	c.mu.Lock()
	owners := c.roster.Owners(types.UID(uid))
	c.mu.Unlock()
	var known podwire.Known
	for _, m := range owners {
		own, ok := ownStoreOf(m.session.store)
		if !ok {
			continue
		}
		if known = own.kept().known(uid); known.Pod != nil {
			break
		}
	}
	return known
}

func (c *connection) appOf(pod *podwire.Pod) string {
	app, _ := pod.Label(c.routing.Key)
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
	for app, pods := range byApp {
		for _, pod := range pods {
			owners[pod.Key()] = app
		}
	}
	c.mu.Lock()
	c.roster.Replace(owners)
	c.resourceVersion = resourceVersion
	c.passedVersion = "" // it may be of another history
	c.mu.Unlock()
	for _, m := range c.members() {
		m.replace(byApp[m.session.claim.AppID], resourceVersion)
	}
	c.passed(resourceVersion)
}

func (c *connection) Receive(event watch.Event) error {
	pod, err := podclient.PodOf(event)
	if err != nil {
		return err
	}
	if event.Type == watch.Bookmark {
		c.advance(pod.ResourceVersion)
		return nil
	}
	here, before := c.membersOf(event.Type, pod)
	for _, m := range before {
		m.receive(event, pod)
	}
	for _, m := range here {
		m.receive(event, pod)
	}
	c.passed(pod.ResourceVersion)
	return nil
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

// membersOf returns the members of a pod's application, and those of the application that the pod
// belonged to before its label changed.
func (c *connection) membersOf(event watch.EventType, pod *podwire.Pod) (here, before []*member) {
	key, app := pod.Key(), c.appOf(pod)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.resourceVersion = rv.Newer(c.resourceVersion, pod.ResourceVersion)
	if event == watch.Deleted {
		return c.roster.Deleted(key, app)
	}
	return c.roster.Shown(key, app)
}

// advance passes the version of a bookmark to all members.
func (c *connection) advance(resourceVersion string) {
	c.mu.Lock()
	c.resourceVersion = rv.Newer(c.resourceVersion, resourceVersion)
	c.mu.Unlock()
	for _, m := range c.members() {
		m.advance(resourceVersion)
	}
	c.passed(resourceVersion)
}

// passed notes that the members have received everything up to a version, and passes it to
// those that follow the versions.
func (c *connection) passed(resourceVersion string) {
	c.mu.Lock()
	c.passedVersion = rv.Newer(c.passedVersion, resourceVersion)
	var followers []*member
	for m := range c.followers {
		followers = append(followers, m)
	}
	c.mu.Unlock()
	for _, m := range followers {
		m.follow()
	}
}

// followVersions passes versions to a member until the function that it returns is called.
func (c *connection) followVersions(m *member) (stop func()) {
	c.mu.Lock()
	c.followers[m]++
	c.mu.Unlock()
	m.follow()
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.followers[m]--; c.followers[m] == 0 {
			delete(c.followers, m)
		}
	}
}

// passedTo returns the version up to which the members have received everything.
func (c *connection) passedTo() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.passedVersion
}

// report updates the status, calls the observer, and admits the members that wait for a watch.
func (c *connection) report(e listwatch.Event) {
	c.monitor.report(e)
	switch e.Kind {
	case listwatch.Opened:
		c.hasOpened = true
		c.setOpen(true)
		for _, m := range c.members() {
			m.admit()
		}
	case listwatch.Closed:
		c.setOpen(false)
	}
}

func (c *connection) setOpen(isOpen bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isOpen, c.wasEverOpen = isOpen, c.wasEverOpen || isOpen
}

// isInterrupted reports whether no watch is open although one has been.
func (c *connection) isInterrupted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wasEverOpen && !c.isOpen
}

// view returns the version up to which the watch has shown everything, whether it has shown a
// pod of an application, and whether it is open.
func (c *connection) view(appID string) (resourceVersion string, hasPod, isOpen bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.resourceVersion, c.roster.HasPod(appID), c.isOpen
}

// requestList asks for a list of a member's application.
func (c *connection) requestList(m *member) { c.lateLists.Request(m) }

// listOf is the [latelist.ListFunc]. It lists all pods if the selector of the
// applications would be too long.
func (c *connection) listOf(ctx context.Context, appIDs []string) (map[string][]*podwire.Pod, string, error) {
	selector := c.selector
	if len(appIDs) <= maxListedByName {
		selector = c.routing.SelectorOf(appIDs)
	}
	all, resourceVersion, err := c.loop.List(ctx, selector.String())
	return c.byApp(all), resourceVersion, err
}
