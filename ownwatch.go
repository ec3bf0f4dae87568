// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource/internal/catchup"
	"github.com/executorpods/watchsource/internal/clientset"
	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/listwatch"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/progress"
	"github.com/executorpods/watchsource/internal/usercode"
)

// ownWatches makes the feeds of a source that shares its watches with no other.
type ownWatches struct{ client kubernetes.Interface }

func (o ownWatches) checkClient() error             { return checkClient(o.client) }
func (o ownWatches) checkSelector() error           { return nil }
func (o ownWatches) checkNamespaces([]string) error { return nil }

func (o ownWatches) join(_ context.Context, s *session) feed { return newOwnWatch(o.client, s) }

// An ownWatch is the feed of a session that shares its watches with no other. It has one loop, or one
// for each namespace, and each loop has a goroutine. They call the store and the observer one after
// the other.
//
// The store is first called when all namespaces have been listed and their watches are open, with
// the pods of all lists.
type ownWatch struct {
	// Fixed after newOwnWatch.
	session *session
	client  kubernetes.Interface
	store   podStore
	watches []*namespaceWatch
	turn    *usercode.Turn
	// lagging asks how far quiet namespaces have come while a call waits. It is nil for one watch.
	lagging *catchup.Group

	// Fixed after start.
	ctx context.Context

	running sync.WaitGroup // the goroutines of all loops but the first
	panics  sync.Once      // passes one panic to the session
	// waiting and unopened count the watches that Start waits for: those without a list and an open
	// watch, and those that have not been reported as open.
	waiting, unopened atomic.Int32
	// listed is closed when all namespaces have been listed and watched, and passed when the store has
	// received the lists. mayPass is fixed before listed is closed.
	listed, passed chan struct{}
	mayPass        bool

	// Owned by the goroutine that has the turn.
	// begun is set once the store was called.
	begun bool
	// missing counts the lists without which the store is not called.
	missing int
}

func newOwnWatch(client kubernetes.Interface, s *session) *ownWatch {
	n := len(s.options.namespaces)
	observeVersions(s.claim.Stores, n > 1)
	w := &ownWatch{
		session: s, client: client, store: podStoreOf(s.store, s.options.trimmed), missing: n,
		turn: usercode.NewTurn(), listed: make(chan struct{}), passed: make(chan struct{}),
	}
	w.waiting.Store(int32(n))
	w.unopened.Store(int32(n))
	if n == 1 {
		w.watches = []*namespaceWatch{newNamespaceWatch(w, s.status, s.options.namespaces[0])}
		return w
	}
	w.store = podStoreOfMany(s.store, s.options.trimmed)
	w.lagging = catchup.New(clientset.IsFake(client))
	for i, progress := range progress.Of(s.options.namespaces) {
		one := newNamespaceWatch(w, new(statusBoard), s.options.namespaces[i])
		one.board.start(s.claim.AppID)
		one.watcher.progress = progress
		w.watches = append(w.watches, one)
		w.lagging.Add(catchup.Watch{Progress: progress, Ask: one.bookmark, Confirm: one.confirm})
	}
	return w
}

// severally reports whether there are several watches.
func (w *ownWatch) severally() bool { return len(w.watches) > 1 }

func (w *ownWatch) start(ctx context.Context) {
	w.ctx = ctx
	go w.run()
}

// run works until the context ends, or until Start has failed.
func (w *ownWatch) run() {
	defer w.end()
	defer w.catch()
	w.session.logStart()
	for _, other := range w.watches[1:] {
		w.running.Go(func() { w.watch(other) })
	}
	w.watch(w.watches[0])
	w.running.Wait()
	w.lagging.Stop()
	if w.session.isOpen.Load() {
		w.session.observeStop()
	}
}

// watch runs the loop of one watch. When it ends for any reason, all others end too.
func (w *ownWatch) watch(one *namespaceWatch) {
	defer w.session.cancel(nil) // after user code has ended the goroutine
	defer w.catch()
	w.session.cancel(one.run())
}

// catch makes the first panic of the user's code one of Start, while Start waits. It is deferred. A
// later panic ends the program, with its stack.
func (w *ownWatch) catch() {
	if w.session.isOpen.Load() {
		return
	}
	if recovered := recover(); recovered != nil {
		w.panics.Do(func() { w.session.fail(recovered) })
	}
}

