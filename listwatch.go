// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

const (
	// openTimeout bounds how long a watch or a page of a list may take to be
	// answered once the source has started.
	openTimeout = time.Minute

	// A watch is asked to end after a random time between these, client-go's
	// own, so that the watches of many clients spread over the API servers.
	minWatchTimeout = 5 * time.Minute
	maxWatchTimeout = 10 * time.Minute

	// healthyLife is how long a stream must last for past troubles to be
	// forgotten.
	healthyLife = 5 * time.Second
	// atOnceEvery is how often a stream that has ended may be followed by the next
	// without a pause.
	atOnceEvery = 5 * time.Second

	// Streams that end within fruitlessLife and bring nothing are a sign that
	// the server has lost the version they start from: some servers and proxies
	// then close the stream in good order (fabric8 kubernetes-client, issue
	// 7896). After maxFruitless of them in a row the version is given up.
	fruitlessLife = 2 * time.Second
	maxFruitless  = 4

	// bookmarkPatience is how long a stream may be silent on a server that
	// sends bookmarks, which kube-apiserver does every minute or so.
	bookmarkPatience = 150 * time.Second
	// timeoutPatience is how much longer than the timeout it was asked for a
	// stream may last on a server that sends none.
	timeoutPatience = 30 * time.Second
)

// listWatch keeps a Watcher told: it lists, watches, resumes where a watch has
// ended, and lists again when there is no place to resume from.
//
// It stands in the place of client-go's Reflector, which answers a transport
// error, a watch that ends within a second and an error inside the stream with
// a new list, reports none of them, and waits in places where its context does
// not reach it.
type listWatch struct {
	// Fixed after it was made.
	options  *sourceOptions
	pods     podClient
	selector string
	fake     bool // the client is client-go's fake clientset, or like it
	served   bool // the client talks to a server, and is no fake of any kind
	watcher  *Watcher
	status   *statusBoard
	logger   logr.Logger
	settle   func() bool // to be asked before the store is told for the first time
	opened   func()      // to be called when the first watch is open

	// Owned by the watch goroutine.
	started    bool
	backoff    *backoff
	fruitless  int       // streams in a row that ended at once and empty
	gone       int       // versions in a row that were gone
	bookmarks  bool      // this server sends bookmarks
	plainUntil time.Time // no streaming lists before
	atOnce     time.Time // when a stream was last followed by the next without a pause
	trouble    string    // the one last logged, "" when all is well
}

// run works until ctx ends, and returns the cause of that. Before the first
// watch is open it also gives up on an error that waiting will not cure.
func (l *listWatch) run(ctx context.Context) error {
	for {
		var delay time.Duration
		began := time.Now()
		stream, err := l.connect(ctx)
		if err == nil {
			l.connected()
			delay = l.follow(ctx, stream)
		} else if ctx.Err() == nil {
			l.observe(Observation{Kind: Refused, Took: time.Since(began), Err: err})
			if !l.started && !asksToWait(err) && !versionGone(err) {
				return err
			}
			delay = l.disconnected(err)
		}
		if !pause(ctx, delay) {
			return context.Cause(ctx)
		}
	}
}

// connect opens a stream: from where the last one ended, or after a list.
func (l *listWatch) connect(ctx context.Context) (*stream, error) {
	from := l.watcher.resourceVersion
	if from == "" {
		return l.relist(ctx)
	}
	stream, err := l.watch(ctx, from)
	if err == nil {
		l.observe(Observation{Kind: Opened, ResourceVersion: from, Resumed: true})
	}
	return stream, err
}

