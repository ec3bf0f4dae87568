// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/watchlist"

	"github.com/executorpods/watchsource/internal/podwire"
)

// A WatchSnapshotSource watches the executor pods of one application at a time
// and keeps a [SnapshotsStore] told about them. Its model is Spark's
// ExecutorPodsWatchSnapshotSource.
//
// Its methods are safe for concurrent use. None of them may be called from
// within a call of the store, which Stop waits for.
type WatchSnapshotSource struct {
	// Fixed after NewWatchSnapshotSource.
	store   SnapshotsStore
	client  kubernetes.Interface
	options sourceOptions

	status statusBoard

	mu      sync.Mutex
	session *session // nil while stopped
}

// session is the time from a Start to the Stop that ends it.
type session struct {
	cancel  context.CancelCauseFunc
	settled atomic.Bool   // that Start will succeed, or that it has timed out
	opened  chan struct{} // closed when the first watch is open
	done    chan struct{} // closed when nothing runs any more
	err     error         // why it ended; to be read after done
}

// settle decides for the caller, unless the other side was first: the watch is
// about to tell the store, or Start is out of time. It cannot be both, for a
// store is told nothing by a Start that fails.
func (s *session) settle() bool { return s.settled.CompareAndSwap(false, true) }

// NewWatchSnapshotSource returns a source that is stopped. It does not touch
// the client.
func NewWatchSnapshotSource(store SnapshotsStore, client kubernetes.Interface, opts ...Option) *WatchSnapshotSource {
	return &WatchSnapshotSource{store: store, client: client, options: newSourceOptions(opts)}
}

// Start begins to watch the executor pods of an application. It returns once
// the store has received everything there is and the watch is open, so that no
// pod created later can be missed.
//
// It fails with ErrInvalidAppID, with ErrAlreadyStarted while the source is
// started (and leaves the running watch alone), with ErrStopped when Stop comes
// in between, and with what the API server or the connection to it has to say:
// apierrors.IsForbidden, IsUnauthorized and their like recognise the error,
// errors.Is and errors.As its cause. A server that asks to come back later (429
// or 503) is asked again; if there is no complete view within the start timeout,
// the error is recognised by apierrors.IsTimeout and errors.Is with
// context.DeadlineExceeded. After a failure nothing runs, the store was told
// nothing, and Start may be called again.
//
// To give it a context, call Stop when that ends: context.AfterFunc(ctx,
// source.Stop). Run does so.
func (s *WatchSnapshotSource) Start(appID string) error {
	_, err := s.start(context.Background(), appID)
	return err
}

// Run is Start, then a wait until ctx has ended or somebody has called Stop, and
// Stop. It returns the error of Start, or nil.
func (s *WatchSnapshotSource) Run(ctx context.Context, appID string) error {
	running, err := s.start(ctx, appID)
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return nil
	}
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		s.stop(running)
	case <-running.done:
	}
	return nil
}

// Stop ends the watch and returns when nothing runs and the store is not called
// any more. It waits for a call of the store that is in progress, and hardly
// for anything else. It may be called in any state and by several goroutines at
// once.
func (s *WatchSnapshotSource) Stop() {
	s.mu.Lock()
	running := s.session
	s.mu.Unlock()
	if running != nil {
		s.stop(running)
	}
}

// Status returns what the source knows about its own sight.
func (s *WatchSnapshotSource) Status() Status {
	status := s.status.read()
	if status.Err != nil {
		status.Err = fmt.Errorf("watchsource: %w", status.Err)
	}
	return status
}

// Healthy returns nil if the API server has been heard within maxSilence, and
// otherwise an error that says since when not, and why. It fits a liveness
// probe: one reconnection does not make a source ill, and one that has lost
// sight does not look well for long, whatever the reason.
//
// An API server that sends bookmarks, as kube-apiserver does about once a
// minute, is heard that often, and three minutes are a good maxSilence; one that
// sends none may have nothing to say for the ten minutes that a watch lasts. A
// source that is not started is not healthy.
func (s *WatchSnapshotSource) Healthy(maxSilence time.Duration) error {
	status := s.status.read()
	if status.Phase == Stopped {
		return errors.New("watchsource: not started")
	}
	heard := status.LastContact
	if heard.IsZero() {
		heard = status.Since // of the start
	}
	silence := time.Since(heard)
	switch {
	case silence <= maxSilence:
		return nil
	case status.Err == nil:
		return fmt.Errorf("watchsource: nothing heard from the API server for %v", silence)
	default:
		return fmt.Errorf("watchsource: nothing heard from the API server for %v: %w", silence, status.Err)
	}
}

