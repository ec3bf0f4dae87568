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

// A Watcher turns what the API server says about pods into calls of a
// [SnapshotsStore]: it drops what does not belong to the application, what is
// older than what the store has been told, and what nobody reads of a pod.
//
// Every [WatchSnapshotSource] has one. It stands by itself for those who bring
// their own events, such as a test of a store or a replay of recorded events.
// One goroutine at a time may use it.
type Watcher struct {
	// Fixed after NewWatcher.
	store    knowingStore
	selector labels.Selector
	logger   logr.Logger
	form     podwire.Form // in which the store gets pods

	// Owned by the watch goroutine.
	resourceVersion string // up to which the store has been told everything, "" if unknown
}

// NewWatcher returns a Watcher that feeds store with the pods that selector
// selects. Of the options it heeds WithLogger and WithTrimmedPods.
func NewWatcher(store SnapshotsStore, selector labels.Selector, opts ...Option) *Watcher {
	o := newSourceOptions(opts)
	return newWatcher(store, selector, &o)
}

func newWatcher(store SnapshotsStore, selector labels.Selector, o *sourceOptions) *Watcher {
	return &Watcher{
		store:    knowing(store),
		selector: selector,
		logger:   o.logger,
		form:     o.form,
	}
}

// Replace tells the store all pods that there are at a resource version.
func (w *Watcher) Replace(pods []*corev1.Pod, resourceVersion string) {
	selected := make([]*corev1.Pod, 0, len(pods))
	for _, pod := range pods {
		if w.selects(pod) {
			selected = append(selected, w.trimmed(pod))
		}
	}
	w.store.ReplaceSnapshot(selected)
	w.observe(resourceVersion)
}

// Receive tells the store one event of a watch. An ERROR event comes back as
// the error that it carries, which apierrors.IsGone and its like recognise, and
// so does an event that cannot be understood. The store is not told of either.
func (w *Watcher) Receive(event watch.Event) error {
	if err := w.receive(event); err != nil {
		return fmt.Errorf("watchsource: receive: %w", err)
	}
	return nil
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
	w.observe(rv.Newer(w.resourceVersion, pod.ResourceVersion))
	return nil
}

func (w *Watcher) update(event watch.EventType, pod *corev1.Pod) {
	known, told := w.store.toldOf(lifeOf(pod))
	switch {
	case !w.selects(pod) && told:
		w.delete(event, pod)
	case !w.selects(pod):
	case told && rv.Older(pod.ResourceVersion, known):
		w.logger.V(4).Info("Ignored an older state of a pod", "pod", nameOf(pod), "resourceVersion", pod.ResourceVersion, "known", known)
	default:
		w.log(event, pod)
		w.store.UpdatePod(w.trimmed(pod))
	}
}

// delete passes on the end of a pod that the store has, and of one that it does
// not have but that belongs here.
func (w *Watcher) delete(event watch.EventType, pod *corev1.Pod) {
	if _, told := w.store.toldOf(lifeOf(pod)); !told && !w.selects(pod) {
		return
	}
	w.log(event, pod)
	w.store.DeletePod(w.trimmed(pod))
}

// observe moves the place from which the watch can be resumed.
func (w *Watcher) observe(resourceVersion string) {
	w.resourceVersion = resourceVersion
	if resourceVersion != "" {
		w.store.ObserveResourceVersion(resourceVersion)
	}
}

// selects looks at the labels again, because client-go's fake clientset watches
// everything.
func (w *Watcher) selects(pod *corev1.Pod) bool {
	return w.selector.Matches(labels.Set(pod.Labels))
}

// log writes one debug line per event, and costs nothing when nobody reads it.
func (w *Watcher) log(event watch.EventType, pod *corev1.Pod) {
	if debug := w.logger.V(4); debug.Enabled() {
		debug.Info("Received pod event", "pod", nameOf(pod), "type", event)
	}
}

func lifeOf(pod *corev1.Pod) types.UID { return lifeKey(pod.UID, pod.Namespace, pod.Name) }

func nameOf(pod *corev1.Pod) types.NamespacedName {
	return types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
}
