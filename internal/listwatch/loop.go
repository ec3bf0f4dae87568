// SPDX-License-Identifier: Apache-2.0

// Package listwatch lists the pods that a label selector selects, watches them,
// resumes where a watch has ended, and lists again if there is no version to
// resume from.
//
// It replaces client-go's Reflector, which answers a transport error, a watch
// that ends within a second and an error inside the stream with a new list,
// reports none of them, and waits in places where its context does not reach
// it.
package listwatch

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/rv"
	"github.com/executorpods/watchsource/internal/shard"
	"github.com/executorpods/watchsource/internal/sleep"
)

const (
	// openTimeout bounds how long a watch or a page of a list may take to be
	// answered once the loop has started.
	openTimeout = time.Minute

	// A watch is asked to end after a random time between these, client-go's
	// own, so that the watches of many clients spread over the API servers.
	minWatchTimeout = 5 * time.Minute
	maxWatchTimeout = 10 * time.Minute

	// defaultStallTimeout is how long a stream may be silent. kube-apiserver sends
	// a bookmark about once a minute.
	defaultStallTimeout = 150 * time.Second
	// If no bookmarks come, a watch is asked to end after this part of the stall
	// timeout, so that its end shows in time that the server is there.
	quietWatchPart = 0.8
	// lastBookmarkTime is the time before the end of a watch in which a bookmark
	// does not show that the server sends them regularly: kube-apiserver sends
	// one two seconds before the end.
	lastBookmarkTime = 10 * time.Second

	// After a stream was given up because it was silent, the next one is asked to
	// end after probeTimeout. It may be late by probeGrace.
	probeTimeout = 2 * time.Second
	probeGrace   = 10 * time.Second
)

// A Sink receives what the loop has listed and watched. All its methods are
// called by the goroutine of [Loop.Run].
type Sink interface {
	// Replace receives a complete list.
	Replace(pods []*podwire.Pod, resourceVersion string)
	// Receive receives an event of a watch, and returns the error that it is.
	Receive(event watch.Event) error
	// ResourceVersion returns the version to resume from, "" for none.
	ResourceVersion() string
	// Forget leaves no version to resume from.
	Forget()
}

// A Kind says what an [Event] reports.
type Kind uint8

const (
	Listed     Kind = iota // a complete list has arrived
	Opened                 // a watch is open
	Received               // an event or a bookmark came
	Closed                 // a watch has ended, or was given up
	Refused                // a list or a watch was refused or not answered
	Unanswered             // the first watch is requested, and Err is its error if Start ends now
	Checked                // a check of the server's version was answered
)

// An Event is one thing that happened between the loop and the API server.
type Event struct {
	Kind            Kind
	ResourceVersion string          // listed, watched from or received; Closed: to resume from
	Pods            int             // Listed: their number
	Relist          bool            // Listed: not the first list of the run
	Resumed         bool            // Opened: at the version where another watch had ended
	Type            watch.EventType // Received
	Took            time.Duration   // Listed and Refused: the request; Closed: the age of the watch
	Err             error           // Refused and Unanswered: never nil; Closed: nil if it ended in good order

	Heard   bool // the API server has shown that it is there
	Fake    bool // Opened: the watch is that of a fake, which cannot stall
	Trouble bool // Refused: the view may be out of date, and an operator may have to act
}

// A Config says what a [Loop] does. All fields but Shard, Filter, Known,
// StallTimeout and VerifyEvery are required.
type Config struct {
	Client    kubernetes.Interface
	Namespace string // empty for all
	Selector  string
	Shard     *shard.Range    // of the namespaces, nil for all
	Form      podwire.Form    // in which the sink wants the pods
	Filter    *podwire.Filter // which pods are read completely, nil for all
	// Known returns what the sink has of the pod with a UID, so that its next state can share it. It may be nil.
	Known        func(uid []byte) podwire.Known
	StartTimeout time.Duration
	StallTimeout time.Duration // 0 for the default
	VerifyEvery  time.Duration // 0 for no verification
	Logger       logr.Logger

	Sink Sink
	// Report is called with all that happens, by the goroutine of Run, and by that of a
	// verification that fails. No two of these calls, and of the calls of the sink, overlap.
	// Only that with Checked may come from another goroutine at any time.
	Report func(Event)
	// Begin is called before the first call of the sink. If it returns false the
	// sink is not called.
	Begin func() bool
}

