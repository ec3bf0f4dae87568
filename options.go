// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/executorpods/watchsource/internal/podwire"
)

// An Option changes how a [WatchSnapshotSource] works.
type Option interface{ applyToSource(*sourceOptions) }

// A StoreOption changes how a [Store] works.
type StoreOption interface{ applyToStore(*storeOptions) }

type sourceOptions struct {
	namespace    string
	logger       logr.Logger
	selector     func(appID string) labels.Selector
	form         podwire.Form
	startTimeout time.Duration
	stallTimeout time.Duration // 0: as the server's bookmarks suggest
	observer     func(Observation)
}

type storeOptions struct {
	rules        rules
	logger       logr.Logger
	backlogLimit int
}

type (
	sourceOption func(*sourceOptions)
	storeOption  func(*storeOptions)
)

func (o sourceOption) applyToSource(to *sourceOptions) { o(to) }
func (o storeOption) applyToStore(to *storeOptions)    { o(to) }

func newSourceOptions(opts []Option) sourceOptions {
	o := sourceOptions{
		namespace:    metav1.NamespaceAll,
		logger:       defaultLogger(),
		selector:     sparkSelector,
		startTimeout: 30 * time.Second,
	}
	for _, opt := range opts {
		opt.applyToSource(&o)
	}
	return o
}

func newStoreOptions(opts []StoreOption) storeOptions {
	o := storeOptions{
		rules:  rules{container: defaultExecutorContainer, idLabel: LabelExecutorID},
		logger: defaultLogger(),
	}
	for _, opt := range opts {
		opt.applyToStore(&o)
	}
	return o
}

func defaultLogger() logr.Logger { return logr.FromSlogHandler(slog.Default().Handler()) }

// WithNamespace watches one namespace. The default is all of them, which needs
// a ClusterRole.
func WithNamespace(namespace string) Option {
	return sourceOption(func(o *sourceOptions) { o.namespace = namespace })
}

// WithSelector replaces the labels by which an application's executor pods are
// found, Spark's by default. A selector that selects every pod makes Start
// fail.
func WithSelector(selector func(appID string) labels.Selector) Option {
	return sourceOption(func(o *sourceOptions) { o.selector = selector })
}

// WithTrimmedPods hands the store pods that carry only what tracking needs: the
// metadata without managedFields, the whole status, and of the spec the node
// name, the restart policy, and the name and policy of each container that has
// a restart policy of its own. Without this option pods lack their
// managedFields and are otherwise complete.
func WithTrimmedPods() Option {
	return sourceOption(func(o *sourceOptions) { o.form = podwire.Trimmed })
}

// WithStartTimeout bounds how long Start may take, 30 seconds by default and
// where d is not positive.
func WithStartTimeout(d time.Duration) Option {
	return sourceOption(func(o *sourceOptions) {
		if d > 0 {
			o.startTimeout = d
		}
	})
}

// WithStallTimeout sets how long a watch may be silent, without an event or a
// bookmark, before it is taken for dead and replaced. By default, and where d is
// not positive, that is two and a half minutes once the API server has shown
// that it sends bookmarks, which kube-apiserver does about once a minute, and
// until then half a minute more than the five to ten that the watch was asked
// to last.
//
// A time below the period of the bookmarks costs a new watch each time that
// nothing happens for so long, but never a list.
func WithStallTimeout(d time.Duration) Option {
	return sourceOption(func(o *sourceOptions) { o.stallTimeout = max(d, 0) })
}

// WithObserver has a function called with everything that happens between the
// source and the API server, such as for metrics. The goroutine that watches
// calls it and waits for it.
func WithObserver(observer func(Observation)) Option {
	return sourceOption(func(o *sourceOptions) { o.observer = observer })
}

// WithLogger sets where a source or a store logs. The default is the handler
// that slog.Default has when the source or the store is made. Debug messages
// have verbosity 4, which is slog's LevelDebug.
func WithLogger(logger logr.Logger) interface {
	Option
	StoreOption
} {
	return loggerOption{logger}
}

type loggerOption struct{ logger logr.Logger }

func (o loggerOption) applyToSource(to *sourceOptions) { to.logger = o.logger }
func (o loggerOption) applyToStore(to *storeOptions)   { to.logger = o.logger }

// WithoutPods makes a store keep executors without their pods: [Executor.Pod]
// is nil, and a pod's memory is free once it has been read.
func WithoutPods() StoreOption {
	return storeOption(func(o *storeOptions) { o.rules.dropPods = true })
}

// WithBacklogLimit bounds what is kept for a reader of [Store.Batches] that stays
// away, by the number of changes that wait for it. There is no bound by default,
// and where changes is not positive.
//
// A backlog that grows beyond it is given up, and from then on costs nothing.
// The reader's next batch shows everything present instead, and says so in
// [Batch.Anew] and [Batch.Missed].
func WithBacklogLimit(changes int) StoreOption {
	return storeOption(func(o *storeOptions) { o.backlogLimit = max(changes, 0) })
}

// WithExecutorContainer names the container that is the executor, the others
// being its sidecars. The default is Spark's, spark-kubernetes-executor.
func WithExecutorContainer(name string) StoreOption {
	return storeOption(func(o *storeOptions) { o.rules.container = name })
}

// WithExecutorContainerOnly lets nothing but the executor container decide
// whether a running pod has failed. By default any container that ended with a
// failure and is not restarted fails the executor, as with Spark's
// spark.kubernetes.executor.checkAllContainers.
func WithExecutorContainerOnly() StoreOption {
	return storeOption(func(o *storeOptions) { o.rules.containerOnly = true })
}

// WithExecutorIDLabel names the label that holds the executor id. The default
// is [LabelExecutorID].
func WithExecutorIDLabel(key string) StoreOption {
	return storeOption(func(o *storeOptions) { o.rules.idLabel = key })
}
