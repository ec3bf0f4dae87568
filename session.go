// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource/internal/caught"
	"github.com/executorpods/watchsource/internal/claim"
	"github.com/executorpods/watchsource/internal/isnil"
	"github.com/executorpods/watchsource/internal/usercode"
)

// A session is the time from a Start to the Stop that ends it. It has what Start and Stop
// agree on with the feed, and does not know which feed it has.
//
// Either the feed makes its first call to the store or Start times out, never both: a Start
// that fails must not have called the store (decideStart).
type session struct {
	// Fixed after newSession.
	selector labels.Selector
	store    SnapshotsStore
	options  *sourceOptions
	status   *statusBoard
	claim    claim.Claim
	cancel   context.CancelCauseFunc
	feed     feed // fixed before it starts

	// decided is true once it is decided that Start will succeed, or that it has timed out.
	decided atomic.Bool
	// isOpen is true once Start has returned, or may return.
	isOpen atomic.Bool
	// userCode marks what the goroutine that calls the store is calling.
	userCode usercode.Mark
	opened   chan struct{} // closed when Start may return
	done     chan struct{} // closed when nothing runs any more

	// Owned by the feed until done is closed.
	err      error         // why the session ended
	panicked *caught.Panic // why Start must panic, nil for none
}

// A feed brings the pods of one application to the store of a session. An [ownWatch] has a
// loop, or one for each namespace. A [member] receives its part of what the loop of a
// [SharedWatch] receives.
type feed interface {
	// start begins to work, and returns at once. The feed works until ctx ends, or until Start
	// has failed. It then calls session.observeStop if it has called the store, and session.end,
	// after which it does nothing more.
	start(ctx context.Context)
	// status returns the status of the source. own is what the source itself has noted.
	status(own Status) Status
	// healthy returns nil if the API server was heard within maxSilence.
	healthy(own Status, maxSilence time.Duration) error
	// startError returns why a Start takes too long: the error of the request for which it waits,
	// or last, the error of the status. It may be nil.
	startError(last error) error
	// waitsFor returns the code of the user that the feed waits for.
	waitsFor() usercode.Callee
}

// feeds makes the feed of each session of a source.
type feeds interface {
	// checkClient returns why no session can work with the client.
	checkClient() error
	// checkSelector returns why no session can work with the function of WithSelector.
	checkSelector() error
	// checkNamespaces returns why no session can watch the namespaces. There is at least one.
	checkNamespaces(namespaces []string) error
	// join returns the feed of a session that ends with ctx.
	join(ctx context.Context, s *session) feed
}

func checkClient(client kubernetes.Interface) error {
	if isnil.Value(client) {
		return errors.New("the client is nil")
	}
	return nil
}

func newSession(appID string, selector labels.Selector, store SnapshotsStore, o *sourceOptions, status *statusBoard, cancel context.CancelCauseFunc) *session {
	return &session{
		selector: selector, store: store, options: o, status: status,
		claim: claim.Claim{AppID: appID, Stores: storeIDs(store)}, cancel: cancel,
		opened: make(chan struct{}), done: make(chan struct{}),
	}
}

// logStart logs in Spark's words, because users search their logs for them.
func (s *session) logStart() {
	if debug := s.options.logger.V(4); debug.Enabled() {
		debug.Info(fmt.Sprintf("Starting watch for pods with labels %s.", strings.ReplaceAll(s.selector.String(), ",", ", ")))
	}
}

// decideStart reports whether the caller decided the outcome of Start.
func (s *session) decideStart() bool { return s.decided.CompareAndSwap(false, true) }

// open lets Start return. Further calls do nothing.
func (s *session) open() {
	if s.isOpen.CompareAndSwap(false, true) {
		s.status.write(func(status *Status) { status.Phase = Watching })
		close(s.opened)
	}
}

// fail makes a panic of the user's code one of Start.
func (s *session) fail(recovered any) {
	s.panicked = caught.Of(recovered)
	s.cancel(s.panicked)
}

// observeStop calls the store for the last time, unless it has panicked. It may end the goroutine.
func (s *session) observeStop() {
	if observer, ok := s.store.(StopObserver); ok && s.panicked == nil {
		s.userCode.Enter(usercode.Store)
		observer.ObserveStop()
	}
}

// end ends the session for a cause. The store is not called any more.
func (s *session) end(cause error) {
	s.err = cause
	s.claim.Release()
	close(s.done)
}

// stopWarning is how long Stop waits before it logs what the feed is calling.
const stopWarning = 5 * time.Second

// wait returns when nothing of the session runs any more.
func (s *session) wait() {
	timer := time.NewTimer(stopWarning)
	defer timer.Stop()
	select {
	case <-s.done:
		return
	case <-timer.C:
	}
	s.options.logger.Error(nil, "Stop is still waiting; it must not be called by the store or by the observer",
		"appID", s.claim.AppID, "waitingFor", s.feed.waitsFor().String(), "for", stopWarning)
	<-s.done
}