// A Loop lists and watches until its context ends.
type Loop struct {
	// Fixed after New.
	Config
	pods       podClient
	fake       bool // see isFake
	plainLists bool // the client says that it cannot stream a list

	verifier *verifier // nil for none

	// Owned by the goroutine of Run.
	policy      *retryPolicy
	started     bool          // a watch has been open
	attempts    StartAttempts // until then
	bookmarks   bool          // the server sends bookmarks regularly
	checkDue    bool          // the server's version is to be compared before the next watch
	silent      bool          // because nothing comes
	checked     bool          // it was compared, and no watch has opened since that may tell more
	holdsBack   bool          // a proxy holds the answer to a watch back until the first event
	refusedLate time.Duration // after which the last watch was refused that was taken for open, 0 if one was open since
	plainUntil  time.Time     // no streaming lists before
	busyStreams int           // streaming lists in a row that the server asked to repeat later
	trouble     string        // the one last logged, "" for none
	others      otherShards
}

// New returns a loop that has not made a request yet.
func New(c Config) *Loop {
	l := &Loop{
		Config:     c,
		fake:       isFake(c.Client),
		plainLists: refusesStreamingLists(c.Client),
		policy:     newRetryPolicy(time.Now()),
	}
	l.policy.cuts.clientTimeout = clientTimeout(c.Client)
	l.pods = newPodClient(&l.Config, l.fake)
	l.verifier = newVerifier(l)
	return l
}

// HasVersions reports whether the versions of lists and pods can be compared. Those of a fake
// cannot.
func (l *Loop) HasVersions() bool { return !l.fake }

func isNil(v any) bool {
	value := reflect.ValueOf(v)
	return !value.IsValid() || value.Kind() == reflect.Pointer && value.IsNil()
}

// Run works until ctx ends, and returns the cause of that. Before the first
// watch is open it also returns with an error that waiting will not cure.
func (l *Loop) Run(ctx context.Context) error {
	if timeout := l.policy.cuts.clientTimeout; timeout > 0 && timeout < maxWatchTimeout {
		l.Logger.Info("Client ends each watch early, set rest.Config.Timeout to 0", "timeout", timeout)
	}
	for {
		began := time.Now()
		stream, err := l.connect(ctx)
		var delay time.Duration
		switch {
		case err == nil:
			l.started = true
			l.trouble = ""
			delay = l.follow(ctx, stream)
		case ctx.Err() == nil:
			if !l.started && l.attempts.Fatal(err) {
				l.Report(Event{Kind: Refused, Took: time.Since(began), Err: err})
				return err
			}
			delay = l.refused(err, time.Since(began))
		}
		if !sleep.For(ctx, delay) {
			return context.Cause(ctx)
		}
	}
}

// connect opens a stream, from where the last one ended or after a list.
func (l *Loop) connect(ctx context.Context) (*stream, error) {
	from := l.Sink.ResourceVersion()
	if from != "" && (l.checkDue || !l.fake && !l.policy.contact.mayResume(time.Now())) {
		gone, err := l.wentBack(ctx, from)
		if err != nil {
			return nil, err
		}
		l.checkDue, l.silent, l.checked = false, false, true
		if gone {
			l.Logger.V(4).Info("The server may be at an older version than the one held, listing", "resourceVersion", from)
			l.Sink.Forget()
			from = ""
		}
	}
	if from == "" {
		return l.relist(ctx)
	}
	stream, err := l.watch(ctx, from)
	if err == nil {
		l.Report(Event{Kind: Opened, ResourceVersion: from, Resumed: true, Heard: l.hears()})
	}
	return stream, err
}

// hears reports whether a watch that is resumed shows that the server sees the pods and can say
// so: its version was checked, and the watch before did not stay silent.
func (l *Loop) hears() bool {
	if l.policy.silent() {
		return false
	}
	checked := l.checked
	l.checked = false
	return checked || l.policy.contact.opened(time.Now())
}

