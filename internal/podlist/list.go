// SPDX-License-Identifier: Apache-2.0

// Package podlist lists pods, by a streaming list if the client and the server can, or in pages.
package podlist

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	clientfeatures "k8s.io/client-go/features"
	"k8s.io/client-go/tools/pager"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/podclient"
	"github.com/executorpods/watchsource/internal/podmeta"
	"github.com/executorpods/watchsource/internal/podwatch"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/request"
)

const (
	// plainListsFor is how long a server that could not stream a list is asked
	// for plain ones.
	plainListsFor = 10 * time.Minute
	// listStallTimeout is how long a streaming list may be silent, and how long
	// its end may be missing once all initial events have come.
	listStallTimeout = 10 * time.Second
)

// A View is every selected pod at a resource version and, from a streaming
// list, the stream that continues from there.
type View struct {
	Pods            []*podwire.Pod
	ResourceVersion string
	Stream          *podwatch.Stream
}

// A Config says what a [Lister] lists.
type Config struct {
	Client podclient.Client
	// Fake is set for a client without a server, whose lists may have no version.
	Fake      bool
	Namespace string
	Selector  string
	Shard     *podwatch.Shard
	Opener    *podwatch.Opener
	// PlainOnly is set if the client says that it cannot stream a list.
	PlainOnly bool
	// StartTimeout bounds the first lists.
	StartTimeout time.Duration
	Logger       logr.Logger
	// Refused is called with the error of a streaming list for which a plain one stands in, and with its time.
	Refused func(err error, took time.Duration)
}

// A Lister lists pods. The goroutine of the loop owns it.
type Lister struct {
	config Config
	// plainUntil is the time before which no list is streamed.
	plainUntil time.Time
	// busyStreams counts the streaming lists in a row that the server asked to repeat later.
	busyStreams int
}

// New returns a lister that knows nothing of the server yet.
func New(c Config) *Lister { return &Lister{config: c} }

// List lists every selected pod. It asks for the most recent state, never for
// the contents of an API server's cache, so that a view is never replaced by an
// older one. It prefers a streaming list (KEP-3157), which is cheaper for both
// sides. starting is set as long as no watch has been open.
func (l *Lister) List(ctx context.Context, starting bool) (View, error) {
	if !l.streams() {
		return l.Plain(ctx, l.config.Selector)
	}
	began := time.Now()
	view, err := l.stream(ctx, starting)
	if err == nil {
		l.busyStreams = 0
		return view, nil
	}
	if ctx.Err() != nil || !l.worthPlainList(err, starting) {
		return view, err
	}
	l.config.Logger.V(4).Info("Streaming list failed, falling back to a plain list", "err", err)
	if !unsupported(err) {
		l.config.Refused(err, time.Since(began))
	}
	view, plainErr := l.Plain(ctx, l.config.Selector)
	if plainErr == nil && cannotStream(err) {
		l.plainUntil = time.Now().Add(plainListsFor)
	}
	return view, plainErr
}

// streams follows the feature gate that client-go has for its own
// informers.
func (l *Lister) streams() bool {
	return !l.config.PlainOnly && clientfeatures.FeatureGates().Enabled(clientfeatures.WatchListClient) && !time.Now().Before(l.plainUntil)
}

