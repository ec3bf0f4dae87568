// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource/internal/listwatch"
	"github.com/executorpods/watchsource/internal/namespaces"
	"github.com/executorpods/watchsource/internal/podstate"
	"github.com/executorpods/watchsource/internal/podstate/choice"
	"github.com/executorpods/watchsource/internal/shard"
)

// An Option changes how a [WatchSnapshotSource] works. A nil Option changes nothing.
type Option interface{ applyToSource(*sourceOptions) }

// A StoreOption changes how a [Store] or a [StoreBy] works. A nil StoreOption changes nothing.
type StoreOption interface{ applyToStore(*storeOptions) }

// A LoggerOption is an option for a source and for a store.
type LoggerOption interface {
	Option
	StoreOption
}

// sourceOptions have the value of each Option. A zero duration is the default of listwatch, no
// shard means all namespaces, and the other zero values switch something off.
type sourceOptions struct {
	// namespaces are those that are watched. One may be empty for all, unless each is named.
	namespaces   []string
	named        bool // by WithNamespaces
	shard        *shardOption
	logger       logr.Logger
	selector     func(appID string) labels.Selector
	trimmed      bool
	startTimeout time.Duration
	stallTimeout time.Duration
	verifyEvery  time.Duration
	observer     func(listwatch.Event)
}

// loopConfig returns the configuration of a loop without its callbacks.
func (o *sourceOptions) loopConfig(client kubernetes.Interface, namespace string, selector labels.Selector, logger logr.Logger) listwatch.Config {
	return listwatch.Config{
		Client:       client,
		Namespace:    namespace,
		Shard:        o.shard.namespaces(),
		Selector:     selector.String(),
		StartTimeout: o.startTimeout,
		StallTimeout: o.stallTimeout,
		VerifyEvery:  o.verifyEvery,
		Logger:       logger,
	}
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
		namespaces:   []string{metav1.NamespaceAll},
		logger:       defaultLogger(),
		selector:     sparkSelector,
		startTimeout: 30 * time.Second,
	}
	for _, opt := range opts {
		if opt != nil {
			opt.applyToSource(&o)
		}
	}
	return o
}

func newStoreOptions(opts []StoreOption) storeOptions {
	o := storeOptions{
		rules:  rules{Rules: podstate.Rules{Executor: choice.Named(defaultExecutorContainer)}, idLabel: LabelExecutorID, numericIDs: true},
		logger: defaultLogger(),
	}
	for _, opt := range opts {
		if opt != nil {
			opt.applyToStore(&o)
		}
	}
	return o
}

func defaultLogger() logr.Logger { return logr.FromSlogHandler(slog.Default().Handler()) }

// WithNamespace restricts the watch to one namespace. The default is all namespaces,
// which needs a ClusterRole. A namespace that does not exist has no pods and causes no error.
// Of WithNamespace and [WithNamespaces] the last one counts.
func WithNamespace(namespace string) Option {
	return sourceOption(func(o *sourceOptions) { o.namespaces, o.named = []string{namespace}, false })
}

