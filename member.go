// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/podstate"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/retry"
	"github.com/executorpods/watchsource/internal/rv"
	"github.com/executorpods/watchsource/internal/usercode"
	"github.com/executorpods/watchsource/internal/waiting"
)

// A member is the feed of a session on a [SharedWatch]. Its connection passes it the lists and
// the events of its application.
//
// A member that comes after the watch has opened begins with a list of its application, if the
// watch has shown a pod of it. The member keeps the events that come meanwhile, and drops those
// that the list contains.
type member struct {
	// Fixed after newMember.
	session    *session
	connection *connection
	delivery   delivery
	watcher    *Watcher
	// before are the counts of the connection at Start.
	before statusCounts

	// mu is held while a Store is called. The mutex of the connection may be taken while it is
	// held, not the other way round.
	mu    sync.Mutex
	stage stage
	// begun is true once the store was called.
	begun bool
	// attempts counts the failed lists until the store is called.
	attempts retry.StartAttempts
	// firstList waits for the watch to open, nil for none.
	firstList *podsAt
	// eventsDuringList came while the application is listed.
	eventsDuringList waiting.Events
	// minListVersion is the version that the list must have.
	minListVersion string
	// listVersion is the version of the list: events up to it are in it.
	listVersion string
}

// A stage says what a member waits for.
type stage uint8

const (
	awaitingWatch stage = iota // a list of all applications, or an open watch
	awaitingList               // a list of its application
	current                    // nothing: events are passed on
	ended
)

// podsAt is a list.
type podsAt struct {
	pods            []*podwire.Pod
	resourceVersion string
}

var errOldList = errors.New("the API server returned a list that is older than the watch")

func newMember(c *connection, s *session) *member {
	m := &member{session: s, connection: c, before: c.status.counts()}
	m.delivery = newDelivery(s, func(string) (stop func()) { return c.followVersions(m) })
	m.watcher = newWatcher(m.delivery, s.selector, s.options)
	return m
}

func (m *member) start(context.Context) {
	defer m.connection.start() // even after a panic of the logger, so that leave can return
	m.session.logStart()
	m.admit()
}

// admit lets a session begin if the watch is open. If the watch is interrupted, a list of the
// application shows whether Start can succeed.
func (m *member) admit() {
	m.mu.Lock()
	defer m.mu.Unlock()
	resourceVersion, has, ready := m.connection.view(m.session.claim.AppID)
	switch {
	case m.stage == ended, m.stage == awaitingList:
		return
	case !ready && m.stage == awaitingWatch && m.connection.isInterrupted():
		m.connection.requestList(m) // its answer is not needed, its error may end Start
		return
	case !ready:
		return
	case m.stage == current:
	case m.firstList != nil:
		first := m.firstList
		m.firstList = nil
		m.pass(first.pods, first.resourceVersion, "")
	case has:
		m.awaitList(resourceVersion)
	default:
		m.pass(nil, resourceVersion, resourceVersion)
	}
	if m.stage == current {
		m.open()
	}
}

// replace passes on the application's part of a list of all.
func (m *member) replace(pods []*podwire.Pod, resourceVersion string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.stage == ended:
	case !m.begun:
		m.stage, m.firstList = awaitingWatch, &podsAt{pods, resourceVersion}
	default:
		m.pass(pods, resourceVersion, "")
	}
}

// pass passes a complete list to the store. Events up to listVersion are in it. m.mu is held.
func (m *member) pass(pods []*podwire.Pod, resourceVersion, listVersion string) {
	m.eventsDuringList = waiting.Events{}
	if slices.ContainsFunc(pods, (*podwire.Pod).IsPartial) { // decoded before the session had begun
		m.awaitList(resourceVersion)
		return
	}
	if !m.begun && !m.session.decideStart() {
		return // Start has timed out
	}
	if !m.connection.loop.HasVersions() {
		listVersion = ""
	}
	m.begun, m.stage, m.listVersion = true, current, listVersion
	m.watcher.replace(pods, resourceVersion)
}

// awaitList asks for a list that is not older than a version. m.mu is held.
func (m *member) awaitList(minVersion string) {
	m.stage, m.minListVersion = awaitingList, minVersion
	m.connection.requestList(m)
}

// AppID implements [latelist.Member], as the following methods do.
func (m *member) AppID() string { return m.session.claim.AppID }

// ReceiveList passes on a list of the application, and the events that came meanwhile.
func (m *member) ReceiveList(pods []*podwire.Pod, resourceVersion string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.stage != awaitingList:
		return
	case m.connection.loop.HasVersions() && rv.Older(resourceVersion, m.minListVersion):
		m.repeatList(errOldList)
		return
	}
	kept := m.eventsDuringList
	m.pass(pods, resourceVersion, resourceVersion)
	if m.stage != current {
		return
	}
	for _, event := range kept.All() {
		m.apply(event.Event, event.Pod)
	}
	m.open()
}

// ListFailed lists again, or ends a Start that waits for a list.
func (m *member) ListFailed(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch waitsForWatch := m.stage == awaitingWatch && !m.begun; {
	case m.stage != awaitingList && !waitsForWatch:
	case m.begun, waitsForWatch && failure.Unreachable(err), !m.attempts.Fatal(err):
		m.repeatList(err)
	default:
		m.session.cancel(err)
	}
}

// repeatList lists again after an error. m.mu is held.
func (m *member) repeatList(err error) {
	m.session.status.fail(err)
	m.connection.requestList(m)
}