// worthPlainList reports whether a plain list may work although a streaming list
// has failed. It cannot if the server was not reached, or has refused the watch
// that must follow any list. If nothing answers the first streaming list, a plain list
// shows whether anything answers. A server that asks to come later is asked once more
// for a streaming list, because one whose cache lags refuses these for longer
// than plain lists (kubernetes issue 139766).
func (l *Lister) worthPlainList(err error, starting bool) bool {
	if failure.AsksToWait(err) {
		l.busyStreams++
		return l.busyStreams > 1
	}
	if starting && errors.Is(err, failure.ErrNoAnswer) {
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

// stream opens a watch that begins with every selected pod.
func (l *Lister) stream(ctx context.Context, starting bool) (View, error) {
	limit := podclient.AnswerTimeout
	if starting { // Start has time left for a plain list
		limit = min(limit, l.config.StartTimeout/2)
	}
	began := time.Now()
	s, err := l.config.Opener.WatchList(ctx, limit)
	if err != nil {
		return View{}, err
	}
	if starting { // the limit is for all of the list
		stop := time.AfterFunc(limit-time.Since(began), func() { s.GiveUp(failure.ErrStalled) })
		defer stop.Stop()
	}
	view, err := l.collect(s)
	if err != nil {
		s.Close()
		return View{}, l.failed(failure.WatchPods, err)
	}
	view.Stream = s
	return view, nil
}

// collect reads a stream up to the bookmark that ends the initial events.
func (l *Lister) collect(s *podwatch.Stream) (View, error) {
	stallTimeout := min(listStallTimeout, l.config.StartTimeout/3)
	var pods podList
	var due time.Time // when the end must have come, zero before the last initial event
	for {
		wait := stallTimeout
		if !due.IsZero() {
			wait = time.Until(due)
		}
		event, err := s.Next(wait)
		switch {
		case err == nil:
		case s.Context().Err() != nil:
			return View{}, err
		default:
			return View{}, fmt.Errorf("%w: %w", failure.ErrListCut, err)
		}
		pod, err := podclient.PodOf(event)
		if err != nil {
			return View{}, err
		}
		switch {
		case l.config.Shard.Lacks(event):
		case event.Type == watch.Added, event.Type == watch.Modified:
			pods.put(pod)
		case event.Type == watch.Deleted:
			pods.remove(pod)
		case event.Type == watch.Bookmark:
			if endsInitialEvents(pod) {
				return View{Pods: pods.all(), ResourceVersion: pod.ResourceVersion}, nil
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

// podList is a list that is being received. Changes may arrive before it is
// complete.
type podList struct {
	// pods has a nil for each pod that was removed.
	pods []*podwire.Pod
	at   map[podmeta.Key]int
}

func (p *podList) put(pod *podwire.Pod) {
	if i, ok := p.at[podmeta.KeyOf(pod)]; ok {
		p.pods[i] = pod
		return
	}
	if p.at == nil {
		p.at = map[podmeta.Key]int{}
	}
	p.at[podmeta.KeyOf(pod)] = len(p.pods)
	p.pods = append(p.pods, pod)
}

func (p *podList) remove(pod *podwire.Pod) {
	if i, ok := p.at[podmeta.KeyOf(pod)]; ok {
		p.pods[i] = nil
		delete(p.at, podmeta.KeyOf(pod))
	}
}

func (p *podList) all() []*podwire.Pod {
	return slices.DeleteFunc(p.pods, func(pod *podwire.Pod) bool { return pod == nil })
}

// Plain lists the pods that a selector selects, in pages. Any goroutine may call it.
func (l *Lister) Plain(ctx context.Context, selector string) (View, error) {
	page := func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
		return request.Do(ctx, podclient.AnswerTimeout, func(ctx context.Context) (runtime.Object, error) { return l.config.Client.List(ctx, options) })
	}
	var view View
	list, _, err := pager.New(page).ListWithAlloc(ctx, metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		return view, l.failed(failure.ListPods, err)
	}
	accessor, err := meta.ListAccessor(list)
	if err != nil {
		return view, fmt.Errorf("%w: %w", failure.ErrNotUnderstood, err)
	}
	view.ResourceVersion = accessor.GetResourceVersion()
	if view.ResourceVersion == "" && !l.config.Fake {
		// For example a JSON null, which client-go takes for an empty list.
		return view, l.failed(failure.ListPods, fmt.Errorf("%w: a list without a resource version", failure.ErrNotUnderstood))
	}
	// WithAlloc, so that one pod that lives on does not keep its whole page.
	err = meta.EachListItemWithAlloc(list, func(object runtime.Object) error {
		pod, ok := podwire.From(object)
		if !ok {
			return fmt.Errorf("%w: %T in a list of pods", failure.ErrNotUnderstood, object)
		}
		if l.config.Shard.Range.Owns(pod.Namespace) {
			view.Pods = append(view.Pods, pod)
		}
		return nil
	})
	return view, err
}

func (l *Lister) failed(kind failure.Kind, err error) error {
	return &failure.RequestError{Kind: kind, Namespace: l.config.Namespace, Err: err}
}

// Again lists a fake again after its watch has opened, and returns what both lists and the
// watch show together. The watch of client-go's fake begins with the pods that are newer than
// the version of the list before it, and so repeats each change since then but a deletion
// (from client-go 0.38 on a deletion too). The fake of 0.35 has no versions. Its watch begins
// with nothing, so only the second list has the changes.
func (l *Lister) Again(ctx context.Context, before View) (View, error) {
	now, err := l.Plain(ctx, l.config.Selector)
	if err != nil {
		return before, err
	}
	if before.ResourceVersion == "" {
		now.Stream = before.Stream
		return now, nil
	}
	var present podList
	for _, pod := range now.Pods {
		present.put(pod)
	}
	before.Pods = slices.DeleteFunc(before.Pods, func(pod *podwire.Pod) bool {
		_, ok := present.at[podmeta.KeyOf(pod)]
		return !ok
	})
	return before, nil
}