// wentBack reports whether the server's version is older than the one held. A
// server that was restored from a backup is in that state. A silent server that
// does not answer the question, for example because the client has only the right
// to watch, may be in it too.
func (l *Loop) wentBack(ctx context.Context, held string) (bool, error) {
	now, err := l.version(ctx)
	switch {
	case err == nil:
		l.policy.checked(time.Now(), now)
		return rv.Older(now, held), nil
	case failure.RefusesClient(err):
		l.policy.checked(time.Now(), held)
		return l.silent, nil
	default:
		return false, err
	}
}

// version returns the server's version.
func (l *Loop) version(ctx context.Context) (string, error) {
	ctx, cancel := versionContext(ctx)
	defer cancel()
	version, err := l.askVersion(ctx).await(ctx)
	if err == nil {
		return version, nil
	}
	if !failure.RefusesClient(err) {
		l.policy.contact.failed()
	}
	return "", &failure.RequestError{Kind: failure.CheckVersion, Namespace: versionNamespace(l.Namespace), Err: err}
}

// versionContext bounds a request for the server's version.
func versionContext(ctx context.Context) (context.Context, context.CancelFunc) {
	const limit = checkTimeout + checkGrace
	return context.WithTimeoutCause(ctx, limit, failure.NoAnswerWithin(limit))
}

// askVersion asks for the server's version.
func (l *Loop) askVersion(ctx context.Context) *pendingRequest[string] {
	return send(func() (string, error) { return l.pods.Version(ctx, l.Selector) }, func(string) {})
}