// end ends the session, also after user code has ended the goroutine.
func (w *ownWatch) end() {
	w.session.cancel(nil)
	w.running.Wait()
	w.lagging.Stop()
	for _, one := range w.watches {
		one.monitor.stop()
	}
	w.session.end(context.Cause(w.ctx))
}

// mayBegin waits until all namespaces have been listed and watched. It reports if the store may be called.
func (w *ownWatch) mayBegin() bool {
	if w.waiting.Add(-1) == 0 {
		w.mayPass = w.session.decideStart()
		close(w.listed)
	}
	select {
	case <-w.listed:
		return w.mayPass
	case <-w.ctx.Done():
		return false
	}
}

// passFirst passes the first list of a watch to the store, together with those of the others. It
// returns when the store has them.
func (w *ownWatch) passFirst() {
	w.turn.Take(func() {
		if w.missing--; w.missing > 0 {
			return
		}
		if own, ok := ownStoreOf(w.session.store); ok {
			w.lagging.Serve(&own.kept().followVersions)
		}
		w.session.userCode.Enter(usercode.Store)
		w.passAll()
		w.session.userCode.Leave()
		w.begun = true
		close(w.passed)
	})
	select {
	case <-w.passed:
	case <-w.ctx.Done(): // user code has panicked, or Stop has come
	}
}

func (w *ownWatch) passAll() {
	var all []*podwire.Pod
	var syncedAt time.Time
	for _, one := range w.watches {
		all = append(all, one.watcher.selected(one.first)...)
		syncedAt = one.watcher.progress.Listed(one.watcher.resourceVersion, one.listedAt)
		one.first = nil
	}
	w.store.replacePods(metav1.NamespaceAll, all, syncedAt)
	last := w.watches[0].watcher
	if reached := last.progress.Reached(last.resourceVersion); reached != "" {
		w.store.ObserveResourceVersion(reached)
	}
}

// opened lets Start return once all watches are open.
func (w *ownWatch) opened() {
	if w.unopened.Add(-1) == 0 {
		w.session.open()
	}
}

// status implements feed, as the following methods do. If there is one watch, its monitor writes the
// board of the source, so the own status is complete.
func (w *ownWatch) status(own Status) Status {
	if !w.severally() {
		return w.watches[0].monitor.status()
	}
	var all []Status
	for _, one := range w.watches {
		all = append(all, one.status())
	}
	now := together(all)
	now.AppID, now.ResourceVersion = own.AppID, w.watches[0].watcher.progress.Oldest()
	if own.Phase == Starting {
		now.Phase, now.Since = own.Phase, own.Since
	}
	if now.Since.Before(own.Since) {
		now.Since = own.Since
	}
	return now
}

func (w *ownWatch) healthy(own Status, maxSilence time.Duration) error {
	if !w.severally() {
		return w.watches[0].monitor.status().healthy(maxSilence, "")
	}
	for _, one := range w.watches {
		if err := one.status().healthy(maxSilence, fmt.Sprintf(" about namespace %q", one.namespace)); err != nil {
			return err
		}
	}
	return nil
}

func (w *ownWatch) startError(last error) error {
	if !w.severally() {
		return cmp.Or(w.watches[0].monitor.awaited(), last)
	}
	for _, one := range w.watches {
		if !one.ready.Load() {
			unanswered := &failure.RequestError{Kind: failure.ListPods, Namespace: one.namespace, Err: failure.ErrNoAnswer}
			return cmp.Or[error](one.monitor.awaited(), one.status().Err, unanswered)
		}
	}
	return last
}

func (w *ownWatch) waitsFor() usercode.Callee { return w.session.userCode.Now() }

// A namespaceWatch is the watch of one namespace, or of all. It is the sink of a loop.
type namespaceWatch struct {
	// Fixed after newNamespaceWatch, and the logger of the monitor before the loop runs.
	ownWatch  *ownWatch
	namespace string
	board     *statusBoard
	monitor   *monitor
	watcher   *Watcher
	loop      *listwatch.Loop // fixed before it runs

	// ready is set when the namespace has been listed and its watch is open: Start does not wait for it.
	ready atomic.Bool

	// Owned by the goroutine of the loop, until it passes the first list on.

	// first is the first list, until the store has received it, and listedAt is when it came.
	first    []*podwire.Pod
	listedAt time.Time
	// isPassed is set once the store has received the first list, and hasOpened once a watch was open.
	isPassed, hasOpened bool
}

