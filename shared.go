// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource/internal/namespaces"
	"github.com/executorpods/watchsource/internal/routing"
)

// A SharedWatch is one watch for the executor pods of many applications. It is open
// while any of its sources is started. Its sources give the same guarantees as other
// sources. They differ in these points:
//
//   - Status, Healthy and the observer describe the shared watch. The counts of a Status
//     begin at the Start of its source. Those of [SharedWatch.Status] begin when the watch opens.
//   - A Start that needs no request shows the executors as of the last event that the watch
//     has received. A pod that was created just before is added a moment later. To wait for
//     it, use [Store.WaitForResourceVersion].
//   - An event advances the resource version of its application only. The versions of the
//     others advance with a bookmark, about once a minute, with a list, and, while
//     [Store.WaitForResourceVersion] waits, with each event. A store of your own
//     has to wait for the bookmark.
//   - A store of your own, which is neither a [Store] nor a [StoreBy], is called by a separate goroutine, so that it cannot
//     delay other applications. If more than a thousand calls wait for it, the states of
//     a pod are merged, and all lists but the oldest and the newest are dropped. No end
//     is lost.
//   - A Start while the watch is interrupted waits for it until the start timeout, also if the
//     API server is not reached. A missing right ends it at once.
//   - A pod that is relabelled from one application to another is reported as gone in its
//     new state.
//
// A source that starts after the watch has opened costs no request if the watch has not
// shown a pod of its application, and at most one list otherwise. Sources that start at
// the same time share that list. Several sources may watch the same application.
//
// The label that holds the application id comes from the function of [WithSelector]: if
// it is called with two ids, the selectors must differ in the value of exactly one
// equality requirement. Otherwise Start fails with an error that says so.
//
// Its methods are safe for concurrent use. The stores and the observer must not call
// Stop of any of its sources.
type SharedWatch struct {
	// Fixed after NewSharedWatch.
	client     kubernetes.Interface
	options    sourceOptions
	routing    routing.Label
	routingErr error       // why there is no routing label
	logger     logr.Logger // names the selector

	mu         sync.Mutex
	connection *connection // nil while no source is started
	lastStatus Status      // of the last connection that has ended
}

// NewSharedWatch returns a SharedWatch without a connection. It does not touch the
// client. The options apply to all its sources.
func NewSharedWatch(client kubernetes.Interface, opts ...Option) *SharedWatch {
	w := &SharedWatch{client: client, options: newSourceOptions(opts)}
	w.routing, w.routingErr = routing.Of(w.options.selector)
	if w.routingErr == nil {
		w.logger = w.options.logger.WithValues("selector", w.routing.Selector().String())
	}
	return w
}

// Source returns a source that is stopped and feeds store. It may be called at any time.
// Use one store for each source.
func (w *SharedWatch) Source(store SnapshotsStore) *WatchSnapshotSource {
	return &WatchSnapshotSource{store: store, options: &w.options, feeds: sharedFeeds{w}}
}

// Status returns the state of the watch. Its counts begin when the watch opens for the first
// source, and its AppID is empty. It is Stopped while no source is started, and then has the
// counts and the last error of the watch before.
func (w *SharedWatch) Status() Status { return w.currentStatus().prefixed() }

// Healthy returns nil if the API server was heard within maxSilence, as
// [WatchSnapshotSource.Healthy] does for one source. Use it in the liveness probe of a
// program that has many sources. While no source is started the watch is not healthy: if
// the program may have no application, let the probe pass while the Phase is Stopped.
func (w *SharedWatch) Healthy(maxSilence time.Duration) error {
	return w.currentStatus().healthy(maxSilence, "")
}

// currentStatus returns the status without the prefix of its error.
func (w *SharedWatch) currentStatus() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.connection == nil {
		return w.lastStatus
	}
	return w.connection.monitor.status()
}

// sharedFeeds are the feeds of the sources of a SharedWatch.
type sharedFeeds struct{ watch *SharedWatch }

func (f sharedFeeds) checkClient() error   { return checkClient(f.watch.client) }
func (f sharedFeeds) checkSelector() error { return f.watch.routingErr }

func (f sharedFeeds) checkNamespaces(watched []string) error {
	if len(watched) == 1 {
		return nil
	}
	return fmt.Errorf("WithNamespaces(%s) on a SharedWatch, which watches one namespace or all: make one SharedWatch for each namespace, "+
		"or one source with NewWatchSnapshotSource that feeds a StoreBy", namespaces.Quoted(watched))
}

// join makes a session a member of the open connection, or of a new one.
func (f sharedFeeds) join(ctx context.Context, s *session) feed {
	w := f.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	m, ok := w.connection.join(s)
	if !ok {
		w.connection = newConnection(w.client, &w.options, w.routing, w.logger)
		m, _ = w.connection.join(s)
	}
	context.AfterFunc(ctx, func() {
		if last := m.connection.leave(m, context.Cause(ctx)); last {
			w.forget(m.connection)
		}
	})
	return m
}

// forget frees a connection that has ended, and keeps its status.
func (w *SharedWatch) forget(c *connection) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.connection == c {
		w.connection, w.lastStatus = nil, c.monitor.status()
	}
}
