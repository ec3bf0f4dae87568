// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	clientfeatures "k8s.io/client-go/features"
	"k8s.io/client-go/tools/pager"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/podwire"
)

const (
	// plainListsFor is how long a server that could not stream a list is asked
	// for plain ones.
	plainListsFor = 10 * time.Minute
	// listStallTimeout is how long a streaming list may be silent, and how long
	// its end may be missing once all initial events have come.
	listStallTimeout = 10 * time.Second
)

// fullView is every selected pod at a resource version and, from a streaming
// list, the stream that continues from there.
type fullView struct {
	pods            []*podwire.Pod
	resourceVersion string
	stream          *stream
}

// list fetches every selected pod. It asks for the most recent state, never for
// the contents of an API server's cache, so that a view is never replaced by an
// older one. It prefers a streaming list (KEP-3157), which is cheaper for both
// sides.
func (l *Loop) list(ctx context.Context) (fullView, error) {
	if !l.streamsLists() {
		return l.plainList(ctx, l.Selector)
	}
	began := time.Now()
	view, err := l.streamList(ctx)
	if err == nil {
		l.busyStreams = 0
		return view, nil
	}
	if ctx.Err() != nil || !l.worthPlainList(err) {
		return view, err
	}
	l.Logger.V(4).Info("Streaming list failed, falling back to a plain list", "err", err)
	if !unsupported(err) {
		l.Report(Event{Kind: Refused, Took: time.Since(began), Err: err})
	}
	view, plainErr := l.plainList(ctx, l.Selector)
	if plainErr == nil && cannotStream(err) {
		l.plainUntil = time.Now().Add(plainListsFor)
	}
	return view, plainErr
}

// streamsLists follows the feature gate that client-go has for its own
// informers.
func (l *Loop) streamsLists() bool {
	return !l.plainLists && clientfeatures.FeatureGates().Enabled(clientfeatures.WatchListClient) && !time.Now().Before(l.plainUntil)
}

// worthPlainList reports whether a plain list may work although a streaming list
// has failed. It cannot if the server was not reached, or has refused the watch
// that must follow any list. If nothing answers the first streaming list, a plain list
// shows whether anything answers. A server that asks to come later is asked once more
// for a streaming list, because one whose cache lags refuses these for longer
// than plain lists (kubernetes issue 139766).
func (l *Loop) worthPlainList(err error) bool {
	if failure.AsksToWait(err) {
		l.busyStreams++
		return l.busyStreams > 1
	}
	if !l.started && errors.Is(err, failure.ErrNoAnswer) {
		return true
	}
	return cannotStream(err) || failure.Answered(err) && !failure.LacksRights(err)
}

// cannotStream reports whether a streaming list failed in a way in which another
// one would fail too.
func cannotStream(err error) bool {
	return unsupported(err) || errors.Is(err, failure.ErrStalled) || errors.Is(err, failure.ErrListCut) || errors.Is(err, failure.ErrNotUnderstood)
}

// unsupported reports whether the server does not know streaming lists. Nothing
// is wrong with such a server.
func unsupported(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)
}

// streamList opens a watch that begins with every selected pod.
func (l *Loop) streamList(ctx context.Context) (fullView, error) {
	began := time.Now()
	s, err := l.open(ctx, l.longestTimeout(), l.streamListLimit(), metav1.ListOptions{
		SendInitialEvents:    new(true),
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
		AllowWatchBookmarks:  true,
	})
	if err != nil {
		return fullView{}, err
	}
	view, err := l.collect(s, began)
	if err != nil {
		s.close()
		return fullView{}, l.failed(failure.WatchPods, err)
	}
	view.stream = s
	return view, nil
}

// streamListLimit is how long the server may take to answer a streaming list. Before the first
// watch it is also the time for all of the list, so that Start has time left for a plain one.
func (l *Loop) streamListLimit() time.Duration {
	if l.started {
		return openTimeout
	}
	return min(openTimeout, l.StartTimeout/2)
}

// collect reads a stream that was requested at began up to the bookmark that ends the initial
// events.
func (l *Loop) collect(s *stream, began time.Time) (fullView, error) {
	stallTimeout := min(listStallTimeout, l.StartTimeout/3)
	if !l.started {
		limit := time.AfterFunc(l.streamListLimit()-time.Since(began), func() { s.cancel(failure.ErrStalled) })
		defer limit.Stop()
	}
	var pods podList
	var due time.Time // when the end must have come, zero before the last initial event
	for {
		wait := stallTimeout
		if !due.IsZero() {
			wait = time.Until(due)
		}
		event, err := s.next(wait)
		switch {
		case err == nil:
		case s.ctx.Err() != nil:
			return fullView{}, err
		default:
			return fullView{}, fmt.Errorf("%w: %w", failure.ErrListCut, err)
		}
		pod, err := PodOf(event)
		if err != nil {
			return fullView{}, err
		}
		switch {
		case l.ofOtherShard(event):
		case event.Type == watch.Added, event.Type == watch.Modified:
			pods.put(pod)
		case event.Type == watch.Deleted:
			pods.remove(pod)
		case event.Type == watch.Bookmark:
			if endsInitialEvents(pod) {
				return fullView{pods: pods.all(), resourceVersion: pod.ResourceVersion}, nil
			}
		}
		// The initial events are ADDED. Any other event is a change after them,
		// so the end is due, however many changes follow.
		if due.IsZero() && event.Type != watch.Added {
			due = time.Now().Add(stallTimeout)
		}
	}
}

