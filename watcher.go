// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"fmt"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/listwatch"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/rv"
)

// A Watcher turns lists and watch events into calls of a [SnapshotsStore]. It drops
// pods of other applications and states that are older than those the store has, and
// it trims pods.
//
// Every [WatchSnapshotSource] has one. Make one yourself to feed a store with your own
// events, for example in a test of a store or in a replay. Only one goroutine at a time
// may use it.
type Watcher struct {
	// Fixed after NewWatcher.
	store    versionedStore
	selector labels.Selector
	logger   logr.Logger
	form     podwire.Form // in which the store gets pods

	// Owned by the watch goroutine.
	resourceVersion string // up to which the store has received everything, "" if unknown
}

// NewWatcher returns a Watcher that passes the pods that match selector to store. It
// uses the options WithLogger and WithTrimmedPods and ignores all others. It panics if the
// store or the selector is nil.
func NewWatcher(store SnapshotsStore, selector labels.Selector, opts ...Option) *Watcher {
	switch {
	case isNil(store):
		panic("watchsource: NewWatcher: the store is nil")
	case isNil(selector):
		panic("watchsource: NewWatcher: the selector is nil")
	}
	o := newSourceOptions(opts)
	return newWatcher(store, selector, &o)
}

func newWatcher(store SnapshotsStore, selector labels.Selector, o *sourceOptions) *Watcher {
	return &Watcher{
		store:    withVersions(store),
		selector: selector,
		logger:   o.logger,
		form:     o.form,
	}
}

// Replace passes a complete list at a resource version to the store.
func (w *Watcher) Replace(pods []*corev1.Pod, resourceVersion string) {
	w.mustBeMade()
	selected := make([]*corev1.Pod, 0, len(pods))
	for _, pod := range pods {
		if w.selects(pod) {
			selected = append(selected, w.trimmed(pod))
		}
	}
	w.store.ReplaceSnapshot(selected)
	w.advance(resourceVersion)
}

// Receive passes one event of a watch to the store. For an ERROR event it returns the
// error that the event carries, which apierrors.IsGone and similar functions recognize.
// It also returns an error for an event that it cannot understand. In both cases it
// does not call the store.
func (w *Watcher) Receive(event watch.Event) error {
	w.mustBeMade()
	if err := w.receive(event); err != nil {
		return fmt.Errorf("watchsource: receive: %w", err)
	}
	return nil
}

func (w *Watcher) mustBeMade() {
	if w.store == nil {
		panic("watchsource: use NewWatcher to make a Watcher")
	}
}

func (w *Watcher) receive(event watch.Event) error {
	pod, err := listwatch.PodOf(event)
	if err != nil {
		return err
	}
	switch event.Type {
	case watch.Added, watch.Modified:
		w.update(event.Type, pod)
	case watch.Deleted:
		w.delete(event.Type, pod)
	}
	w.advance(rv.Newer(w.resourceVersion, pod.ResourceVersion))
	return nil
}

func (w *Watcher) update(event watch.EventType, pod *corev1.Pod) {
	version, known := w.store.knownVersion(podKeyOf(pod))
	switch {
	case !w.selects(pod) && known:
		w.delete(event, pod)
	case !w.selects(pod):
	case known && rv.Older(pod.ResourceVersion, version):
		w.logger.V(4).Info("Ignored an older state of a pod", "pod", nameOf(pod), "resourceVersion", pod.ResourceVersion, "known", version)
	default:
		w.log(event, pod)
		w.store.UpdatePod(w.trimmed(pod))
	}
}

// delete passes on the deletion of a pod that the store has, or that the selector
// matches.
func (w *Watcher) delete(event watch.EventType, pod *corev1.Pod) {
	if _, known := w.store.knownVersion(podKeyOf(pod)); !known && !w.selects(pod) {
		return
	}
	w.log(event, pod)
	w.store.DeletePod(w.trimmed(pod))
}

// advance sets the version from which the watch can be resumed.
func (w *Watcher) advance(resourceVersion string) {
	w.resourceVersion = resourceVersion
	if resourceVersion != "" {
		w.store.ObserveResourceVersion(resourceVersion)
	}
}

// selects matches the labels again, because client-go's fake clientset ignores the
// label selector of a watch.
func (w *Watcher) selects(pod *corev1.Pod) bool {
	return w.selector.Matches(labels.Set(pod.Labels))
}

// log writes one debug line per event. It allocates nothing if debug logging is off.
func (w *Watcher) log(event watch.EventType, pod *corev1.Pod) {
	if debug := w.logger.V(4); debug.Enabled() {
		debug.Info("Received pod event", "pod", nameOf(pod), "type", event)
	}
}

func podKeyOf(pod *corev1.Pod) types.UID { return podKey(pod.UID, pod.Namespace, pod.Name) }

func nameOf(pod *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}

// trimmed returns the pod in the form that the source was asked for. It copies the pod
// instead of changing it, because a fake returns pods that its test still uses.
func (w *Watcher) trimmed(pod *corev1.Pod) *corev1.Pod {
	if w.form == podwire.Full && pod.ManagedFields == nil {
		return pod
	}
	kept := *pod
	w.form.Trim(&kept)
	return &kept
}

// A versionedStore knows the resource version of each pod that it has received.
type versionedStore interface {
	SnapshotsStore
	ResourceVersionObserver
	knownVersion(key types.UID) (resourceVersion string, ok bool)
}

var _ versionedStore = (*Store)(nil)

// withVersions returns the store, with a ledger unless it is a Store. A type that
// embeds a Store needs a ledger, because its methods may not forward every call.
func withVersions(store SnapshotsStore) versionedStore {
	if s, ok := store.(*Store); ok {
		return s
	}
	l := &ledger{SnapshotsStore: store, versions: map[types.UID]string{}}
	l.observer, _ = store.(ResourceVersionObserver)
	return l
}

// ledger notes the versions of the pods that it passes to a store.
type ledger struct {
	SnapshotsStore
	observer ResourceVersionObserver // the store, or nil
	versions map[types.UID]string
}

func (l *ledger) knownVersion(key types.UID) (string, bool) {
	version, ok := l.versions[key]
	return version, ok
}

func (l *ledger) UpdatePod(pod *corev1.Pod) {
	l.versions[podKeyOf(pod)] = pod.ResourceVersion
	l.SnapshotsStore.UpdatePod(pod)
}

func (l *ledger) DeletePod(pod *corev1.Pod) {
	delete(l.versions, podKeyOf(pod))
	l.SnapshotsStore.DeletePod(pod)
}

func (l *ledger) ReplaceSnapshot(pods []*corev1.Pod) {
	l.versions = make(map[types.UID]string, len(pods))
	for _, pod := range pods {
		l.versions[podKeyOf(pod)] = pod.ResourceVersion
	}
	l.SnapshotsStore.ReplaceSnapshot(pods)
}

func (l *ledger) ObserveResourceVersion(resourceVersion string) {
	if l.observer != nil {
		l.observer.ObserveResourceVersion(resourceVersion)
	}
}