func (s *WatchSnapshotSource) start(ctx context.Context, appID string) (*session, error) {
	selector, err := s.check(appID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	starting := &session{cancel: cancel, opened: make(chan struct{}), done: make(chan struct{})}

	s.mu.Lock()
	if s.session != nil {
		s.mu.Unlock()
		cancel(nil)
		return nil, ErrAlreadyStarted
	}
	s.session = starting
	s.status.start(appID)
	s.mu.Unlock()

	// The wording is Spark's, and users search their logs for it.
	s.options.logger.V(4).Info(fmt.Sprintf("Starting watch for pods with labels %s.", spaced(selector)))
	work := s.newListWatch(selector, starting)
	go func() {
		defer close(starting.done)
		starting.err = work.run(logr.NewContext(ctx, s.options.logger))
		if observer, ok := s.store.(stopObserver); ok && work.started {
			observer.ObserveStop()
		}
	}()
	if err := s.await(starting); err != nil {
		s.stop(starting)
		return nil, err
	}
	return starting, nil
}

// check refuses what could never work.
func (s *WatchSnapshotSource) check(appID string) (labels.Selector, error) {
	switch {
	case isNil(s.store):
		return nil, errors.New("watchsource: start: the store is nil")
	case isNil(s.client):
		return nil, errors.New("watchsource: start: the client is nil")
	}
	if err := checkAppID(appID); err != nil {
		return nil, err
	}
	selector := s.options.selector(appID)
	if selector == nil || selector.Empty() {
		return nil, fmt.Errorf("watchsource: start: the selector for application %q selects every pod", appID)
	}
	return selector, nil
}

func isNil(v any) bool {
	value := reflect.ValueOf(v)
	return !value.IsValid() || value.Kind() == reflect.Pointer && value.IsNil()
}

func (s *WatchSnapshotSource) newListWatch(selector labels.Selector, starting *session) *listWatch {
	o := &s.options
	l := &listWatch{
		options:  o,
		pods:     typedPods{s.client.CoreV1().Pods(o.namespace)},
		selector: selector.String(),
		fake:     watchlist.DoesClientNotSupportWatchListSemantics(s.client),
		served:   !isNil(s.client.CoreV1().RESTClient()),
		watcher:  newWatcher(s.store, selector, o),
		status:   &s.status,
		logger:   o.logger,
		settle:   starting.settle,
		opened:   func() { close(starting.opened) },
		backoff:  newBackoff(),
	}
	if l.fake {
		return l // which decodes nothing
	}
	note := func(reason string) { o.logger.V(4).Info("Pods are decoded by client-go", "reason", reason) }
	ours, err := newWirePods(s.client, o.namespace, o.form, func(mediaType string) {
		note("an answer in " + mediaType)
	})
	if err != nil {
		note(err.Error())
		return l
	}
	l.pods = ours
	l.watcher.form = podwire.Full // they come in their form
	return l
}

// await returns once the first watch is open, or why it will not be.
func (s *WatchSnapshotSource) await(starting *session) error {
	limit := time.NewTimer(s.options.startTimeout)
	defer limit.Stop()
	select {
	case <-starting.opened:
	case <-starting.done:
	case <-limit.C:
		if starting.settle() {
			starting.cancel(errStartTimeout)
		}
		select {
		case <-starting.opened: // at the last moment
		case <-starting.done:
		}
	}
	select {
	case <-starting.opened: // even if Stop has come since
		return nil
	default:
	}
	switch err := starting.err; {
	case errors.Is(err, errStartTimeout):
		return timeoutError(s.options.startTimeout, s.status.read().Err)
	case errors.Is(err, ErrStopped):
		return ErrStopped
	default:
		return fmt.Errorf("watchsource: start: %w", err)
	}
}

// stop ends a session, and waits until it has ended.
func (s *WatchSnapshotSource) stop(running *session) {
	running.cancel(ErrStopped)
	<-running.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == running {
		s.session = nil
		s.status.enter(Stopped)
	}
}