// endsInitialEvents reports whether a bookmark ends the initial events of a streaming list.
func endsInitialEvents(bookmark *podwire.Pod) bool {
	value, _ := bookmark.Annotation(metav1.InitialEventsAnnotationKey)
	return value == "true"
}

// PodOf returns the pod that an event is about, or the error that it is.
func PodOf(event watch.Event) (*podwire.Pod, error) {
	switch event.Type {
	case watch.Error:
		return nil, apierrors.FromObject(event.Object)
	case watch.Added, watch.Modified, watch.Deleted, watch.Bookmark:
		if pod, ok := podwire.From(event.Object); ok {
			return pod, nil
		}
		return nil, fmt.Errorf("%w: %s event with a %T in place of a pod", failure.ErrNotUnderstood, event.Type, event.Object)
	default:
		return nil, fmt.Errorf("%w: event of type %q", failure.ErrNotUnderstood, event.Type)
	}
}

// podList is a list that is being received. Changes may arrive before it is
// complete.
type podList struct {
	pods []*podwire.Pod // nil for each that was removed
	at   map[podKey]int
}

// podKey distinguishes pods that have one name in turn, also for fakes that give
// no UIDs.
type podKey struct {
	types.NamespacedName
	uid types.UID
}

func keyOf(pod *podwire.Pod) podKey {
	return podKey{types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}, pod.UID}
}

func (p *podList) put(pod *podwire.Pod) {
	if i, ok := p.at[keyOf(pod)]; ok {
		p.pods[i] = pod
		return
	}
	if p.at == nil {
		p.at = map[podKey]int{}
	}
	p.at[keyOf(pod)] = len(p.pods)
	p.pods = append(p.pods, pod)
}

func (p *podList) remove(pod *podwire.Pod) {
	if i, ok := p.at[keyOf(pod)]; ok {
		p.pods[i] = nil
		delete(p.at, keyOf(pod))
	}
}

func (p *podList) all() []*podwire.Pod {
	return slices.DeleteFunc(p.pods, func(pod *podwire.Pod) bool { return pod == nil })
}

// List lists the pods that another selector selects. Any goroutine may call it while Run
// works.
func (l *Loop) List(ctx context.Context, selector string) (pods []*podwire.Pod, resourceVersion string, err error) {
	view, err := l.plainList(ctx, selector)
	return view.pods, view.resourceVersion, err
}

// plainList lists, in pages.
func (l *Loop) plainList(ctx context.Context, selector string) (fullView, error) {
	page := func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, openTimeout, failure.NoAnswerWithin(openTimeout))
		defer cancel()
		return request(ctx, func() (runtime.Object, error) { return l.pods.List(ctx, options) }, func(runtime.Object) {})
	}
	var view fullView
	list, _, err := pager.New(page).ListWithAlloc(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return view, l.failed(failure.ListPods, err)
	}
	accessor, err := meta.ListAccessor(list)
	if err != nil {
		return view, fmt.Errorf("%w: %w", failure.ErrNotUnderstood, err)
	}
	view.resourceVersion = accessor.GetResourceVersion()
	if view.resourceVersion == "" && !l.fake {
		// For example a JSON null, which client-go takes for an empty list.
		return view, l.failed(failure.ListPods, fmt.Errorf("%w: a list without a resource version", failure.ErrNotUnderstood))
	}
	// WithAlloc, so that one pod that lives on does not keep its whole page.
	err = meta.EachListItemWithAlloc(list, func(object runtime.Object) error {
		pod, ok := podwire.From(object)
		if !ok {
			return fmt.Errorf("%w: %T in a list of pods", failure.ErrNotUnderstood, object)
		}
		if l.Shard.Owns(pod.Namespace) {
			view.pods = append(view.pods, pod)
		}
		return nil
	})
	return view, err
}

// fakeView lists a fake again after its watch has opened, and returns what both lists and the
// watch show together. The watch of client-go's fake begins with the pods that are newer than
// the version of the list before it, and so repeats each change since then but a deletion
// (from client-go 0.38 on a deletion too). The fake of 0.35 has no versions. Its watch begins
// with nothing, so only the second list has the changes.
func (l *Loop) fakeView(ctx context.Context, before fullView, s *stream) (fullView, error) {
	now, err := l.plainList(ctx, l.Selector)
	if err != nil {
		s.close()
		return before, err
	}
	if before.resourceVersion == "" {
		return now, nil
	}
	var present podList
	for _, pod := range now.pods {
		present.put(pod)
	}
	before.pods = slices.DeleteFunc(before.pods, func(pod *podwire.Pod) bool {
		_, ok := present.at[keyOf(pod)]
		return !ok
	})
	return before, nil
}
