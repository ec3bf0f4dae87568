// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
)

// watchID is the application id that the log and the status of the watch have.
const watchID = "controller"

// A session is the time during which the watch is in use.
type session struct {
	users int // guarded by the mu of the Watch

	ctx  context.Context
	stop context.CancelFunc
	// started is closed when Start has returned err.
	started chan struct{}
	err     error
	ended   chan struct{}
}

func newSession() *session {
	ctx, stop := context.WithCancel(context.Background())
	return &session{ctx: ctx, stop: stop, started: make(chan struct{}), ended: make(chan struct{})}
}

// wait returns the error of Start, or why it is not awaited any more.
func (s *session) wait(ctx context.Context) error {
	select {
	case <-s.started:
		return s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// failure returns the error of Start if it has failed.
func (s *session) failure() error {
	select {
	case <-s.started:
		return s.err
	default:
		return nil
	}
}

// acquire returns the session of the Watch, and begins one if needed. The session ends
// when the contexts of all users have ended.
func (w *Watch[request]) acquire(ctx context.Context) *session {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session == nil {
		w.session = newSession()
		go w.run(w.session, w.last)
	}
	s := w.session
	s.users++
	context.AfterFunc(ctx, func() { w.release(s) })
	return s
}

func (w *Watch[request]) release(s *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s.users--
	if s.users == 0 {
		w.session, w.last = nil, s
		s.stop()
	}
}

// run opens the watch once the session before has ended, and closes it when the session ends.
func (w *Watch[request]) run(s, before *session) {
	defer close(s.ended)
	if before != nil {
		<-before.ended
	}
	context.AfterFunc(s.ctx, w.source.Stop)
	s.err = w.source.Start(watchID)
	close(s.started)
	<-s.ctx.Done()
	w.source.Stop()
}

// Start opens the watch and keeps it open until ctx ends. It returns the error of the watch's
// start, for example a missing right, and nil after ctx has ended. With it a Watch is a
// [sigs.k8s.io/controller-runtime/pkg/manager.Runnable]: mgr.Add(watch). The view is then there
// also without a controller, or without the lease, for example for a webhook.
func (w *Watch[request]) Start(ctx context.Context) error {
	if err := w.check(); err != nil {
		return err
	}
	err := w.acquire(ctx).wait(ctx)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	}
	<-ctx.Done()
	return nil
}

// NeedLeaderElection implements
// [sigs.k8s.io/controller-runtime/pkg/manager.LeaderElectionRunnable]. A Watch that was added to
// a manager is also open without the lease.
func (w *Watch[request]) NeedLeaderElection() bool { return false }

// notSynced is the error of a controller that does not wait for the start any longer.
func (w *Watch[request]) notSynced(cause error) error {
	if last := w.source.Status().Err; last != nil {
		return fmt.Errorf("watchsource: wait for the view of the pods: %w, the last error was: %w", cause, last)
	}
	return fmt.Errorf("watchsource: wait for the view of the pods: %w: Options.StartTimeout must be shorter than the controller's CacheSyncTimeout", cause)
}
