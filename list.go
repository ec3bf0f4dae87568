// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	clientfeatures "k8s.io/client-go/features"
	"k8s.io/client-go/tools/pager"
)

const (
	// plainListsFor is how long a server that could not stream a list is asked
	// for plain ones.
	plainListsFor = 10 * time.Minute
	// listPatience is how long a streaming list may say nothing, and how long
	// its end may be missing once all initial events have come.
	listPatience = 10 * time.Second
)

// fullView is everything there is at a resource version, and, from a streaming
// list, the stream that continues from there.
type fullView struct {
	pods            []*corev1.Pod
	resourceVersion string
	stream          *stream
}

// list fetches everything. It asks for the most recent state, never for what a
// cache of the API server happens to hold, so that a view is never replaced by
// an older one. It prefers a streaming list (KEP-3157), which is cheaper for
// both sides.
func (l *listWatch) list(ctx context.Context) (fullView, error) {
	if !l.streamsLists() {
		return l.plainList(ctx)
	}
	began := time.Now()
	view, err := l.streamList(ctx)
	if err == nil || ctx.Err() != nil || !worthPlainList(err) {
		return view, err
	}
	l.logger.V(4).Info("Streaming list failed, falling back to a plain list", "err", err)
	if !unsupported(err) {
		l.observe(Observation{Kind: Refused, Took: time.Since(began), Err: err})
	}
	view, plainErr := l.plainList(ctx)
	if plainErr == nil && cannotStream(err) {
		l.plainUntil = time.Now().Add(plainListsFor)
	}
	return view, plainErr
}

// streamsLists heeds the switch that client-go has for its own informers.
func (l *listWatch) streamsLists() bool {
	return !l.fake && clientfeatures.FeatureGates().Enabled(clientfeatures.WatchListClient) && !time.Now().Before(l.plainUntil)
}

// worthPlainList reports whether a plain list may work now where a streaming
// one did not. It would not if the server was not reached, or has refused the
// watch that must follow any list. A server that is too busy has been asked ten
// times by then, by client-go, and one whose cache lags refuses streaming lists
// for longer than plain ones (kubernetes issue 139766).
func worthPlainList(err error) bool {
	if cannotStream(err) {
		return true
	}
	return apierrors.ReasonForError(err) != metav1.StatusReasonUnknown &&
		!apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err)
}

// cannotStream reports whether a streaming list failed in a way that another
// one would too.
func cannotStream(err error) bool {
	return unsupported(err) || errors.Is(err, errStalled) || errors.Is(err, errListCut) || errors.Is(err, errNotUnderstood)
}

// unsupported reports whether the server is one that knows no streaming lists,
// with which nothing is wrong.
func unsupported(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)
}

// streamList opens a watch that begins with everything there is.
func (l *listWatch) streamList(ctx context.Context) (fullView, error) {
	sendInitialEvents := true
	s, err := l.open(ctx, metav1.ListOptions{
		SendInitialEvents:    &sendInitialEvents,
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
		AllowWatchBookmarks:  true,
	})
	if err != nil {
		return fullView{}, err
	}
	view, err := l.collect(s)
	if err != nil {
		s.close()
		return fullView{}, l.failed("watch", err)
	}
	view.stream = s
	return view, nil
}

// collect reads a stream up to the bookmark that ends the initial events.
func (l *listWatch) collect(s *stream) (fullView, error) {
	patience := min(listPatience, l.options.startTimeout/3)
	if !l.started {
		// Start must have time left for a plain list.
		limit := time.AfterFunc(l.options.startTimeout/2, func() { s.cancel(errStalled) })
		defer limit.Stop()
	}
	var pods gathering
	var due time.Time // the end, once something else than an initial event has come
	for {
		wait := patience
		if !due.IsZero() {
			wait = time.Until(due)
		}
		event, err := s.next(wait)
		switch {
		case err == nil:
		case s.ctx.Err() != nil:
			return fullView{}, err
		default:
			return fullView{}, fmt.Errorf("%w: %w", errListCut, err)
		}
		pod, err := podOf(event)
		if err != nil {
			return fullView{}, err
		}
		switch event.Type {
		case watch.Added, watch.Modified:
			pods.put(pod)
		case watch.Deleted:
			pods.remove(pod)
		case watch.Bookmark:
			if pod.Annotations[metav1.InitialEventsAnnotationKey] == "true" {
				return fullView{pods: pods.all(), resourceVersion: pod.ResourceVersion}, nil
			}
		}
		// The initial events are ADDED. Whatever else comes is a change after
		// them, so the end is due, however much follows.
		if due.IsZero() && event.Type != watch.Added {
			due = time.Now().Add(patience)
		}
	}
}

// gathering is a list in the making. Changes may arrive before it is complete.
type gathering struct {
	pods []*corev1.Pod // nil where one was removed
	at   map[types.UID]int
}

func (g *gathering) put(pod *corev1.Pod) {
	if i, ok := g.at[lifeOf(pod)]; ok {
		g.pods[i] = pod
		return
	}
	if g.at == nil {
		g.at = map[types.UID]int{}
	}
	g.at[lifeOf(pod)] = len(g.pods)
	g.pods = append(g.pods, pod)
}

func (g *gathering) remove(pod *corev1.Pod) {
	if i, ok := g.at[lifeOf(pod)]; ok {
		g.pods[i] = nil
		delete(g.at, lifeOf(pod))
	}
}

func (g *gathering) all() []*corev1.Pod {
	return slices.DeleteFunc(g.pods, func(pod *corev1.Pod) bool { return pod == nil })
}

// plainList lists, in pages.
func (l *listWatch) plainList(ctx context.Context) (fullView, error) {
	page := func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, openTimeout, errNoAnswer)
		defer cancel()
		return request(ctx, func() (runtime.Object, error) { return l.pods.List(ctx, options) }, func(runtime.Object) {})
	}
	var view fullView
	list, _, err := pager.New(page).ListWithAlloc(ctx, metav1.ListOptions{LabelSelector: l.selector})
	if err != nil {
		return view, l.failed("list", err)
	}
	accessor, err := meta.ListAccessor(list)
	if err != nil {
		return view, fmt.Errorf("%w: %w", errNotUnderstood, err)
	}
	view.resourceVersion = accessor.GetResourceVersion()
	if view.resourceVersion == "" && l.served {
		// Such as a JSON null, which client-go takes for an empty list.
		return view, l.failed("list", fmt.Errorf("%w: a list without a resource version", errNotUnderstood))
	}
	// WithAlloc, so that one pod that lives on does not keep its whole page.
	err = meta.EachListItemWithAlloc(list, func(object runtime.Object) error {
		pod, ok := object.(*corev1.Pod)
		if !ok {
			return fmt.Errorf("%w: %T in a list of pods", errNotUnderstood, object)
		}
		view.pods = append(view.pods, pod)
		return nil
	})
	return view, err
}

// dropDeleted takes out of a view what was deleted between its list and the
// watch that follows: of all changes in between, a deletion is the one that the
// fake clientset's watch does not catch up on.
func (l *listWatch) dropDeleted(ctx context.Context, view *fullView, s *stream) error {
	now, err := l.plainList(ctx)
	if err != nil {
		s.close()
		return err
	}
	var present gathering
	for _, pod := range now.pods {
		present.put(pod)
	}
	view.pods = slices.DeleteFunc(view.pods, func(pod *corev1.Pod) bool {
		_, ok := present.at[lifeOf(pod)]
		return !ok
	})
	return nil
}
