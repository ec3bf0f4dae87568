// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/clientset"
	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/podclient"
	"github.com/executorpods/watchsource/internal/podlist"
	"github.com/executorpods/watchsource/internal/podwatch"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/retry"
	"github.com/executorpods/watchsource/internal/rv"
	"github.com/executorpods/watchsource/internal/sleep"
	"github.com/executorpods/watchsource/internal/verification"
)

// A Loop lists and watches until its context ends.
type Loop struct {
	// Fixed after New. fake is the answer of clientset.IsFake. A fake has no checker. verifier is
	// nil if the loop does not verify.
	Config
	fake     bool
	client   podclient.Client
	policy   *retry.Policy
	lister   *podlist.Lister
	opener   *podwatch.Opener
	checker  *podwatch.Checker
	verifier *verification.Verifier

	// Owned by the goroutine of Run.

	// started is set once a watch has been open. Until then attempts counts the requests that fail.
	started  bool
	attempts retry.StartAttempts
	// trouble is the last one in the log, "" for none.
	trouble  string
	delivery delivery
}

// New returns a loop that has not made a request yet.
func New(c Config) *Loop {
	return newLoop(c, podclient.New(podclient.Config{
		Client: c.Client, Namespace: c.Namespace, Shard: c.Shard, Form: c.Form, Filter: c.Filter, Known: c.Known,
		Report: func(d podclient.Decoder) { c.Report(Event{Kind: Decoding, Decoder: d}) },
	}))
}

// newLoop returns a loop that makes its requests with a client.
func newLoop(c Config, client podclient.Client) *Loop {
	report := c.Report
	c.Report = func(e Event) {
		e.Namespace = c.Namespace
		report(e)
	}
	l := &Loop{Config: c, client: client, fake: clientset.IsFake(c.Client), policy: retry.NewPolicy(time.Now())}
	l.policy.Cuts.ClientTimeout = clientset.Timeout(c.Client)
	others := &podwatch.Shard{Range: c.Shard, Logger: c.Logger}
	if !l.fake {
		l.checker = &podwatch.Checker{
			Client: client, Namespace: c.Namespace, Selector: c.Selector, Contact: &l.policy.Contact,
			Report: func() { l.Report(Event{Kind: Checked, Heard: true}) },
		}
	}
	l.opener = podwatch.NewOpener(podwatch.Config{
		Client: client, Fake: l.fake, Namespace: c.Namespace, Selector: c.Selector,
		StallTimeout: c.StallTimeout, Policy: l.policy, Checker: l.checker,
	})
	refused := func(err error, took time.Duration) { l.Report(Event{Kind: Refused, Took: took, Err: err}) }
	l.lister = podlist.New(podlist.Config{
		Client: client, Fake: l.fake, Namespace: c.Namespace, Selector: c.Selector, Shard: others, Opener: l.opener,
		PlainOnly: clientset.RefusesStreamingLists(c.Client), StartTimeout: c.StartTimeout, Logger: c.Logger, Refused: refused,
	})
	l.verifier = verification.New(verification.Config{
		Every: c.VerifyEvery, Client: client, Fake: l.fake, Namespace: c.Namespace, Selector: c.Selector, Shard: c.Shard,
		Logger: c.Logger, Refused: refused, Verified: func() { l.Report(Event{Kind: Verified}) },
	})
	l.delivery = delivery{sink: c.Sink, report: c.Report, fake: l.fake, contact: &l.policy.Contact, verifier: l.verifier, others: others}
	return l
}

// HasVersions reports whether the versions of lists and pods can be compared. Those of a fake
// cannot.
func (l *Loop) HasVersions() bool { return !l.fake }

// List lists the pods that another selector selects. Any goroutine may call it while Run
// works.
func (l *Loop) List(ctx context.Context, selector string) (pods []*podwire.Pod, resourceVersion string, err error) {
	view, err := l.lister.Plain(ctx, selector)
	return view.Pods, view.ResourceVersion, err
}

// Bookmark asks how far the server has come since a version without a change of a selected pod. It
// returns "" if a pod has changed. Any goroutine may call it while Run works.
func (l *Loop) Bookmark(ctx context.Context, from string) (version string, err error) {
	return podwatch.Bookmark(ctx, l.client, l.Selector, from)
}

// Unanswered is the error of a list that has not been answered when Start ends.
func (l *Loop) Unanswered() error {
	return &failure.RequestError{Kind: failure.ListPods, Namespace: l.Namespace, Err: failure.ErrNoAnswer}
}

// Run works until ctx ends, and returns the cause of that. Before the first
// watch is open it also returns with an error that waiting will not cure.
func (l *Loop) Run(ctx context.Context) (err error) {
	if timeout := l.policy.Cuts.ClientTimeout; timeout > 0 && timeout < podwatch.MaxWatchTimeout {
		l.Logger.Info("Client ends each watch early, set rest.Config.Timeout to 0", "timeout", timeout)
	}
	for s := range l.states(ctx) {
		if last, ok := s.(ended); ok {
			err = last.cause
		}
	}
	return err
}

