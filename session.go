// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"fmt"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/listwatch"
	"github.com/executorpods/watchsource/internal/podwire"
)

// A session is the time from a Start to the Stop that ends it. It connects the
// list/watch engine with the store, the status and the observer of its source.
type session struct {
	// Fixed after newSession.
	source   *WatchSnapshotSource
	appID    string
	selector labels.Selector
	cancel   func(cause error)

	decided atomic.Bool   // that Start will succeed, or that it has timed out
	calling atomic.Int32  // the callee that the watch goroutine waits for
	opened  chan struct{} // closed when the first watch is open
	done    chan struct{} // closed when nothing runs any more

	// Owned by the watch goroutine until done is closed. With a shared watch, guarded by
	// its mutex.
	*Watcher
	started  bool
	err      error                  // why the session ended
	panicked *listwatch.CaughtPanic // why Start must panic

	sharedSession
}

// A callee is code of the user that the watch goroutine is calling.
type callee = int32

const (
	nothing callee = iota
	theStore
	theObserver
)

var calleeNames = [...]string{nothing: "the client", theStore: "a call of the store", theObserver: "a call of the observer"}

func newSession(source *WatchSnapshotSource, appID string, selector labels.Selector, cancel func(error)) *session {
	return &session{
		source: source, appID: appID, selector: selector, cancel: cancel,
		opened: make(chan struct{}), done: make(chan struct{}),
	}
}

// decideStart reports whether the caller decided the outcome of Start. Either the
// watch makes its first call to the store or Start times out, never both: a
// Start that fails must not have called the store.
func (s *session) decideStart() bool { return s.decided.CompareAndSwap(false, true) }

// run works until ctx ends, or until Start has failed.
func (s *session) run(ctx context.Context) {
	defer s.finish()
	defer s.catch()
	s.logStart()
	logger := s.source.options.logger.WithValues("appID", s.appID)
	s.source.status.begin(s.source.options, logger, &s.calling)
	s.err = s.newLoop(logger).Run(ctx)
	s.observeStop()
}

// finish frees the stores. Nothing of the session runs any more.
func (s *session) finish() {
	s.release()
	close(s.done)
}

// observeStop calls the store for the last time, if it was called before. Stop may end a
// Start after the first call, if a queue makes the calls.
func (s *session) observeStop() {
	called := s.started || s.calls != nil && s.calls.called && s.panicked == nil
	if observer, ok := s.source.store.(StopObserver); ok && called {
		s.calling.Store(theStore)
		observer.ObserveStop()
	}
}

// logStart logs in Spark's words, because users search their logs for them.
func (s *session) logStart() {
	s.source.options.logger.V(4).Info(fmt.Sprintf("Starting watch for pods with labels %s.", spaced(s.selector)))
}

// newLoop makes the engine, with the session as its sink.
func (s *session) newLoop(logger logr.Logger) *listwatch.Loop {
	o := s.source.options
	s.Watcher = newWatcher(podStoreOf(s.source.store, o.trimmed), s.selector, o)
	config := o.loopConfig(s.source.client, s.selector, logger)
	switch own, ok := s.source.store.(*Store); {
	case ok:
		config.Known = own.known
	case o.trimmed:
		config.Form = podwire.Trimmed
	default:
		config.Form = podwire.Whole
	}
	config.Sink, config.Report, config.Begin = s, s.report, s.decideStart
	return listwatch.New(config)
}

// Replace implements [listwatch.Sink], as the following methods do.
func (s *session) Replace(pods []*podwire.Pod, resourceVersion string) {
	s.calling.Store(theStore)
	s.Watcher.replace(pods, resourceVersion)
	s.calling.Store(nothing)
}

func (s *session) Receive(event watch.Event) error {
	s.calling.Store(theStore)
	err := s.receive(event)
	s.calling.Store(nothing)
	return err
}

func (s *session) ResourceVersion() string { return s.resourceVersion }
func (s *session) Forget()                 { s.resourceVersion = "" }

// report updates the status, calls the observer, and lets Start return.
func (s *session) report(e listwatch.Event) {
	s.source.options.report(e, &s.source.status, &s.calling)
	if e.Kind == listwatch.Opened && !s.started {
		s.started = true
		close(s.opened)
	}
}

// catch makes a panic in the watch goroutine one of Start, while Start waits.
func (s *session) catch() {
	if s.started {
		return // the panic ends the program, with its stack
	}
	s.panicked = listwatch.PanicOf(recover())
}

// stopWarning is how long Stop waits before it logs what the watch goroutine is
// calling.
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
	s.source.options.logger.Error(nil, "Stop is still waiting; it must not be called by the store or by the observer",
		"appID", s.appID, "waitingFor", s.callee(), "for", stopWarning)
	<-s.done
}

// callee names the call that Stop waits for.
func (s *session) callee() string {
	calling := s.calling.Load()
	if c := s.connection; c != nil && calling == nothing {
		calling = c.calling.Load()
	}
	return calleeNames[calling]
}

func isNil(v any) bool {
	value := reflect.ValueOf(v)
	return !value.IsValid() || value.Kind() == reflect.Pointer && value.IsNil()
}