// receive passes on an event of a pod that is, or was, of the application.
func (m *member) receive(event watch.Event, pod *podwire.Pod) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch m.stage {
	case awaitingList:
		left := event.Type == watch.Deleted || !m.watcher.selects(pod)
		m.eventsDuringList.Put(waiting.Event{Event: event, Pod: pod, Left: left}, m.delivery.mergeRules())
	case current:
		m.apply(event, pod)
	}
}

// apply passes an event to the store unless a list contains it. m.mu is held.
func (m *member) apply(event watch.Event, pod *podwire.Pod) {
	switch version := pod.ResourceVersion; {
	case m.listVersion != "" && (version == m.listVersion || rv.Older(version, m.listVersion)):
	case pod.IsPartial(): // decoded before the session had begun
		m.awaitList(version)
	default:
		m.watcher.receive(event)
	}
}

// advance passes on a version up to which the application's events have been passed on.
func (m *member) advance(resourceVersion string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stage == current {
		m.watcher.advance(rv.Newer(m.watcher.resourceVersion, resourceVersion))
	}
}

// follow passes on the version up to which the connection has passed everything on. It asks for the
// version while m.mu is held, because a list may begin another history before.
func (m *member) follow() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stage == current {
		m.watcher.advance(rv.Newer(m.watcher.resourceVersion, m.connection.passedTo()))
	}
}

// open lets Start return once the store has received the list. m.mu is held.
func (m *member) open() {
	if !m.session.isOpen.Load() {
		m.delivery.then(m.session.open)
	}
}

// end ends a session that has left its connection.
func (m *member) end(cause error) {
	m.mu.Lock()
	again := m.stage == ended
	m.stage = ended
	m.mu.Unlock()
	if again {
		return
	}
	defer m.session.end(cause)
	if m.delivery.stop() {
		m.session.observeStop()
	}
}

// status implements feed, as the following methods do. The counts are those of the connection
// since Start.
func (m *member) status(own Status) Status {
	now := m.connection.monitor.status()
	now.AppID = own.AppID
	now.subtract(m.before)
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

func (m *member) healthy(own Status, maxSilence time.Duration) error {
	return m.status(own).healthy(maxSilence, "")
}

func (m *member) startError(last error) error {
	return cmp.Or(m.connection.monitor.awaited(), last, m.unansweredList())
}

// unansweredList returns the error of the list that Start waits for, nil for none.
func (m *member) unansweredList() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stage != awaitingList {
		return nil
	}
	return m.connection.loop.Unanswered()
}

func (m *member) waitsFor() usercode.Callee {
	return cmp.Or(m.session.userCode.Now(), m.connection.userCode.Now())
}

// A delivery brings pods from a member to its store.
type delivery interface {
	podStore
	// then calls f once all calls so far have been made. It may call it at once.
	then(f func())
	// stop returns when the store is not called any more, and reports whether it was called.
	stop() (called bool)
	// mergeRules are those by which states that wait for the store are merged.
	mergeRules() *podstate.Rules
}

// newDelivery returns the delivery to the store of a session. followVersions makes the member follow
// the versions of the whole watch, until the function that it returns is called.
func newDelivery(s *session, followVersions func(version string) (stop func())) delivery {
	if own, ok := ownStoreOf(s.store); ok {
		return newDirectDelivery(own, s, followVersions)
	}
	queue := waiting.NewQueue(waiting.Config{
		Store: userStore{s.store, s.options.trimmed}, Rules: podstate.AnyContainer, Mark: &s.userCode,
		Catches: func() bool { return !s.isOpen.Load() }, Caught: s.fail,
	})
	return queuedDelivery{newLedger(queue), queue}
}

// A directDelivery calls a Store or a StoreBy, which does not block.
type directDelivery struct {
	ownStore
	session        *session
	followVersions func(version string) (stop func())
	called         bool // guarded by the mutex of the member
}

func newDirectDelivery(store ownStore, s *session, followVersions func(version string) (stop func())) *directDelivery {
	d := &directDelivery{ownStore: store, session: s, followVersions: followVersions}
	store.kept().followVersions.Store(&d.followVersions)
	return d
}

func (d *directDelivery) updatePod(pod *podwire.Pod, version string) {
	d.session.userCode.Enter(usercode.Store)
	d.ownStore.updatePod(pod, version)
	d.session.userCode.Leave()
}

func (d *directDelivery) deletePod(pod *podwire.Pod, how Departure, version string) {
	d.session.userCode.Enter(usercode.Store)
	d.ownStore.deletePod(pod, how, version)
	d.session.userCode.Leave()
}

func (d *directDelivery) replacePods(namespace string, pods []*podwire.Pod, syncedAt time.Time) {
	d.session.userCode.Enter(usercode.Store)
	d.ownStore.replacePods(namespace, pods, syncedAt)
	d.session.userCode.Leave()
	d.called = true
}

func (d *directDelivery) then(f func())               { f() }
func (d *directDelivery) mergeRules() *podstate.Rules { return &d.kept().rules.Rules }

func (d *directDelivery) stop() (called bool) {
	d.kept().followVersions.CompareAndSwap(&d.followVersions, nil)
	return d.called
}

// A queuedDelivery calls a user's store by a queue.
type queuedDelivery struct {
	*ledger
	queue *waiting.Queue
}

func (d queuedDelivery) then(f func())               { d.queue.Then(f) }
func (d queuedDelivery) mergeRules() *podstate.Rules { return podstate.AnyContainer }
func (d queuedDelivery) stop() (called bool)         { return d.queue.Stop() }
