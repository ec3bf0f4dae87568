// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/isnil"
	"github.com/executorpods/watchsource/internal/podclient"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/progress"
	"github.com/executorpods/watchsource/internal/rv"
	"github.com/executorpods/watchsource/internal/waiting"
)

// A Watcher turns lists and watch events into calls of a [SnapshotsStore]. It drops
// pods of other applications and states that are older than those the store has.
//
// Every [WatchSnapshotSource] has one. Make one yourself to feed a store with your own
// events, for example in a test of a store or in a replay. The store receives your pods
// without a copy, so do not change them afterwards. Only one goroutine at a time may use the
// Watcher.
type Watcher struct {
	// Fixed after NewWatcher.
	store    podStore
	selector labels.Selector
	logger   logr.Logger
	// progress is nil if no other watch feeds the store.
	progress *progress.Watch

	// Owned by the watch goroutine.
	// resourceVersion is the version up to which the watch has brought everything, "" if unknown.
	resourceVersion string
}

// A podStore receives pods in their wire form, or decoded if they came so, and knows the
// resource version of each pod that it has.
type podStore interface {
	// updatePod reports a pod. The store then has received everything up to a version.
	updatePod(pod *podwire.Pod, version string)
	// deletePod reports how a pod has left.
	deletePod(pod *podwire.Pod, how Departure, version string)
	// replacePods reports all pods of a namespace, or of all namespaces if it is empty. syncedAt is
	// when the oldest of the lists arrived from which the store then has its pods.
	replacePods(namespace string, pods []*podwire.Pod, syncedAt time.Time)
	ObserveResourceVersion(string)
	// last returns the last state of a pod. It has the resource version in any case, and the pod
	// if the store keeps it.
	last(key types.UID) (known podwire.Known, ok bool)
}

// An ownStore is a [Store] or a [StoreBy], or a type that embeds one and has its methods.
type ownStore interface {
	podStore
	// own returns the Store or the StoreBy.
	own() any
	// kept returns its records.
	kept() *records
	// made returns an error unless it is from NewStore or NewStoreBy.
	made() error
}

// ownStoreOf returns a store of this package. A type that embeds one may not forward every call, so
// it counts as a store of the user.
func ownStoreOf(store SnapshotsStore) (own ownStore, ok bool) {
	own, ok = store.(ownStore)
	if !ok || isnil.Value(store) || own.own() != any(store) {
		return nil, false
	}
	return own, true
}

// observeVersions says to the stores of this package, also those in a Tee, whether several watches
// feed them.
func observeVersions(stores []any, several bool) {
	for _, store := range stores {
		if own, ok := store.(ownStore); ok {
			own.kept().observesVersions.Store(several)
		}
	}
}

// podStoreOf returns the podStore for a store of the public API. A Store is one itself. A type that
// embeds a Store may not forward every call, so it counts as a store of the user.
func podStoreOf(store SnapshotsStore, trimmed bool) podStore {
	if own, ok := ownStoreOf(store); ok {
		return own
	}
	return newLedger(userStore{store, trimmed})
}

// podStoreOfMany is podStoreOf for a store that several watches feed, each with the lists of one
// namespace.
func podStoreOfMany(store SnapshotsStore, trimmed bool) podStore {
	s := podStoreOf(store, trimmed)
	if l, ok := s.(*ledger); ok {
		l.pods = map[types.NamespacedName]*podwire.Pod{}
	}
	return s
}

// NewWatcher returns a Watcher that passes the pods that match selector to store. It
// uses the options WithLogger and WithTrimmedPods and ignores all others. WithTrimmedPods has
// no effect on a Store. NewWatcher panics if the store or the selector is nil.
func NewWatcher(store SnapshotsStore, selector labels.Selector, opts ...Option) *Watcher {
	switch {
	case isnil.Value(store):
		panic("watchsource: NewWatcher: the store is nil")
	case isnil.Value(selector):
		panic("watchsource: NewWatcher: the selector is nil")
	}
	o := newSourceOptions(opts)
	return newWatcher(podStoreOf(store, o.trimmed), selector, &o)
}

func newWatcher(store podStore, selector labels.Selector, o *sourceOptions) *Watcher {
	return &Watcher{
		store:    store,
		selector: selector,
		logger:   o.logger,
	}
}

// Replace passes a complete list at a resource version to the store.
func (w *Watcher) Replace(pods []*corev1.Pod, resourceVersion string) {
	w.mustBeMade()
	w.replace(podwire.OfAll(pods), resourceVersion)
}

func (w *Watcher) replace(pods []*podwire.Pod, resourceVersion string) {
	w.store.replacePods(w.progress.Namespace(), w.selected(pods), w.progress.Listed(resourceVersion, time.Now()))
	w.advance(resourceVersion)
}

func (w *Watcher) selected(pods []*podwire.Pod) []*podwire.Pod {
	selected := make([]*podwire.Pod, 0, len(pods))
	for _, pod := range pods {
		if w.selects(pod) {
			selected = append(selected, pod)
		}
	}
	return selected
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
	pod, err := podclient.PodOf(event)
	if err != nil {
		return err
	}
	version := rv.Newer(w.resourceVersion, pod.ResourceVersion)
	switch event.Type {
	case watch.Added, watch.Modified:
		w.update(event.Type, pod, version)
	case watch.Deleted:
		w.delete(event.Type, pod, Seen, version)
	}
	w.advance(version)
	return nil
}