// WithNamespaces restricts the source to several namespaces, with one watch for each and one view
// of all. It needs a Role in each namespace, and no ClusterRole. With one name it is the same as
// [WithNamespace]. The order of the names has no meaning.
//
// Start returns once all namespaces have been listed and all watches are open, and the store
// receives all pods in one list. A namespace in which the client may not list and watch pods ends
// Start with an error that names it. A namespace that does not exist has no pods and causes no
// error: its pods appear when it is created.
//
// Later each watch resumes and relists by itself. A relist changes the executors of its namespace
// only. A store of your own then receives all pods, and the source keeps them for
// that, as bytes. If the client loses a right, or a namespace is deleted, the other watches go on. The
// executors of that namespace stay until a list or an event shows that they are gone. The source tries
// again after at most fifteen seconds, and so recovers when the right is back.
//
// [Status] describes all watches together: it is Watching if all are, and its Err and the error of
// Healthy name the namespace in which something is wrong. The log lines of a watch have the key
// namespace.
//
// The resource version of the store is the oldest that any of the watches has reached. In a
// namespace in which nothing happens, only a bookmark moves it, about once a minute. While a call of
// [Store.WaitForResourceVersion] or [Store.WaitForEnd], or of a [StoreBy], waits for a version that
// another namespace has reached, the source therefore asks for a bookmark: with a watch of three
// seconds and a list of no pods in each namespace that lags, at most one a second, and fewer if they fail. It
// comes after one to two seconds. If nothing at all is written in the cluster, or the store is in a
// [Tee] or in a type that embeds it, the call waits for the next bookmark of the running watch. After a
// server was restored from a backup, the version is unknown until all namespaces have been listed
// again. [Snapshot.SyncedAt] is the time of the oldest of the last lists.
//
// Each namespace costs a list and a watch. kube-apiserver lets 100 watches share a connection, and
// client-go then opens another one. If the server has no streaming lists, the lists count for the rate
// limit of the client: with client-go's default of 5 a second, Start needs ten seconds for 60
// namespaces. Set rest.Config.QPS higher, or give more time with [WithStartTimeout]. One watch of all
// namespaces is cheaper, if the client has the right to it.
//
// Start fails if there is no name, if a name is empty, cannot be that of a namespace or is given
// twice, and on a source of a [SharedWatch] if there are several names: make one SharedWatch for each
// namespace instead. It also fails together with WithShard, as WithNamespace does.
func WithNamespaces(namespaces ...string) Option {
	watched := slices.Clone(namespaces)
	return sourceOption(func(o *sourceOptions) { o.namespaces, o.named = watched, true })
}

// checkNamespaces returns why a source cannot watch what WithNamespaces names.
func (o *sourceOptions) checkNamespaces() error {
	if !o.named {
		return nil
	}
	return namespaces.Check(o.namespaces)
}

// WithShard makes a source watch only a part of all namespaces, so that several processes can
// divide them. With a count of n, the namespaces are divided into n shards, and the source sees
// the pods of shard index, from 0 to n-1. A count of 1 is the same as no WithShard.
//
// A namespace is in the shard that is its hash times count divided by 2^64, rounded down. The
// hash is the 64-bit FNV-1a of the name. So each namespace is in exactly one shard, whatever the
// count is, and all processes must have the same count. To change the count, restart all
// processes with another one: each then lists again. While some still have the old
// count, a namespace may be in the shards of several processes or of none.
//
// Names that differ only in their last characters have hashes near each other. Of 100
// namespaces team-00 to team-99, all are in one shard of 2, 4 or 16. Look at how your namespaces
// divide before you use shards. Names with a random part divide evenly. The same is true of
// the parameter shardSelector of the Kubernetes API (KEP-5866).
//
// The source requests its shard with that parameter. kube-apiserver then sends the pods of the
// shard only, from version 1.38 on, and in 1.36 and 1.37 with the feature gate
// ShardedListAndWatch. Other servers ignore the parameter and send all pods. So the source
// drops the pods of other shards itself, and without decoding them if the client is an ordinary
// clientset. A client that is wrapped sends the parameter if its ListOptions has it, from
// k8s.io/apimachinery 0.36 on. The events that the source drops show that the server is there,
// and an observer receives at most one of them a second, as a bookmark.
//
// A store never receives a pod of another shard, and all guarantees hold for the pods of the
// shard. If the namespaces of an application are in another shard, its source starts with an
// empty view, without an error. Keep the executors of an application in one namespace.
//
// Start fails if the count is below 1, or if the index is not from 0 to count-1. It also fails if
// the count is above 1 and [WithNamespace] or [WithNamespaces] names a namespace: only one of the
// processes could ever see a pod of it.
func WithShard(index, count int) Option {
	return sourceOption(func(o *sourceOptions) { o.shard = &shardOption{index, count} })
}

// A shardOption is what WithShard was called with.
type shardOption struct{ index, count int }

// namespaces returns those of a valid option, nil for all.
func (s *shardOption) namespaces() *shard.Range {
	if s == nil || s.count == 1 {
		return nil
	}
	return shard.Of(s.index, s.count)
}