// relist fetches everything and opens the stream that continues from there.
func (l *listWatch) relist(ctx context.Context) (*stream, error) {
	began := time.Now()
	view, err := l.list(ctx)
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	stream := view.stream
	if stream == nil {
		stream, err = l.watch(ctx, view.resourceVersion)
		if err == nil && l.fake {
			err = l.dropDeleted(ctx, &view, stream)
		}
	}
	if err != nil && !l.started {
		return nil, err // and the store was told nothing
	}
	if !l.started && !l.settle() {
		stream.close()
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	l.watcher.Replace(view.pods, view.resourceVersion)
	l.observe(Observation{Kind: Listed, ResourceVersion: view.resourceVersion, Pods: len(view.pods), Took: took})
	if err == nil {
		l.observe(Observation{Kind: Opened, ResourceVersion: view.resourceVersion})
	}
	return stream, err
}

// observe tells the status and the observer.
func (l *listWatch) observe(o Observation) {
	l.status.record(o, l.started)
	if l.options.observer != nil {
		l.options.observer(o)
	}
}

// connected is called with every stream that has been opened.
func (l *listWatch) connected() {
	l.trouble = ""
	if before := l.status.enter(Watching); before.Phase == Retrying {
		l.logger.Info("Watch restored", "since", before.Since)
	}
	if !l.started {
		l.started = true
		l.opened()
	}
}

// disconnected takes note of a list or a watch that was refused, and returns
// how long to wait. The log hears of a trouble once, not at every attempt.
func (l *listWatch) disconnected(err error) time.Duration {
	if versionGone(err) {
		return l.relistSoon(err)
	}
	if l.fake {
		l.watcher.forget()
	}
	delay := l.backoff.next(err)
	switch trouble := kindOf(err); {
	case !l.started:
	case trouble != l.trouble:
		l.trouble = trouble
		l.status.enter(Retrying)
		l.logger.Info("Watch interrupted, retrying", "err", err, "delay", delay)
	default:
		l.logger.V(4).Info("Retrying watch", "err", err, "delay", delay)
	}
	return delay
}

// relistSoon gives up the version, and returns how long to wait: nothing is
// wrong with the server, unless it loses one version after the other.
func (l *listWatch) relistSoon(err error) time.Duration {
	l.logger.V(4).Info("Version to watch from is gone, listing", "err", err)
	l.watcher.forget()
	l.gone++
	if l.gone == 1 {
		return 0
	}
	return l.backoff.next(err)
}

// kindOf tells troubles apart that an operator would call different.
func kindOf(err error) string {
	if reason := apierrors.ReasonForError(err); reason != metav1.StatusReasonUnknown {
		return string(reason)
	}
	return "NoAnswer"
}

// follow hands the events of a stream on until it ends, and returns how long to
// wait before the next.
func (l *listWatch) follow(ctx context.Context, s *stream) time.Duration {
	from := l.watcher.resourceVersion
	err := l.receive(s)
	s.close()
	if ctx.Err() != nil {
		return 0
	}
	life := time.Since(s.opened)
	delay := l.ended(err, life, l.watcher.resourceVersion != from)
	l.observe(Observation{Kind: Closed, ResourceVersion: l.watcher.resourceVersion, Took: life, Err: err})
	l.status.lost(err)
	l.logger.V(4).Info("Watch ended", "err", err, "resourceVersion", l.watcher.resourceVersion, "delay", delay)
	return delay
}

// receive returns nil when the stream has ended in good order, and otherwise why
// it is of no more use.
func (l *listWatch) receive(s *stream) error {
	for {
		event, err := s.next(l.silenceAllowed(s))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := l.watcher.receive(event); err != nil {
			return err
		}
		// A bookmark that comes just before the timeout is a farewell, and
		// promises no others in between.
		if event.Type == watch.Bookmark && time.Since(s.opened) < s.timeout-timeoutPatience {
			l.bookmarks = true
		}
		l.observe(Observation{Kind: Received, ResourceVersion: l.watcher.resourceVersion, Event: event.Type})
	}
}

// silenceAllowed is how long a stream may say nothing before it is taken for
// dead, also where its connection looks alive, as behind a proxy.
func (l *listWatch) silenceAllowed(s *stream) time.Duration {
	switch {
	case l.options.stallTimeout > 0:
		return l.options.stallTimeout
	case l.bookmarks:
		return bookmarkPatience
	default:
		return s.timeout + timeoutPatience
	}
}

// ended decides from how a stream ended where the next one starts and how soon.
func (l *listWatch) ended(err error, life time.Duration, progressed bool) time.Duration {
	if life >= healthyLife || progressed {
		l.backoff.reset()
		l.gone = 0
	}
	if progressed || life >= fruitlessLife || errors.Is(err, errStalled) {
		l.fruitless = 0
	} else {
		l.fruitless++
	}
	if versionGone(err) || errors.Is(err, errNotUnderstood) {
		return l.relistSoon(err)
	}
	if l.fruitless >= maxFruitless || l.fake {
		// The fake clientset knows no version to resume from.
		l.watcher.forget()
		l.fruitless = 0
	}
	if _, asked := apierrors.SuggestsClientDelay(err); !asked && time.Since(l.atOnce) >= atOnceEvery {
		l.atOnce = time.Now()
		return 0
	}
	return l.backoff.next(err)
}

// emptyWatch is what client-go returns, without an error, if the connection was
// closed each time before there was an answer (rest.Request.Watch).
var emptyWatch = reflect.TypeOf(watch.NewEmptyWatch())

// watch opens a stream from a resource version.
func (l *listWatch) watch(ctx context.Context, resourceVersion string) (*stream, error) {
	return l.open(ctx, metav1.ListOptions{
		ResourceVersion:     resourceVersion,
		AllowWatchBookmarks: true,
	})
}

func (l *listWatch) open(ctx context.Context, options metav1.ListOptions) (*stream, error) {
	timeout := minWatchTimeout + rand.N(maxWatchTimeout-minWatchTimeout)
	seconds := int64(timeout.Seconds())
	options.TimeoutSeconds = &seconds
	options.LabelSelector = l.selector

	ctx, cancel := context.WithCancelCause(ctx)
	limit := time.AfterFunc(openTimeout, func() { cancel(errNoAnswer) })
	defer limit.Stop()
	opened, err := request(ctx, func() (events, error) { return l.pods.Watch(ctx, options) }, events.close)
	if c, ok := opened.(*clientEvents); ok && !l.fake && reflect.TypeOf(c.Interface) == emptyWatch {
		err = errHungUp
	}
	if err != nil {
		cancel(nil)
		return nil, l.failed("watch", err)
	}
	return newStream(ctx, cancel, opened, timeout), nil
}

func (l *listWatch) failed(verb string, err error) error {
	return &requestError{verb: verb, namespace: l.options.namespace, err: err}
}
