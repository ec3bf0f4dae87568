// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource/internal/isnil"
)

// ErrAlreadyStarted is the error of Start while the source is started. A source
// watches one application at a time. Call Stop first, or make another source.
var ErrAlreadyStarted = errors.New("watchsource: already started, call Stop before another Start")

// ErrStoreInUse is the error of Start if another source that is started feeds the
// store, or a store in its Tee. Each source needs its own store, because the list of
// one source would remove the executors of the other.
var ErrStoreInUse = errors.New("watchsource: another started source feeds the store, use one store for each source")

// A WatchSnapshotSource watches the executor pods of one application at a time
// and feeds a [SnapshotsStore] with them. Its model is Spark's
// ExecutorPodsWatchSnapshotSource.
//
// Its methods are safe for concurrent use. Neither the store nor an observer may
// call Stop, or wait for Run to return: Stop waits for their calls. The log says
// so when Stop has waited for five seconds.
type WatchSnapshotSource struct {
	// Fixed after NewWatchSnapshotSource.
	store   SnapshotsStore
	options *sourceOptions // shared by the sources of a SharedWatch
	feeds   feeds

	status statusBoard

	mu      sync.Mutex
	session *session // nil while stopped
}

// NewWatchSnapshotSource returns a source that is stopped. It does not touch
// the client. Use one store for each source.
func NewWatchSnapshotSource(store SnapshotsStore, client kubernetes.Interface, opts ...Option) *WatchSnapshotSource {
	options := newSourceOptions(opts)
	return &WatchSnapshotSource{store: store, options: &options, feeds: ownWatches{client}}
}

// Start begins to watch the executor pods of an application. It returns once
// the store has received all of them and the watch is open, so that no pod that
// is created later can be missed.
//
// It fails with ErrInvalidAppID, with ErrAlreadyStarted while the source is
// started (the running watch goes on), with ErrStoreInUse while another source
// that is started feeds the store (that source goes on), with ErrStopped if Stop
// is called meanwhile, and with the error of the API server or of the connection to it:
// apierrors.IsForbidden, IsUnauthorized and similar functions recognise the
// error, errors.Is and errors.As its cause. The text names the request, the cause and
// what to do, and does not contain the URL of the request.
//
// Start makes another attempt if waiting may help: as long as the server asks to come
// back later (429 or 503), after the first 401, because client-go may have renewed the
// credential, and after up to six requests in a row that do not reach the API server.
// Those are connections that are refused or break, a network or a DNS that does not
// answer, and gateways without a server behind them. The delays between the six add up
// to at most eight seconds. Every other error ends Start at once, also a missing right (403).
//
// If there is no complete view within the start timeout, apierrors.IsTimeout and
// errors.Is with context.DeadlineExceeded recognise the error, which contains the last
// one or names the request that was not answered. After a failure nothing runs, the
// store was not called, and Start may be called again. A panic of the client or the
// store leaves the source stopped and continues in the caller.
//
// After Stop the source may be started again, also for another application. The store
// keeps the executors that it has until the list of the new Start replaces them, and
// from then on they are gone. The ranges over [Store.Batches] have ended with Stop, so no
// reader is shown that executors of the earlier application have left. A range that
// begins after Start has returned shows the executors of the new application only.
//
// To end the watch with a context, call Stop when the context ends, as in
// context.AfterFunc(ctx, source.Stop), or use Run.
func (s *WatchSnapshotSource) Start(appID string) error {
	_, err := s.start(context.Background(), appID)
	return err
}

// Run calls Start, waits until ctx ends or another goroutine calls Stop, and
// calls Stop. It returns the error of Start, or nil. When it has returned nothing
// runs.
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
	case <-running.done:
	}
	s.stop(running)
	return nil
}

// Stop ends the watch and returns when nothing runs and the store is not called
// any more. It waits for a call of the store or the observer that is in progress.
// It may be called in any state and by several goroutines at once.
func (s *WatchSnapshotSource) Stop() {
	s.mu.Lock()
	running := s.session
	s.mu.Unlock()
	if running != nil {
		s.stop(running)
	}
}

// Feeds reports whether the pods of the source come to a store: whether store is the store of the
// source, or one in its [Tee]. A type of your own may pass its calls on to any store, and the package
// cannot look into it: if the source feeds one, Feeds returns true for every store that is not nil.
// The source need not be started.
func (s *WatchSnapshotSource) Feeds(store SnapshotsStore) bool { return mayReach(s.store, store) }

// Status returns the state of the watch.
func (s *WatchSnapshotSource) Status() Status { return s.currentStatus().prefixed() }

// currentStatus returns the status without the prefix of its error.
func (s *WatchSnapshotSource) currentStatus() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil {
		return s.status.read()
	}
	return s.session.feed.status(s.status.read())
}