// relist lists every selected pod and opens the stream that continues from there.
func (l *Loop) relist(ctx context.Context) (*stream, error) {
	began := time.Now()
	view, err := l.list(ctx)
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	l.policy.listed(time.Now(), view.resourceVersion)
	l.checkDue, l.silent, l.checked = false, false, false
	stream := view.stream
	if stream == nil {
		stream, err = l.watchAfterList(ctx, view.resourceVersion)
		if err == nil && l.fake {
			view, err = l.fakeView(ctx, view, stream)
		}
	}
	if err != nil && !l.started {
		return nil, err // without a call of the sink
	}
	if !l.started && !l.Begin() {
		stream.close()
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	l.verifier.listed(&view)
	l.Sink.Replace(view.pods, view.resourceVersion)
	l.Report(Event{
		Kind: Listed, ResourceVersion: view.resourceVersion, Pods: len(view.pods), Relist: l.started, Took: took, Heard: true,
	})
	if err == nil {
		l.Report(Event{Kind: Opened, ResourceVersion: view.resourceVersion, Heard: true, Fake: l.fake})
	}
	return stream, err
}

// watchAfterList opens a stream from the version of a list that was just answered. Until the
// first stream is open it reports the request before it makes it: a proxy may pass lists on
// and not watches, and then Start ends while the request waits.
func (l *Loop) watchAfterList(ctx context.Context, resourceVersion string) (*stream, error) {
	if !l.started {
		l.Report(Event{Kind: Unanswered, Err: &failure.RequestError{Kind: failure.WatchPods, Namespace: l.Namespace, Listed: true, Err: failure.ErrNoAnswer}})
	}
	s, err := l.watch(ctx, resourceVersion)
	if failed, ok := errors.AsType[*failure.RequestError](err); ok {
		failed.Listed = true
	}
	return s, err
}

// refused returns how long to wait after a list or a watch was refused. A
// trouble is logged once, not at every attempt.
func (l *Loop) refused(err error, took time.Duration) time.Duration {
	step := l.policy.afterRefusal(time.Now(), err)
	if !l.started {
		step.delay = startDelay(step.delay, err)
	}
	if step.relist || l.fake {
		l.Sink.Forget()
	}
	l.checkDue = (l.checkDue || step.check) && !l.fake
	gone := failure.VersionGone(err)
	l.Report(Event{Kind: Refused, Took: took, Err: err, Trouble: l.started && !gone})
	switch trouble := failure.Trouble(err); {
	case gone:
		l.Logger.V(4).Info("Version to watch from is gone, listing", "err", err, "delay", step.delay)
	case l.started && trouble != l.trouble:
		l.trouble = trouble
		l.Logger.Info("Watch interrupted, retrying", "err", err, "delay", step.delay)
	default:
		l.Logger.V(4).Info("Retrying watch", "err", err, "delay", step.delay, "relist", step.relist)
	}
	return step.delay
}

// follow passes on the events of a stream until it ends, and returns how long
// to wait before the next one.
func (l *Loop) follow(ctx context.Context, s *stream) time.Duration {
	from := l.Sink.ResourceVersion()
	if wire, ok := s.events.(*wireEvents); ok {
		wire.Gather()
	}
	stopVerifying, stopChecking := l.verifier.start(s), l.watchStore(s)
	received, err := l.receive(s)
	s.close()
	stopVerifying()
	stopChecking()
	version := l.Sink.ResourceVersion()
	end := streamEnd{
		err: err, age: time.Since(s.opened), asked: time.Since(s.requested), silence: time.Since(s.heard), timeout: s.timeout,
		progressed: version != from, received: received, bookmark: s.bookmark, heldBack: l.holdsBack,
	}
	if ctx.Err() != nil {
		l.Report(Event{Kind: Closed, ResourceVersion: version, Took: end.age})
		return 0
	}
	if refusal, ok := errors.AsType[failure.LateRefusal](err); ok {
		if !failure.IsVersionCheck(refusal.Unwrap()) {
			l.refusedLate = min(end.asked, maxRefusedLate)
		}
		l.Report(Event{Kind: Closed, ResourceVersion: version, Took: end.age})
		return l.refused(refusal.Unwrap(), end.age)
	}
	l.refusedLate = 0
	if errors.Is(err, failure.ErrStalled) {
		l.bookmarks = false
	}
	l.learnHeld(s)
	step := l.policy.afterStream(time.Now(), end)
	if step.relist || l.fake { // the fake clientset has no version to resume from
		l.Sink.Forget()
	}
	l.checkDue = step.check && !l.fake
	l.silent = l.checkDue && (end.asAsked() || errors.Is(err, failure.ErrStalled))
	l.Report(Event{Kind: Closed, ResourceVersion: l.Sink.ResourceVersion(), Took: end.age, Err: err})
	l.Logger.V(4).Info("Watch ended", "err", err, "resourceVersion", version, "relist", step.relist, "delay", step.delay)
	return step.delay
}

// receive passes on events until the stream ends. It reports whether any came,
// and returns nil if the stream has ended in good order.
func (l *Loop) receive(s *stream) (received bool, err error) {
	for {
		event, err := s.next(l.patience(s))
		if !received {
			s.quietAtFirst = time.Since(s.opened)
		}
		if errors.Is(err, io.EOF) {
			return received, nil
		}
		if err != nil {
			return received, err
		}
		if !l.fake && goesBack(event, s.from) {
			return received, failure.ErrNewHistory
		}
		shown := l.showsStore(event)
		if l.ofOtherShard(event) {
			err = l.passVersion(event)
		} else {
			err = l.pass(event, shown)
		}
		if err != nil {
			return received, err
		}
		received, s.heard = true, time.Now()
		if event.Type == watch.Bookmark {
			s.bookmark = true
			l.bookmarks = l.bookmarks || time.Since(s.opened) < s.timeout-lastBookmarkTime
		}
	}
}

// showsStore reports whether an event shows that the server has its store.
func (l *Loop) showsStore(event watch.Event) bool {
	pod, err := PodOf(event)
	switch {
	case err != nil:
		return false // the sink returns the error
	case event.Type == watch.Bookmark && !l.fake:
		return l.policy.contact.bookmark(time.Now(), pod.ResourceVersion)
	}
	l.policy.contact.received(time.Now(), pod.ResourceVersion)
	return true
}

// pass passes an event to the sink, and reports it.
func (l *Loop) pass(event watch.Event, heard bool) error {
	l.verifier.lock()
	defer l.verifier.unlock()
	if err := l.Sink.Receive(event); err != nil {
		return err
	}
	version := l.Sink.ResourceVersion()
	l.verifier.received(event, version)
	l.Report(Event{Kind: Received, ResourceVersion: version, Type: event.Type, Heard: heard})
	return nil
}

// goesBack reports whether an event is older than the version that its stream
// was opened from. Only a server with a new history sends such an event.
func goesBack(event watch.Event, from string) bool {
	if from == "" || from == "0" || event.Type == watch.Error {
		return false
	}
	pod, err := PodOf(event)
	return err == nil && pod.ResourceVersion != "0" && rv.Older(pod.ResourceVersion, from)
}

// stallTimeout is how long a stream may be silent before it is given up. Its
// connection may look alive all the time, as behind a proxy.
func (l *Loop) stallTimeout() time.Duration {
	if l.StallTimeout > 0 {
		return l.StallTimeout
	}
	return defaultStallTimeout
}

func (l *Loop) patience(s *stream) time.Duration {
	if l.fake {
		return noLimit
	}
	if s.probe {
		return s.timeout + min(probeGrace, l.stallTimeout())
	}
	return l.stallTimeout()
}

// watchTimeout draws the time after which the server is asked to end a watch.
func (l *Loop) watchTimeout() time.Duration {
	timeout := l.longestTimeout()
	switch {
	case l.policy.silent():
		return probeTimeout
	case !l.bookmarks && !l.fake:
		quiet := time.Duration(quietWatchPart * float64(l.stallTimeout()))
		return max(min(quiet, timeout), time.Second)
	default:
		return timeout
	}
}

// longestTimeout draws the time after which the server is asked to end a watch that nothing
// but a cut will end before.
func (l *Loop) longestTimeout() time.Duration {
	timeout := minWatchTimeout + rand.N(maxWatchTimeout-minWatchTimeout)
	if bound := l.policy.cuts.bound(); bound > 0 {
		return min(bound, timeout)
	}
	return timeout
}

// emptyWatch is what client-go returns, without an error, if the connection was
// closed each time before there was an answer (rest.Request.Watch).
var emptyWatch = reflect.TypeOf(watch.NewEmptyWatch())

// watch opens a stream from a resource version.
func (l *Loop) watch(ctx context.Context, resourceVersion string) (*stream, error) {
	s, err := l.open(ctx, l.watchTimeout(), openTimeout, metav1.ListOptions{
		ResourceVersion:     resourceVersion,
		AllowWatchBookmarks: true,
	})
	if err == nil {
		s.from, s.probe = resourceVersion, l.policy.silent()
	}
	return s, err
}

// open requests a stream that the server is asked to end after timeout. The answer must come
// within patience.
func (l *Loop) open(ctx context.Context, timeout, patience time.Duration, options metav1.ListOptions) (*stream, error) {
	timeout = timeout.Truncate(time.Second) // the request has whole seconds
	options.TimeoutSeconds = new(int64(timeout.Seconds()))
	options.LabelSelector = l.Selector

	ctx, cancel := context.WithCancelCause(ctx)
	limit := time.AfterFunc(patience, func() { cancel(failure.NoAnswerWithin(patience)) })
	defer limit.Stop()
	began := time.Now()
	pending := send(func() (events, error) { return l.pods.Watch(ctx, options) }, events.close)
	opened, held, err := l.awaitOpened(ctx, cancel, pending, options.ResourceVersion)
	if c, ok := opened.(*clientEvents); ok && !l.fake && reflect.TypeOf(c.Interface) == emptyWatch {
		err = failure.ErrHungUp
	}
	if err != nil {
		cancel(nil)
		return nil, l.failed(failure.WatchPods, err)
	}
	s := newStream(ctx, cancel, opened, timeout)
	s.requested, s.heard = began, began
	if held {
		s.opened, s.held = began, true
	}
	return s, nil
}

// Unanswered is the error of a list that has not been answered when Start ends.
func (l *Loop) Unanswered() error { return l.failed(failure.ListPods, failure.ErrNoAnswer) }

func (l *Loop) failed(kind failure.Kind, err error) error {
	return &failure.RequestError{Kind: kind, Namespace: l.Namespace, Err: err}
}
