// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/executorpods/watchsource"
)

const (
	defaultInterval = time.Second
	// The default start timeout is below the default CacheSyncTimeout of a controller, which is
	// two minutes, so that the controller gets the error of the start.
	defaultStartTimeout = 90 * time.Second
)

// Options are the options of a [Watch]. Only Selector is required.
type Options struct {
	// Selector selects the pods to watch. It must not select all pods.
	Selector labels.Selector
	// Interval is the shortest time between two requests for the same owner, by default a second.
	Interval time.Duration
	// StartTimeout bounds the time until the view is complete, by default 90 seconds. It must be
	// shorter than the CacheSyncTimeout of the controllers, which is two minutes by default.
	StartTimeout time.Duration
	// WithoutEnds makes the sources keep no ends: [Look.Ends] is then always empty. Set it if your
	// reconcilers read only snapshots.
	WithoutEnds bool

	// Logger is by default that of controller-runtime, which is also the default of a manager. To
	// discard the messages, add [watchsource.WithLogger] with the zero Logger to Source and Store.
	Logger logr.Logger
	// Source has further options of the watch, for example [watchsource.WithNamespace].
	Source []watchsource.Option
	// Store has further options of the view, for example [watchsource.WithExecutorContainer]. With
	// [watchsource.WithBacklogLimit], [Look.Ends] lacks the ends that were dropped.
	Store []watchsource.StoreOption
}

// A Watch is one watch of pods for any number of controllers, and the view of the pods, divided
// by owners. It is open while a [Source] of it is started, or while the Watch runs as a
// [sigs.k8s.io/controller-runtime/pkg/manager.Runnable], and otherwise closed.
//
// Its methods are safe for concurrent use.
type Watch[request comparable] struct {
	// Fixed after New.
	options Options
	store   *watchsource.StoreBy[request]
	source  *watchsource.WatchSnapshotSource
	metrics collectors

	// Guarded by mu.
	mu      sync.Mutex
	session *session // nil while nothing uses the watch
	last    *session // the session before, which may not have ended yet
}

// New returns a Watch that is closed. It does not touch the client. The function owner names the
// owner of a pod, as the request that a controller reconciles, and false for a pod without an
// owner, which the Watch then ignores: see [ByControllerOf] and [ByLabel].
//
// Make the client from the manager's configuration:
//
//	kubernetes.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
func New[request comparable](client kubernetes.Interface, owner func(pod metav1.Object) (request, bool), options Options) *Watch[request] {
	if options.Logger.GetSink() == nil {
		options.Logger = log.Log.WithName("watchsource")
	}
	options.Interval = positive(options.Interval, defaultInterval)
	options.StartTimeout = positive(options.StartTimeout, defaultStartTimeout)
	store := watchsource.NewStoreBy(owner, append([]watchsource.StoreOption{watchsource.WithLogger(options.Logger)}, options.Store...)...)
	source := watchsource.NewWatchSnapshotSource(store, client, append([]watchsource.Option{
		watchsource.WithLogger(options.Logger),
		watchsource.WithSelector(func(string) labels.Selector { return options.Selector }),
		watchsource.WithStartTimeout(options.StartTimeout),
	}, options.Source...)...)
	return &Watch[request]{options: options, store: store, source: source}
}

func positive(d, otherwise time.Duration) time.Duration { return cmp.Or(max(d, 0), otherwise) }

// check returns why the Watch cannot be opened.
func (w *Watch[request]) check() error {
	if w.options.Selector == nil {
		return errors.New("watchsource: Options.Selector is nil: set a selector of the pods to watch")
	}
	return nil
}

// Snapshot returns the newest view of the pods of one owner. It is empty for an owner without
// pods, and [watchsource.Snapshot.Complete] says whether the view has all pods.
func (w *Watch[request]) Snapshot(owner request) watchsource.Snapshot {
	return w.store.Snapshot(owner)
}

// Store returns the view, for example to wait for a version or a pod.
func (w *Watch[request]) Store() *watchsource.StoreBy[request] { return w.store }

// Status returns the state of the watch.
func (w *Watch[request]) Status() watchsource.Status { return w.source.Status() }

// complete reports whether the view has all pods.
func (w *Watch[request]) complete() bool {
	var none request
	return w.store.Snapshot(none).Complete()
}

// String returns a text for the log of a controller.
func (w *Watch[request]) String() string {
	return fmt.Sprintf("watchsource: pods with labels %v", w.options.Selector)
}
