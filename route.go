// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"errors"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/listwatch"
	"github.com/executorpods/watchsource/internal/podstate"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/rv"
)

// A sharedSession is the part of a [session] that only a shared watch needs.
type sharedSession struct {
	// Fixed after join.
	connection *connection          // nil if the session is not of a SharedWatch
	rules      *podstate.Rules      // by which states that wait are merged
	request    func() (stop func()) // for a Store
	base       Status               // of the connection, at Start
	calls      *callQueue           // for a store that is not a Store, nil otherwise

	// mu is held while a Store is called. It may be held when connection.mu is taken,
	// not the other way round.
	mu       sync.Mutex
	stage    stage
	begun    bool                    // the store has been called
	attempts listwatch.StartAttempts // until then
	first    *podsAt                 // the list that waits for the watch to open
	kept     keptEvents              // while the application is listed
	needed   string                  // the version that the list must have
	complete string                  // the version of the list: older events are in it
}

// A stage says what a shared session waits for.
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

// prepare makes the watcher.
func (s *session) prepare() {
	store := s.source.store
	var to podStore
	if own, ok := store.(*Store); ok {
		to = own
		s.rules = &own.rules.Rules
		s.request = func() (stop func()) { return s.connection.wait(s) }
		own.requestVersions.Store(&s.request)
	} else {
		defaults := newStoreOptions(nil)
		s.rules = &defaults.rules.Rules
		s.calls = newCallQueue(userStore{store, s.source.options.trimmed}, s)
		to = newLedger(s.calls)
	}
	s.Watcher = newWatcher(to, s.selector, s.source.options)
}

// admit lets a session begin if the watch is open. If the watch is interrupted, a list of the
// application shows whether Start can succeed.
func (s *session) admit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	resourceVersion, has, ready := s.connection.view(s.appID)
	switch {
	case s.stage == ended, s.stage == awaitingList:
		return
	case !ready && s.stage == awaitingWatch && s.connection.isInterrupted():
		s.connection.list(s) // its answer is not needed, its error may end Start
		return
	case !ready:
		return
	case s.stage == current:
	case s.first != nil:
		first := s.first
		s.first = nil
		s.pass(first.pods, first.resourceVersion, "")
	case has:
		s.requestList(resourceVersion)
	default:
		s.pass(nil, resourceVersion, resourceVersion)
	}
	if s.stage == current {
		s.open()
	}
}

// replace passes on the application's part of a list of all.
func (s *session) replace(pods []*podwire.Pod, resourceVersion string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stage == ended:
	case !s.begun:
		s.stage, s.first = awaitingWatch, &podsAt{pods, resourceVersion}
	default:
		s.pass(pods, resourceVersion, "")
	}
}

// pass passes a complete list to the store. Events up to the version complete are in it.
// s.mu is held.
func (s *session) pass(pods []*podwire.Pod, resourceVersion, complete string) {
	s.kept = keptEvents{}
	if slices.ContainsFunc(pods, (*podwire.Pod).IsPartial) { // decoded before the session had begun
		s.requestList(resourceVersion)
		return
	}
	if !s.begun && !s.decideStart() {
		return // Start has timed out
	}
	if !s.connection.loop.HasVersions() {
		complete = ""
	}
	s.begun, s.stage, s.complete = true, current, complete
	s.setCalling(theStore)
	s.Watcher.replace(pods, resourceVersion)
	s.setCalling(nothing)
}

// setCalling notes that the store is called, or not any more. If a queue calls it, the queue
// notes that.
func (s *session) setCalling(c callee) {
	if s.calls == nil {
		s.calling.Store(c)
	}
}

// requestList asks for a list that is not older than a version. s.mu is held.
func (s *session) requestList(needed string) {
	s.stage, s.needed = awaitingList, needed
	s.connection.list(s)
}

// receiveList passes on a list of the application, and the events that came meanwhile.
func (s *session) receiveList(pods []*podwire.Pod, resourceVersion string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stage != awaitingList:
		return
	case s.connection.loop.HasVersions() && rv.Older(resourceVersion, s.needed):
		s.repeatList(errOldList)
		return
	}
	kept := s.kept
	s.pass(pods, resourceVersion, resourceVersion)
	if s.stage != current {
		return
	}
	for _, event := range kept.events {
		s.apply(event.Event, event.pod)
	}
	s.open()
}