// states returns each state that the loop enters. The last one is [ended].
func (l *Loop) states(ctx context.Context) iter.Seq[state] {
	return func(yield func(state) bool) {
		for s := state(listing{}); s != nil && yield(s); {
			s = s.next(ctx, l)
		}
	}
}

// A state is what the loop does at a time. DESIGN.md draws the states, and has the table of what
// follows what.
type state interface {
	// next does the work of the state, and returns the state that follows, nil after the last.
	next(ctx context.Context, l *Loop) state
}

// listing is the state in which the loop lists every selected pod, and opens the watch that
// continues from there. The sink has no version to resume from.
type listing struct{}

func (listing) next(ctx context.Context, l *Loop) state {
	began := time.Now()
	view, err := l.lister.List(ctx, !l.started)
	if err != nil {
		return l.refused(ctx, err, time.Since(began), waiting{})
	}
	took := time.Since(began)
	l.policy.Listed(time.Now(), view.ResourceVersion)
	err = l.watchAfter(ctx, &view)
	if err != nil && !l.started { // without a call of the sink
		return l.refused(ctx, err, time.Since(began), waiting{})
	}
	if !l.started && !l.Begin() {
		view.Stream.Close()
		<-ctx.Done()
		return ended{context.Cause(ctx)}
	}
	l.verifier.Listed(view.Pods, view.ResourceVersion)
	l.Sink.Replace(view.Pods, view.ResourceVersion)
	l.Report(Event{
		Kind: Listed, ResourceVersion: view.ResourceVersion, Pods: len(view.Pods), Relist: l.started, Verifies: l.verifier != nil,
		Took: took, Heard: true,
	})
	if err != nil {
		return l.refused(ctx, err, time.Since(began), waiting{})
	}
	l.Report(Event{Kind: Opened, ResourceVersion: view.ResourceVersion, Heard: true, Fake: l.fake})
	return l.opened(view.Stream)
}

// watchAfter opens the stream of a view, unless the list has left one open. Until the first stream
// is open it reports the request before it makes it: a proxy may pass lists on and not watches,
// and then Start ends while the request waits.
func (l *Loop) watchAfter(ctx context.Context, view *podlist.View) (err error) {
	if view.Stream != nil {
		return nil
	}
	if !l.started {
		l.Report(Event{Kind: Unanswered, Err: &failure.RequestError{Kind: failure.WatchPods, Namespace: l.Namespace, Listed: true, Err: failure.ErrNoAnswer}})
	}
	view.Stream, err = l.opener.Watch(ctx, view.ResourceVersion, l.started)
	if failed, ok := errors.AsType[*failure.RequestError](err); ok {
		failed.Listed = true
	}
	if err != nil || !l.fake {
		return err
	}
	if *view, err = l.lister.Again(ctx, *view); err != nil {
		view.Stream.Close()
	}
	return err
}

// resuming is the state in which the loop opens a watch where the last one has ended.
type resuming struct{ from string }

func (r resuming) next(ctx context.Context, l *Loop) state {
	began := time.Now()
	stream, err := l.opener.Watch(ctx, r.from, true)
	if err != nil {
		return l.refused(ctx, err, time.Since(began), waiting{})
	}
	l.Report(Event{Kind: Opened, ResourceVersion: r.from, Resumed: true, Heard: l.policy.Resumed(time.Now())})
	return l.opened(stream)
}

// opened returns the state in which the loop watches a stream that was just opened.
func (l *Loop) opened(stream *podwatch.Stream) state {
	l.started, l.trouble = true, ""
	return &watching{stream: stream, heard: stream.Requested}
}

// checking is the state in which the loop asks for the server's version before it resumes. A
// server that was restored from a backup has an older version than the one held.
type checking struct {
	held string
	// silent is set if nothing comes from the server. If it does not answer the question either,
	// for example because the client has only the right to watch, its version may be older.
	silent bool
}

func (c checking) next(ctx context.Context, l *Loop) state {
	began := time.Now()
	now, err := l.checker.Version(ctx)
	older := rv.Older(now, c.held)
	switch {
	case failure.RefusesClient(err):
		now, older = c.held, c.silent
	case err != nil:
		return l.refused(ctx, err, time.Since(began), waiting{check: true, silent: c.silent})
	}
	l.policy.Checked(time.Now(), now)
	if !older {
		return resuming{c.held}
	}
	l.Logger.V(4).Info("The server may be at an older version than the one held, listing", "resourceVersion", c.held)
	l.Sink.Forget()
	return listing{}
}

// waiting is the state in which the loop makes no request. The delay may be 0.
type waiting struct {
	delay time.Duration
	// check is set if the server's version must be compared with the one held before the loop
	// resumes. silent is set if the reason is that nothing comes from the server.
	check, silent bool
}