func newNamespaceWatch(w *ownWatch, board *statusBoard, namespace string) *namespaceWatch {
	o := w.session.options
	return &namespaceWatch{
		ownWatch: w, namespace: namespace, board: board,
		monitor: newMonitor(board, o.observer, o.stallTimeout, o.logger, &w.session.userCode),
		watcher: newWatcher(w.store, w.session.selector, o),
	}
}

// run runs the loop until the context ends, or until Start has failed, and returns the cause.
func (n *namespaceWatch) run() error {
	logger := n.ownWatch.session.options.logger
	if n.ownWatch.severally() {
		logger = logger.WithValues("namespace", n.namespace)
		n.watcher.logger = logger
	}
	n.monitor.logger = logger.WithValues("appID", n.ownWatch.session.claim.AppID)
	n.loop = listwatch.New(n.config())
	return n.loop.Run(logr.NewContext(n.ownWatch.ctx, logger))
}

func (n *namespaceWatch) config() listwatch.Config {
	s := n.ownWatch.session
	config := s.options.loopConfig(n.ownWatch.client, n.namespace, s.selector, n.monitor.logger)
	switch own, ok := ownStoreOf(s.store); {
	case ok:
		config.Known = own.kept().known
	case n.ownWatch.severally(): // the ledger keeps the pods
	case s.options.trimmed:
		config.Form = podwire.Trimmed
	default:
		config.Form = podwire.Whole
	}
	config.Sink, config.Report, config.Begin = n, n.report, n.begin
	return config
}

func (n *namespaceWatch) begin() bool {
	n.listedAt = time.Now()
	n.ready.Store(true)
	return n.ownWatch.mayBegin()
}

// Replace implements [listwatch.Sink], as the following methods do.
func (n *namespaceWatch) Replace(pods []*podwire.Pod, resourceVersion string) {
	if !n.isPassed {
		n.isPassed, n.first, n.watcher.resourceVersion = true, pods, resourceVersion
		n.ownWatch.passFirst()
		return
	}
	n.callStore(func() { n.watcher.replace(pods, resourceVersion) })
}

func (n *namespaceWatch) Receive(event watch.Event) (err error) {
	if n.watcher.progress.Outdated() {
		return failure.ErrNewHistory
	}
	n.callStore(func() { err = n.watcher.receive(event) })
	return err
}

func (n *namespaceWatch) ResourceVersion() string {
	if n.watcher.progress.Outdated() {
		return ""
	}
	return n.watcher.resourceVersion
}

func (n *namespaceWatch) Forget() { n.watcher.resourceVersion = "" }

// callStore calls the store, unless Start has ended before it was called.
func (n *namespaceWatch) callStore(code func()) {
	n.ownWatch.turn.Take(func() {
		if !n.ownWatch.begun {
			return
		}
		n.ownWatch.session.userCode.Enter(usercode.Store)
		code()
		n.ownWatch.session.userCode.Leave()
	})
}

// bookmark asks how far the namespace has come. A panic of the client is one of Start, as in the loop.
func (n *namespaceWatch) bookmark(ctx context.Context, from string) (string, error) {
	defer n.ownWatch.catch()
	return n.loop.Bookmark(ctx, from)
}

// confirm tells the store that nothing has happened in the namespace up to a version.
func (n *namespaceWatch) confirm(from progress.Position, version string) {
	n.callStore(func() {
		if reached := n.watcher.progress.Confirm(from, version); reached != "" {
			n.ownWatch.store.ObserveResourceVersion(reached)
		}
	})
}

// report updates the status, calls the observer, and lets Start return.
func (n *namespaceWatch) report(e listwatch.Event) {
	if e.Kind == listwatch.Checked || e.Kind == listwatch.Decoding { // at any time
		n.monitor.report(e)
		return
	}
	if e.Kind == listwatch.Opened || e.Kind == listwatch.Closed {
		n.watcher.progress.SetOpen(e.Kind == listwatch.Opened)
	}
	n.ownWatch.lagging.Look()
	n.ownWatch.turn.Take(func() { n.monitor.report(e) })
	if e.Kind == listwatch.Opened && !n.hasOpened {
		n.hasOpened = true
		n.ownWatch.opened()
	}
}

// status returns the status of this watch. Its error names the namespace.
func (n *namespaceWatch) status() Status {
	s := n.monitor.status()
	if _, named := errors.AsType[*failure.RequestError](s.Err); s.Err != nil && !named {
		s.Err = fmt.Errorf("namespace %q: %w", n.namespace, s.Err)
	}
	return s
}