// Healthy returns nil if the API server was heard within maxSilence. Otherwise it returns
// an error with the time since the last contact and the last error. Use it in a liveness
// probe with a maxSilence of three minutes: a reconnection or a cluster in which nothing
// happens does not make a source unhealthy, and a watch that brings nothing any more does.
//
// With a stall timeout of more than two and a half minutes (see [WithStallTimeout]),
// maxSilence should be half a minute longer than the stall timeout. A source that is not
// started is not healthy.
func (s *WatchSnapshotSource) Healthy(maxSilence time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil {
		return s.status.read().healthy(maxSilence, "")
	}
	return s.session.feed.healthy(s.status.read(), maxSilence)
}

func (s *WatchSnapshotSource) start(ctx context.Context, appID string) (*session, error) {
	selector, err := s.check(appID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	starting := newSession(appID, selector, s.store, s.options, &s.status, cancel)
	if err := s.begin(ctx, starting); err != nil {
		cancel(nil)
		return nil, err
	}
	defer func() {
		if !starting.isOpen.Load() { // Start has failed, or the logger has panicked
			s.stop(starting)
		}
	}()
	starting.feed.start(ctx)
	err = s.await(starting)
	switch {
	case err == nil:
		return starting, nil
	case starting.panicked != nil:
		panic(starting.panicked.Value)
	default:
		return nil, err
	}
}

// begin makes starting the session of the source, if the source has none and the store is free.
func (s *WatchSnapshotSource) begin(ctx context.Context, starting *session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != nil {
		return ErrAlreadyStarted
	}
	if other := starting.claim.Take(); other != nil {
		return fmt.Errorf("%w (the other source watches application %q)", ErrStoreInUse, other.AppID)
	}
	s.status.start(starting.claim.AppID)
	starting.feed = s.feeds.join(ctx, starting)
	s.session = starting
	return nil
}

// check rejects what could never work.
func (s *WatchSnapshotSource) check(appID string) (labels.Selector, error) {
	if err := checkStore(s.store); err != nil {
		return nil, fmt.Errorf("watchsource: start: %w", err)
	}
	if err := s.feeds.checkClient(); err != nil {
		return nil, fmt.Errorf("watchsource: start: %w", err)
	}
	if err := checkAppID(appID); err != nil {
		return nil, err
	}
	if err := cmp.Or(s.options.checkNamespaces(), s.options.checkShard()); err != nil {
		return nil, fmt.Errorf("watchsource: start: %w", err)
	}
	if err := s.feeds.checkNamespaces(s.options.namespaces); err != nil {
		return nil, fmt.Errorf("watchsource: start: %w", err)
	}
	if s.options.selector == nil {
		return nil, errors.New("watchsource: start: the function of WithSelector is nil")
	}
	selector := s.options.selector(appID)
	if isnil.Value(selector) {
		return nil, fmt.Errorf("watchsource: start: the function of WithSelector returned a nil selector for application %q", appID)
	}
	if selector.Empty() {
		return nil, fmt.Errorf("watchsource: start: the selector for application %q selects every pod", appID)
	}
	// labels.Nothing() is written as the empty text, which selects every pod.
	if _, selectable := selector.Requirements(); !selectable || selector.String() == "" {
		return nil, fmt.Errorf("watchsource: start: the selector for application %q selects no pod", appID)
	}
	if err := s.feeds.checkSelector(); err != nil {
		return nil, fmt.Errorf("watchsource: start: %w", err)
	}
	return selector, nil
}

// await returns once the first watch is open, or the reason why it will not be.
func (s *WatchSnapshotSource) await(starting *session) error {
	limit := time.NewTimer(s.options.startTimeout)
	defer limit.Stop()
	var last error
	select {
	case <-starting.opened:
	case <-starting.done:
	case <-limit.C:
		if starting.decideStart() {
			last = starting.feed.startError(s.currentStatus().Err)
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
		return timeoutError(s.options.startTimeout, last)
	case errors.Is(err, ErrStopped):
		return ErrStopped
	default:
		return fmt.Errorf("watchsource: start: %w", err)
	}
}

// stop ends a session, and waits until it has ended.
func (s *WatchSnapshotSource) stop(running *session) {
	running.cancel(ErrStopped)
	running.wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == running {
		s.session = nil
		last := running.feed.status(s.status.read())
		s.status.write(func(status *Status) { *status = last })
		s.status.stop()
	}
}

// errStartTimeout is the cancellation cause of a Start that takes too long.
var errStartTimeout = errors.New("start timeout")

// timeoutError is the error of a Start that ran out of time. apierrors.IsTimeout
// and errors.Is with context.DeadlineExceeded recognise it. last is the error of
// the last attempt, nil if there was none.
func timeoutError(after time.Duration, last error) error {
	err := apierrors.NewTimeoutError(fmt.Sprintf("the API server gave no complete view within %v", after), 0)
	if last == nil {
		return fmt.Errorf("watchsource: start: %w (%w): check its address and the network, or raise WithStartTimeout", err, context.DeadlineExceeded)
	}
	if apierrors.IsTooManyRequests(last) {
		// IsTimeout checks the reason, IsTooManyRequests also the code.
		err.ErrStatus.Code = http.StatusTooManyRequests
	}
	return fmt.Errorf("watchsource: start: %w (%w): %w", err, context.DeadlineExceeded, last)
}
