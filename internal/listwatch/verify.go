// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/rv"
	"github.com/executorpods/watchsource/internal/sleep"
)

const (
	// verifyWait is how long a verification waits for an event or a bookmark before it lists,
	// and how long it then gives the events that the list contains to arrive. kube-apiserver
	// sends a bookmark about once a minute.
	verifyWait = 70 * time.Second
	// verifyPageSize is that of client-go's lists.
	verifyPageSize = 500
)

// A verifier compares what the sink has received with lists of metadata. It works beside the
// goroutine of [Loop.Run] while a stream is open.
type verifier struct {
	// Fixed after newVerifier.
	loop   *Loop
	every  time.Duration
	ledger ledger
	calls  chan struct{} // holds a token while the sink or Report is called; a mutex would stop the clock of a synctest bubble

	// Owned by the goroutine of Run, and by the verifier's goroutine while a stream is open.
	due     time.Time // when the next verification begins
	trouble string    // the one last logged, "" for none
	behind  podKeys   // for which the last stream was given up
}

type podKeys map[podKey]struct{}

// newVerifier returns nil if the loop does not verify. The methods of a nil verifier do nothing.
func newVerifier(l *Loop) *verifier {
	if l.VerifyEvery <= 0 {
		return nil
	}
	v := &verifier{loop: l, every: l.VerifyEvery, calls: make(chan struct{}, 1)}
	if l.fake { // which ignores the selector of a watch
		v.ledger.selector, _ = labels.Parse(l.Selector)
	}
	return v
}

// lock begins a call of the sink or of Report, so that two do not overlap.
func (v *verifier) lock() {
	if v != nil {
		v.calls <- struct{}{}
	}
}

func (v *verifier) unlock() {
	if v != nil {
		<-v.calls
	}
}

// listed notes a complete list, which is as good as a verification.
func (v *verifier) listed(view *fullView) {
	if v != nil {
		v.ledger.replace(view.pods, v.ordered(view.resourceVersion))
		v.due = time.Now().Add(v.every)
		v.behind = nil
	}
}

// received notes an event that the sink has received, and the version that it is at since then.
func (v *verifier) received(event watch.Event, resourceVersion string) {
	if v != nil {
		v.ledger.receive(event, v.ordered(resourceVersion))
	}
}

// ordered returns a resource version, or "" for that of a fake, because those cannot be compared.
func (v *verifier) ordered(resourceVersion string) string {
	if v.loop.fake {
		return ""
	}
	return resourceVersion
}

// start verifies while a stream is open, until the function that it returns is called. If
// events were lost, it ends the stream with an error that says so.
func (v *verifier) start(s *stream) (stop func()) {
	if v == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(s.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		v.run(ctx, s)
	}()
	return func() {
		cancel()
		<-done
	}
}

func (v *verifier) run(ctx context.Context, s *stream) {
	for sleep.For(ctx, time.Until(v.due)) {
		began := time.Now()
		err := v.verify(ctx)
		if ctx.Err() != nil {
			return // the next stream begins with a verification
		}
		v.due = v.due.Add(v.every)
		if now := time.Now(); v.due.Before(now) {
			v.due = now
		}
		if _, lost := errors.AsType[lostEvents](err); lost {
			v.loop.Logger.Error(err, "Watch has lost events, listing")
			s.cancel(err)
			return
		}
		switch {
		case errors.Is(err, failure.ErrNewHistory), errors.Is(err, failure.ErrStalled):
			s.cancel(err)
			return
		case err != nil:
			v.failed(err, time.Since(began))
		default:
			v.trouble = ""
		}
	}
}

// failed reports a verification that was refused or not answered. A trouble is logged once,
// not at every attempt. The watch goes on.
func (v *verifier) failed(err error, took time.Duration) {
	if asked := time.Now().Add(failure.ServerDelay(err)); v.due.Before(asked) {
		v.due = asked
	}
	if trouble := failure.Trouble(err); trouble != v.trouble {
		v.trouble = trouble
		v.loop.Logger.Info("Verification failed, trying again", "err", err, "delay", time.Until(v.due))
	}
	v.lock()
	defer v.unlock()
	v.loop.Report(Event{Kind: Refused, Took: took, Err: err})
}