func (w *Watcher) update(event watch.EventType, pod *podwire.Pod, version string) {
	last, known := w.store.last(pod.Key())
	selected := last.Pod != nil && pod.SameMetadata(last.Pod) || w.selects(pod) // the store has selected pods only
	switch {
	case !selected && known:
		w.delete(event, pod, Unselected, version)
	case !selected:
	case known && rv.Older(pod.ResourceVersion, last.ResourceVersion):
		w.logger.V(4).Info("Ignored an older state of a pod", "pod", pod.NamespacedName(), "resourceVersion", pod.ResourceVersion, "known", last.ResourceVersion)
	default:
		w.log(event, pod)
		w.store.updatePod(pod, w.progress.Reached(version))
	}
}

// delete passes on the deletion of a pod that the store has, or that the selector
// matches.
func (w *Watcher) delete(event watch.EventType, pod *podwire.Pod, how Departure, version string) {
	if _, known := w.store.last(pod.Key()); !known && !w.selects(pod) {
		return
	}
	w.log(event, pod)
	w.store.deletePod(pod, how, w.progress.Reached(version))
}

// advance sets the version from which the watch can be resumed.
func (w *Watcher) advance(resourceVersion string) {
	w.resourceVersion = resourceVersion
	if reached := w.progress.Reached(resourceVersion); reached != "" {
		w.store.ObserveResourceVersion(reached)
	}
}

// selects matches the labels again, because client-go's fake clientset ignores the
// label selector of a watch.
func (w *Watcher) selects(pod *podwire.Pod) bool {
	return pod.Matches(w.selector)
}

// log writes one debug line per event. It allocates nothing if debug logging is off.
func (w *Watcher) log(event watch.EventType, pod *podwire.Pod) {
	if debug := w.logger.V(4); debug.Enabled() {
		debug.Info("Received pod event", "pod", pod.NamespacedName(), "type", event)
	}
}

// A userStore decodes pods for a store of the user.
type userStore struct {
	store   SnapshotsStore
	trimmed bool
}

func (u userStore) UpdatePod(pod *podwire.Pod) { u.store.UpdatePod(u.decoded(pod)) }
func (u userStore) DeletePod(pod *podwire.Pod) { u.store.DeletePod(u.decoded(pod)) }

func (u userStore) ReplacePods(pods []*podwire.Pod) {
	all := make([]*corev1.Pod, len(pods))
	for i, pod := range pods {
		all[i] = u.decoded(pod)
	}
	u.store.ReplaceSnapshot(all)
}

// decoded returns the whole or the trimmed pod. The decoder has checked each pod in its wire
// form, so decoding cannot fail.
func (u userStore) decoded(pod *podwire.Pod) *corev1.Pod {
	decode := pod.Decoded
	if u.trimmed {
		decode = pod.Trimmed
	}
	decoded, err := decode()
	if err != nil {
		panic(fmt.Sprintf("watchsource: a pod was validated and cannot be decoded: %v", err))
	}
	return decoded
}

func (u userStore) ObserveResourceVersion(resourceVersion string) {
	if observer, ok := u.store.(ResourceVersionObserver); ok {
		observer.ObserveResourceVersion(resourceVersion)
	}
}

// A ledger passes calls on and notes the version of each pod, for a store that cannot be asked
// for them.
type ledger struct {
	to       waiting.Receiver
	versions map[types.UID]string
	// pods has the pods of all namespaces, so that the list of one namespace can be passed on as one
	// of all. It is nil if each list has all pods.
	pods map[types.NamespacedName]*podwire.Pod
}

func newLedger(to waiting.Receiver) *ledger { return &ledger{to: to, versions: map[types.UID]string{}} }

// last implements podStore, as the following methods do.
func (l *ledger) last(key types.UID) (podwire.Known, bool) {
	version, ok := l.versions[key]
	return podwire.Known{Identity: podwire.Identity{ResourceVersion: version}}, ok
}

func (l *ledger) updatePod(pod *podwire.Pod, _ string) {
	l.versions[pod.Key()] = pod.ResourceVersion
	if l.pods != nil {
		l.pods[pod.NamespacedName()] = pod
	}
	l.to.UpdatePod(pod)
}

func (l *ledger) deletePod(pod *podwire.Pod, _ Departure, _ string) {
	delete(l.versions, pod.Key())
	if kept := l.pods[pod.NamespacedName()]; kept != nil && kept.Key() == pod.Key() {
		delete(l.pods, pod.NamespacedName())
	}
	l.to.DeletePod(pod)
}

func (l *ledger) replacePods(namespace string, pods []*podwire.Pod, _ time.Time) {
	if l.pods != nil {
		pods = l.withOthers(namespace, pods)
	}
	l.versions = make(map[types.UID]string, len(pods))
	for _, pod := range pods {
		l.versions[pod.Key()] = pod.ResourceVersion
	}
	l.to.ReplacePods(pods)
}

// withOthers notes the pods of a namespace, or of all. It returns them with those of all other
// namespaces, in the order of their namespaces and names.
func (l *ledger) withOthers(namespace string, pods []*podwire.Pod) []*podwire.Pod {
	maps.DeleteFunc(l.pods, func(name types.NamespacedName, _ *podwire.Pod) bool {
		return namespace == metav1.NamespaceAll || name.Namespace == namespace
	})
	for _, pod := range pods {
		l.pods[pod.NamespacedName()] = pod
	}
	return slices.SortedFunc(maps.Values(l.pods), func(a, b *podwire.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

func (l *ledger) ObserveResourceVersion(resourceVersion string) {
	l.to.ObserveResourceVersion(resourceVersion)
}