// checkShard returns why a source cannot watch its shard.
func (o *sourceOptions) checkShard() error {
	switch s := o.shard; {
	case s == nil:
		return nil
	case s.count < 1:
		return fmt.Errorf("WithShard(%d, %d): the count must be at least 1", s.index, s.count)
	case s.index < 0 || s.index >= s.count:
		return fmt.Errorf("WithShard(%d, %d): the index must be from 0 to %d", s.index, s.count, s.count-1)
	case s.count > 1 && o.named:
		return fmt.Errorf("WithShard(%d, %d) divides all namespaces and cannot be used with WithNamespaces(%s): leave one of them out",
			s.index, s.count, namespaces.Quoted(o.namespaces))
	case s.count > 1 && o.namespaces[0] != metav1.NamespaceAll:
		return fmt.Errorf("WithShard(%d, %d) divides all namespaces and cannot be used with WithNamespace(%q): leave one of them out",
			s.index, s.count, o.namespaces[0])
	default:
		return nil
	}
}

// WithSelector sets the selector of an application's executor pods. The default
// selects by Spark's labels. Start fails if the function or the selector is nil, if the
// selector selects every pod, or if it selects none, because such a selector cannot be
// sent to the API server. A [SharedWatch] needs more of the function, see there.
func WithSelector(selector func(appID string) labels.Selector) Option {
	return sourceOption(func(o *sourceOptions) { o.selector = selector })
}

// WithTrimmedPods removes the parts of a pod that tracking does not need before a store of
// your own receives it. It has no effect on a [Store] or a [StoreBy], which keep whole pods: as bytes, or
// decoded if client-go has decoded them. To keep none, use [WithoutPods]. A Store in a [Tee], or
// in a type that embeds it, receives trimmed pods.
//
// A trimmed pod has the metadata without managedFields, the whole status, the node name and
// the restart policy. If a container has a restart policy, or if the pod has several
// containers, the pod also has the container's name, restart policy and restart rules.
// Without this option a pod lacks only its managedFields.
func WithTrimmedPods() Option {
	return sourceOption(func(o *sourceOptions) { o.trimmed = true })
}

// WithStartTimeout bounds how long Start may take. If d <= 0 the default of 30
// seconds applies.
func WithStartTimeout(d time.Duration) Option {
	return sourceOption(func(o *sourceOptions) {
		if d > 0 {
			o.startTimeout = d
		}
	})
}

// WithStallTimeout sets how long a watch may be silent, without an event or a bookmark, before the
// source opens another. If d <= 0 it is two and a half minutes. If d is below a minute, a quiet watch
// is opened again about that often. The option does not apply to a fake clientset.
func WithStallTimeout(d time.Duration) Option {
	return sourceOption(func(o *sourceOptions) { o.stallTimeout = max(d, 0) })
}

// minVerification is the shortest time between two verifications.
const minVerification = 5 * time.Second

// WithVerification makes the source compare its pods with a list of the API server at this
// interval. By default, or if every <= 0, it does not. A time below five seconds counts as five
// seconds. Five minutes is a good value.
//
// A verification notices an event that the server or a proxy has lost while the watch looks
// well: the deletion, the creation or a change of a pod. The log and [Status].Err then name the
// first such pod, the observer receives a Closed with the error, and one list repairs the view.
// The source stays healthy, because the server answers. A lost event is noticed after at most
// the interval and 70 seconds: the verification first waits for the next event or bookmark,
// which kube-apiserver sends once a minute. If the server sends none for so long, a loss may
// take two intervals and some minutes.
//
// The list has the metadata of the pods only, at the version that the source holds. A recent
// kube-apiserver answers it from its watch cache. If the server does not list that version, the
// source compares with the most recent list. With 10,000 pods the answers have 0.57 of the
// bytes of a list, and reading them takes about a third of its CPU (BenchmarkVerification).
// The source also keeps the names and versions of its pods once more. A client without protobuf
// asks for JSON, a wrapped client for JSON through its RESTClient, and a fake clientset lists pods.
//
// If a verification is refused or not answered, Status.Err has the error, the observer receives
// a Refused, the log says so once, and the watch goes on. The next verification is made after
// the interval. [Status].LastVerification is when the pods were last verified. A [SharedWatch] verifies
// the pods of all applications with one list.
func WithVerification(every time.Duration) Option {
	return sourceOption(func(o *sourceOptions) {
		o.verifyEvery = 0
		if every > 0 {
			o.verifyEvery = max(every, minVerification)
		}
	})
}