// verify returns an error if events were lost, if the stream is behind the server (ErrStalled),
// if the server has begun a new history, or if it does not list.
//
// An exact list shows each loss up to its version. The server is therefore asked for the
// version of an event or a bookmark that has just come: that version is not older than the
// loss of an event before. If none comes, or if the server does not list the version, the
// most recent list is compared, once the watch has reached its version. A stream that does not
// reach it is given up like a silent stream, and the next stream brings the events after the
// version held. If a pod still differs at the next verification, its event is lost.
func (v *verifier) verify(ctx context.Context) error {
	// The time is counted from due, because another stream may have begun to wait.
	fresh := v.ledger.awaitEvent(ctx, time.Until(v.due)+verifyWait)
	version := v.ledger.begin()
	defer v.ledger.end()
	listed, err := v.list(ctx, version, fresh)
	if err != nil {
		return err
	}
	if rv.Older(listed.resourceVersion, version) {
		return failure.ErrNewHistory
	}
	changes := v.ledger.compare(listed.pods)
	reached := true
	if len(changes) > 0 && listed.resourceVersion != version {
		reached = v.await(ctx, listed.resourceVersion)
		changes = v.ledger.compare(listed.pods)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	behind := v.behind
	v.behind = nil
	switch {
	case len(changes) == 0:
	case reached, slices.ContainsFunc(changes, func(c podChange) bool { _, again := behind[c.podKey]; return again }):
		return lostEvents(changes)
	default:
		v.behind = keysOf(changes)
		return fmt.Errorf("%w: after %v it lacks what a list shows: pod %s %s", failure.ErrStalled, verifyWait, changes[0].NamespacedName, changes[0].what)
	}
	v.loop.Logger.V(4).Info("Verified", "pods", len(listed.pods), "resourceVersion", listed.resourceVersion)
	return nil
}

// await gives the events up to a version the time to arrive, and reports whether they have.
func (v *verifier) await(ctx context.Context, version string) bool {
	if v.loop.fake { // without versions by which to wait
		return sleep.For(ctx, verifyWait)
	}
	return v.ledger.awaitVersion(ctx, version, verifyWait)
}

func keysOf(changes []podChange) podKeys {
	keys := podKeys{}
	for _, c := range changes {
		keys[c.podKey] = struct{}{}
	}
	return keys
}

// versionList are the versions of the selected pods at a resource version.
type versionList struct {
	pods            podVersions
	resourceVersion string
}

// list lists at a version if exact is true and the server can, or else the most recent state.
func (v *verifier) list(ctx context.Context, version string, exact bool) (versionList, error) {
	recent := metav1.ListOptions{LabelSelector: v.loop.Selector, Limit: verifyPageSize}
	if exact && version != "" && version != "0" {
		options := recent
		options.ResourceVersion, options.ResourceVersionMatch = version, metav1.ResourceVersionMatchExact
		listed, err := v.pages(ctx, options)
		if err == nil || !failure.MayConcernVersion(err) {
			return listed, err
		}
		v.loop.Logger.V(4).Info("No metadata at the version held, listing the most recent", "err", err, "resourceVersion", version)
	}
	listed, err := v.pages(ctx, recent)
	if apierrors.IsResourceExpired(err) && recent.Limit > 0 { // the history is too short for pages
		recent.Limit = 0
		return v.pages(ctx, recent)
	}
	return listed, err
}

// pages lists all pages.
func (v *verifier) pages(ctx context.Context, options metav1.ListOptions) (versionList, error) {
	listed := versionList{pods: podVersions{}}
	for {
		page, err := v.page(ctx, options)
		if err != nil {
			return listed, v.loop.failed(failure.ListMetadata, err)
		}
		if v.loop.Shard != nil {
			maps.DeleteFunc(page.pods, func(key podKey, _ string) bool { return !v.loop.Shard.Owns(key.Namespace) })
		}
		maps.Copy(listed.pods, page.pods)
		listed.resourceVersion = page.ResourceVersion
		if page.Continue == "" {
			return listed, nil
		}
		options.Continue, options.ResourceVersion, options.ResourceVersionMatch = page.Continue, "", ""
	}
}

func (v *verifier) page(ctx context.Context, options metav1.ListOptions) (*versionPage, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, openTimeout, failure.NoAnswerWithin(openTimeout))
	defer cancel()
	list := func() (*versionPage, error) { return v.loop.pods.Metadata(ctx, options) }
	return request(ctx, list, func(*versionPage) {})
}