// listFailed lists again, or ends a Start that waits for a list.
func (s *session) listFailed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch waitsForWatch := s.stage == awaitingWatch && !s.begun; {
	case s.stage != awaitingList && !waitsForWatch:
	case s.begun, waitsForWatch && listwatch.Unreachable(err), !s.attempts.Fatal(err):
		s.repeatList(err)
	default:
		s.cancel(err)
	}
}

// awaited returns the error of the list that Start waits for, nil for none.
func (s *session) awaited() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stage != awaitingList {
		return nil
	}
	return s.connection.loop.Unanswered()
}

// repeatList lists again after an error. s.mu is held.
func (s *session) repeatList(err error) {
	s.source.status.fail(err)
	s.connection.list(s)
}

// route passes on an event of a pod that is, or was, of the application.
func (s *session) route(event watch.Event, pod *podwire.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.stage != current && s.stage != awaitingList:
	case s.stage == awaitingList:
		left := event.Type == watch.Deleted || !s.selects(pod)
		s.kept.put(keptEvent{Event: event, pod: pod, left: left}, s.rules)
	default:
		s.apply(event, pod)
	}
}

// apply passes an event to the store unless a list contains it. s.mu is held.
func (s *session) apply(event watch.Event, pod *podwire.Pod) {
	switch version := pod.ResourceVersion; {
	case s.complete != "" && (version == s.complete || rv.Older(version, s.complete)):
	case pod.IsPartial(): // decoded before the session had begun
		s.requestList(version)
	default:
		s.setCalling(theStore)
		s.receive(event)
		s.setCalling(nothing)
	}
}

// advanceTo passes on the version of a bookmark.
func (s *session) advanceTo(resourceVersion string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stage == current {
		s.advance(rv.Newer(s.resourceVersion, resourceVersion))
	}
}

// advanceToPassed passes on the version up to which the connection has passed everything.
func (s *session) advanceToPassed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stage == current {
		s.advance(rv.Newer(s.resourceVersion, s.connection.passedTo()))
	}
}

// open lets Start return once the store has received the list. s.mu is held.
func (s *session) open() {
	switch {
	case s.started:
	case s.calls != nil:
		s.calls.then(func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.markStarted()
		})
	default:
		s.markStarted()
	}
}

func (s *session) markStarted() {
	if s.started || s.stage == ended {
		return
	}
	s.started = true
	s.source.status.write(func(status *Status) { status.Phase = Watching })
	close(s.opened)
}

// end ends a session that has left its connection.
func (s *session) end(cause error) {
	s.mu.Lock()
	again := s.stage == ended
	s.stage = ended
	s.mu.Unlock()
	if again {
		return
	}
	if s.calls != nil {
		s.calls.stop()
	}
	if own, ok := s.source.store.(*Store); ok {
		own.requestVersions.CompareAndSwap(&s.request, nil)
	}
	s.observeStop()
	s.err = cause
	s.finish()
}

// catchStore makes a panic of the store one of Start, while Start waits.
func (s *session) catchStore() {
	s.mu.Lock()
	started := s.started
	s.mu.Unlock()
	if started {
		return // the panic ends the program, with its stack
	}
	if p := listwatch.PanicOf(recover()); p != nil {
		s.panicked = p
		s.cancel(p)
	}
}

// keptEvents holds the newest event of each pod, and those before it that show an end, or
// that the pod left. That it left takes the place of no other event, because a store ignores
// it if it does not have the pod.
type keptEvents struct {
	events []keptEvent
	last   map[types.UID]int // the index of a pod's newest event
}

type keptEvent struct {
	watch.Event
	pod   *podwire.Pod
	state *podstate.Waiting
	left  bool // the pod left the application
}

func (k *keptEvents) put(event keptEvent, rules *podstate.Rules) {
	key := podKeyOf(event.pod)
	if i, ok := k.last[key]; ok && !k.events[i].left {
		event.state = wait(rules, k.events[i].state, event.pod)
		if !event.left && event.state.Absorb(k.events[i].state) {
			k.events[i] = event
			return
		}
	} else {
		event.state = wait(rules, nil, event.pod)
	}
	if k.last == nil {
		k.last = map[types.UID]int{}
	}
	k.last[key] = len(k.events)
	k.events = append(k.events, event)
}
