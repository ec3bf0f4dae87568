// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"github.com/executorpods/watchsource/internal/podstate"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/usercode"
	"github.com/executorpods/watchsource/internal/waiting"
)

// A delivery brings pods from a member to its store.
type delivery interface {
	podStore
	// then calls f once all calls so far have been made. It may call it at once.
	then(f func())
	// stop returns when the store is not called any more, and reports whether it was called.
	stop() (called bool)
}

// newDelivery returns the delivery to the store of a session, and the rules by which states that
// wait for it are merged. followVersions makes the member follow the versions of the whole
// watch, until the function that it returns is called.
func newDelivery(s *session, followVersions func() (stop func())) (delivery, *podstate.Rules) {
	if own, ok := s.store.(*Store); ok {
		return newDirectDelivery(own, s, followVersions), &own.rules.Rules
	}
	defaults := newStoreOptions(nil)
	rules := &defaults.rules.Rules
	queue := waiting.NewQueue(waiting.Config{
		Store: userStore{s.store, s.options.trimmed}, Rules: rules, Mark: &s.userCode,
		Catches: func() bool { return !s.wasOpened() }, Caught: s.fail,
	})
	return queuedDelivery{newLedger(queue), queue}, rules
}

// A directDelivery calls a Store, which does not block.
type directDelivery struct {
	*Store
	session        *session
	followVersions func() (stop func())
	called         bool // guarded by the mutex of the member
}

func newDirectDelivery(store *Store, s *session, followVersions func() (stop func())) *directDelivery {
	d := &directDelivery{Store: store, session: s, followVersions: followVersions}
	store.followVersions.Store(&d.followVersions)
	return d
}

func (d *directDelivery) updatePod(pod *podwire.Pod) {
	d.session.userCode.Enter(usercode.Store)
	d.Store.updatePod(pod)
	d.session.userCode.Leave()
}

func (d *directDelivery) deletePod(pod *podwire.Pod) {
	d.session.userCode.Enter(usercode.Store)
	d.Store.deletePod(pod)
	d.session.userCode.Leave()
}

func (d *directDelivery) replacePods(pods []*podwire.Pod) {
	d.session.userCode.Enter(usercode.Store)
	d.Store.replacePods(pods)
	d.session.userCode.Leave()
	d.called = true
}

func (d *directDelivery) then(f func()) { f() }

func (d *directDelivery) stop() (called bool) {
	d.Store.followVersions.CompareAndSwap(&d.followVersions, nil)
	return d.called
}

// A queuedDelivery calls a user's store by a queue.
type queuedDelivery struct {
	*ledger
	queue *waiting.Queue
}

func (d queuedDelivery) then(f func())       { d.queue.Then(f) }
func (d queuedDelivery) stop() (called bool) { return d.queue.Stop() }