// WithLogger sets the logger of a source or a store. The default is the handler
// that slog.Default has when the source or the store is made. Debug messages
// have verbosity 4, which is slog's LevelDebug. The zero Logger discards all messages.
//
// A watch logs as an error that it has heard nothing from the API server for three
// minutes, or for half a minute longer than a stall timeout of more than two and a half.
// The line names the application, or for a [SharedWatch] the selector.
func WithLogger(logger logr.Logger) LoggerOption {
	return loggerOption{logger}
}

type loggerOption struct{ logger logr.Logger }

func (o loggerOption) applyToSource(to *sourceOptions) { to.logger = o.logger }
func (o loggerOption) applyToStore(to *storeOptions)   { to.logger = o.logger }

// WithoutPods makes a store keep executors without their pods. [Executor.Pod] then returns
// [ErrNoPod], and [Executor.Label] and [Executor.Annotation] find nothing. The garbage
// collector can free the bytes of a pod as soon as the store has read them. An event costs about
// 1.7 times the CPU of one of a store with pods, because the decoder has no last state to compare
// the pod with.
func WithoutPods() StoreOption {
	return storeOption(func(o *storeOptions) { o.rules.dropPods = true })
}

// WithBacklogLimit bounds the number of changes that wait for a reader of
// [Store.Batches] or [StoreBy.Batches]. By default, or if changes <= 0, there is no bound.
//
// If more changes would wait, the store drops all of them and keeps none until the
// reader returns. The reader's next batch then shows every executor present, sets
// [Batch.Full] and counts in [Batch.Missed] the executors that have left.
func WithBacklogLimit(changes int) StoreOption {
	return storeOption(func(o *storeOptions) { o.backlogLimit = max(changes, 0) })
}

// WithExecutorContainer sets the names that the executor container may have. The default is
// Spark's, spark-kubernetes-executor. The executor container is the first of the names, in the order
// of the option, that the pod has. All other containers count as sidecars. So a driver and its
// executors can be in one view, each with its own container.
//
// If a pod has none of the names and only one container, that one is the executor. If it has
// several containers, [Executor.Problem] says which names it lacks. Empty names do not count.
// Without names, only a pod with one container has an executor container.
//
// The executor container may also be an init container, usually one that runs beside the containers
// (KEP-753). If both WithExecutorContainer and [WithExecutorContainerFunc] are given, the last one
// counts.
func WithExecutorContainer(names ...string) StoreOption {
	rule := choice.Named(names...)
	return storeOption(func(o *storeOptions) { o.rules.Executor = rule })
}

// WithExecutorContainerFunc makes a function name the executor container: by its position, or in
// another way for each kind of pod. The function receives the names of the pod's containers in the
// order of the spec, at least one. Init containers are not among them, so a sidecar that is injected
// as an init container changes no position. But a webhook may also put a container in front of
// yours. The function may return the name of an init container too.
//
// The result must depend on the names only. The store calls the function when a container has a
// status. It keeps the result for all pods with the same names, up to 1,024 results. It is locked
// during the call, so the function must not block and must not use the store.
//
// If the function is nil, panics, returns "", or returns a name that the pod does not have,
// [Executor.Problem] says so. The phase of the pod then decides the state, and other pods are not
// affected. The same is true of a pod without a spec that has the statuses of several containers. A
// pod that [WithTrimmedPods] has trimmed has the names.
func WithExecutorContainerFunc(name func(names []string) string) StoreOption {
	return storeOption(func(o *storeOptions) { o.rules.Executor = choice.By(name) })
}

// WithExecutorContainerOnly makes the store ignore the failures of other containers
// while a pod is pending or running. By default any container that ended with a
// failure and is not restarted fails the executor, as with Spark's
// spark.kubernetes.executor.checkAllContainers.
func WithExecutorContainerOnly() StoreOption {
	return storeOption(func(o *storeOptions) { o.rules.ContainerOnly = true })
}

// WithExecutorIDLabel names the label that holds the executor id. The default
// is [LabelExecutorID]. With an empty key the name of the pod is the id, and no id is a Problem.
// If several namespaces have a pod of one name, see [Snapshot.ByID].
func WithExecutorIDLabel(key string) StoreOption {
	return storeOption(func(o *storeOptions) { o.rules.idLabel, o.rules.numericIDs = key, key == LabelExecutorID })
}