func (w waiting) next(ctx context.Context, l *Loop) state {
	if !sleep.For(ctx, w.delay) {
		return ended{context.Cause(ctx)}
	}
	held := l.Sink.ResourceVersion()
	switch {
	case held == "":
		return listing{}
	case w.check || !l.policy.Contact.MayResume(time.Now()):
		return checking{held: held, silent: w.silent}
	default:
		return resuming{held}
	}
}

// ended is the last state.
type ended struct{ cause error }

func (ended) next(context.Context, *Loop) state { return nil }

// refused returns the state that follows a request that was refused or not answered: it waits, and
// goes on as then says, unless the error ends a Start. A trouble is logged once, not at every
// attempt.
func (l *Loop) refused(ctx context.Context, err error, took time.Duration, then waiting) state {
	if ctx.Err() != nil {
		return ended{context.Cause(ctx)}
	}
	if !l.started && l.attempts.Fatal(err) {
		l.Report(Event{Kind: Refused, Took: took, Err: err})
		return ended{err}
	}
	step := l.policy.AfterRefusal(time.Now(), err)
	if !l.started {
		step.Delay = retry.StartDelay(step.Delay, err)
	}
	if step.Relist || l.fake {
		l.Sink.Forget()
	}
	gone := failure.VersionGone(err)
	l.Report(Event{Kind: Refused, Took: took, Err: err, Trouble: l.started && !gone})
	switch trouble := failure.Trouble(err); {
	case gone:
		l.Logger.V(4).Info("Version to watch from is gone, listing", "err", err, "delay", step.Delay)
	case l.started && trouble != l.trouble:
		l.trouble = trouble
		l.Logger.Info("Watch interrupted, retrying", "err", err, "delay", step.Delay)
	default:
		l.Logger.V(4).Info("Retrying watch", "err", err, "delay", step.Delay, "relist", step.Relist)
	}
	return waiting{delay: step.Delay, check: then.check || step.Check, silent: then.silent}
}

// watching is the state in which the loop passes on the events of a stream until it ends.
type watching struct {
	stream *podwatch.Stream
	// heard is when the last event came, or the watch was requested.
	heard time.Time
	// received is set if an event or a bookmark came, and bookmark if a bookmark came.
	received, bookmark bool
	// quietAtFirst is the time from the opening of the stream to the first event, or to the end.
	quietAtFirst time.Duration
}

func (w *watching) next(ctx context.Context, l *Loop) state {
	from := l.Sink.ResourceVersion()
	w.stream.Gather()
	stopVerifying, stopChecking := l.verifier.Start(w.stream.Context(), w.stream.GiveUp), l.checker.Beside(w.stream)
	err := w.receive(l)
	w.stream.Close()
	stopVerifying()
	stopChecking()
	version := l.Sink.ResourceVersion()
	end := w.end(err, l.opener.HoldsBack(), version != from)
	refusal, late := errors.AsType[failure.LateRefusal](err)
	switch {
	case ctx.Err() != nil:
		l.Report(Event{Kind: Closed, ResourceVersion: version, Took: end.Age})
		return ended{context.Cause(ctx)}
	case late:
		if !failure.IsVersionCheck(refusal) {
			l.opener.RefusedLate(end.Asked)
		}
		l.Report(Event{Kind: Closed, ResourceVersion: version, Took: end.Age})
		return l.refused(ctx, refusal.Unwrap(), end.Age, waiting{})
	}
	l.opener.Ended(w.stream, w.quietAtFirst, err)
	step := l.policy.AfterStream(time.Now(), end)
	if step.Relist || l.fake { // the fake clientset has no version to resume from
		l.Sink.Forget()
	}
	l.Report(Event{Kind: Closed, ResourceVersion: l.Sink.ResourceVersion(), Took: end.Age, Err: err})
	l.Logger.V(4).Info("Watch ended", "err", err, "resourceVersion", version, "relist", step.Relist, "delay", step.Delay)
	return waiting{delay: step.Delay, check: step.Check, silent: step.Check && (end.AsAsked() || errors.Is(err, failure.ErrStalled))}
}

// end returns how the stream has ended.
func (w *watching) end(err error, heldBack, progressed bool) retry.StreamEnd {
	return retry.StreamEnd{
		Err: err, Age: time.Since(w.stream.Opened), Asked: time.Since(w.stream.Requested), Silence: time.Since(w.heard), Timeout: w.stream.Timeout,
		Progressed: progressed, Received: w.received, Bookmark: w.bookmark, HeldBack: heldBack,
	}
}

// receive passes on events until the stream ends. It returns nil if the stream has ended in good
// order.
func (w *watching) receive(l *Loop) error {
	for {
		event, err := w.stream.Next(l.opener.Patience(w.stream))
		if !w.received {
			w.quietAtFirst = time.Since(w.stream.Opened)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := l.delivery.deliver(event, w.stream.From); err != nil {
			return err
		}
		w.received, w.heard = true, time.Now()
		if event.Type == watch.Bookmark {
			w.bookmark = true
			l.opener.Bookmark(w.stream)
		}
	}
}
