// SPDX-License-Identifier: Apache-2.0

// Package verification compares what a watch has brought with lists of metadata, and finds events
// that were lost.
package verification

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/podclient"
	"github.com/executorpods/watchsource/internal/podmeta"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/internal/request"
	"github.com/executorpods/watchsource/internal/rv"
	"github.com/executorpods/watchsource/internal/shard"
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

// A Config says how a [Verifier] works.
type Config struct {
	// Every is the time between two verifications.
	Every  time.Duration
	Client podclient.Client
	// Fake is set for a client without a server. Its versions cannot be compared, and it ignores the selector of a watch.
	Fake      bool
	Namespace string
	Selector  string
	// Shard has the namespaces of the pods. It is nil for all.
	Shard  *shard.Range
	Logger logr.Logger
	// Refused is called with the error of a verification and its time. No call overlaps one of a function that [Verifier.Do] calls.
	Refused func(err error, took time.Duration)
	// Verified is called in the same way after a verification that has found no difference.
	Verified func()
}

// A Verifier compares what the sink of a loop has received with lists of metadata. It works beside
// the goroutine of the loop while a stream is open. The methods of a nil Verifier verify nothing.
type Verifier struct {
	// Fixed after New. calls holds a token while a function of the user is called: a mutex would
	// stop the clock of a synctest bubble.
	config Config
	ledger ledger
	calls  chan struct{}

	// Owned by the goroutine of the loop, and by the goroutine of the verifier while a stream is open.

	// due is when the next verification begins.
	due time.Time
	// trouble is the last one in the log, "" for none.
	trouble string
	// behind has the pods for which the last stream was given up.
	behind podKeys
}

// New returns nil if the configuration says that nothing is verified.
func New(c Config) *Verifier {
	if c.Every <= 0 {
		return nil
	}
	v := &Verifier{config: c, calls: make(chan struct{}, 1)}
	if c.Fake {
		v.ledger.selector, _ = labels.Parse(c.Selector)
	}
	return v
}

// Do calls a function that calls the sink or reports, so that two of them do not overlap.
func (v *Verifier) Do(call func()) {
	if v != nil {
		v.calls <- struct{}{}
		defer func() { <-v.calls }()
	}
	call()
}

// Listed notes a complete list, which is as good as a verification.
func (v *Verifier) Listed(pods []*podwire.Pod, resourceVersion string) {
	if v != nil {
		v.ledger.replace(pods, v.ordered(resourceVersion))
		v.due = time.Now().Add(v.config.Every)
		v.behind = nil
	}
}

// Received notes an event that the sink has received, and the version that the sink is at since
// then.
func (v *Verifier) Received(event watch.Event, resourceVersion string) {
	if v != nil {
		v.ledger.receive(event, v.ordered(resourceVersion))
	}
}

// ordered returns a resource version, or "" for that of a fake, because those cannot be compared.
func (v *Verifier) ordered(resourceVersion string) string {
	if v.config.Fake {
		return ""
	}
	return resourceVersion
}

// Start verifies while a stream is open, until the function that it returns is called or ctx
// ends. If events were lost, it gives the stream up with an error that says so.
func (v *Verifier) Start(ctx context.Context, giveUp func(error)) (stop func()) {
	if v == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		v.run(ctx, giveUp)
	}()
	return func() {
		cancel()
		<-done
	}
}

func (v *Verifier) run(ctx context.Context, giveUp func(error)) {
	for sleep.For(ctx, time.Until(v.due)) {
		began := time.Now()
		err := v.verify(ctx)
		if ctx.Err() != nil {
			return // the next stream begins with a verification
		}
		v.due = v.due.Add(v.config.Every)
		if now := time.Now(); v.due.Before(now) {
			v.due = now
		}
		switch {
		case errors.Is(err, failure.ErrEventsLost):
			v.config.Logger.Error(err, "Watch has lost events, listing")
			giveUp(err)
			return
		case errors.Is(err, failure.ErrNewHistory), errors.Is(err, failure.ErrStalled):
			giveUp(err)
			return
		case err != nil:
			v.failed(err, time.Since(began))
		default:
			v.trouble = ""
			v.Do(v.config.Verified)
		}
	}
}

// failed reports a verification that was refused or not answered. A trouble is logged once,
// not at every attempt. The watch goes on.
func (v *Verifier) failed(err error, took time.Duration) {
	if asked := time.Now().Add(failure.ServerDelay(err)); v.due.Before(asked) {
		v.due = asked
	}
	if trouble := failure.Trouble(err); trouble != v.trouble {
		v.trouble = trouble
		v.config.Logger.Info("Verification failed, trying again", "err", err, "delay", time.Until(v.due))
	}
	v.Do(func() { v.config.Refused(err, took) })
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
func (v *Verifier) verify(ctx context.Context) error {
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
	case reached, slices.ContainsFunc(changes, func(c podChange) bool { _, again := behind[c.Key]; return again }):
		return lostEvents(changes)
	default:
		v.behind = keysOf(changes)
		return fmt.Errorf("%w: after %v it lacks what a list shows: pod %s %s", failure.ErrStalled, verifyWait, changes[0].NamespacedName, changes[0].what)
	}
	v.config.Logger.V(4).Info("Verified", "pods", len(listed.pods), "resourceVersion", listed.resourceVersion)
	return nil
}

// await gives the events up to a version the time to arrive, and reports whether they have.
func (v *Verifier) await(ctx context.Context, version string) bool {
	if v.config.Fake { // without versions by which to wait
		return sleep.For(ctx, verifyWait)
	}
	return v.ledger.awaitVersion(ctx, version, verifyWait)
}

func keysOf(changes []podChange) podKeys {
	keys := podKeys{}
	for _, c := range changes {
		keys[c.Key] = struct{}{}
	}
	return keys
}

// versionList are the versions of the selected pods at a resource version.
type versionList struct {
	pods            podmeta.Versions
	resourceVersion string
}

// list lists at a version if exact is true and the server can, or else the most recent state.
func (v *Verifier) list(ctx context.Context, version string, exact bool) (versionList, error) {
	recent := metav1.ListOptions{LabelSelector: v.config.Selector, Limit: verifyPageSize}
	if exact && version != "" && version != "0" {
		options := recent
		options.ResourceVersion, options.ResourceVersionMatch = version, metav1.ResourceVersionMatchExact
		listed, err := v.pages(ctx, options)
		if err == nil || !failure.MayConcernVersion(err) {
			return listed, err
		}
		v.config.Logger.V(4).Info("No metadata at the version held, listing the most recent", "err", err, "resourceVersion", version)
	}
	listed, err := v.pages(ctx, recent)
	if apierrors.IsResourceExpired(err) && recent.Limit > 0 { // the history is too short for pages
		recent.Limit = 0
		return v.pages(ctx, recent)
	}
	return listed, err
}

// pages lists all pages.
func (v *Verifier) pages(ctx context.Context, options metav1.ListOptions) (versionList, error) {
	listed := versionList{pods: podmeta.Versions{}}
	for {
		page, err := v.page(ctx, options)
		if err != nil {
			return listed, &failure.RequestError{Kind: failure.ListMetadata, Namespace: v.config.Namespace, Err: err}
		}
		if v.config.Shard != nil {
			maps.DeleteFunc(page.Pods, func(key podmeta.Key, _ string) bool { return !v.config.Shard.Owns(key.Namespace) })
		}
		maps.Copy(listed.pods, page.Pods)
		listed.resourceVersion = page.ResourceVersion
		if page.Continue == "" {
			return listed, nil
		}
		options.Continue, options.ResourceVersion, options.ResourceVersionMatch = page.Continue, "", ""
	}
}

func (v *Verifier) page(ctx context.Context, options metav1.ListOptions) (*podmeta.Page, error) {
	return request.Do(ctx, podclient.AnswerTimeout, func(ctx context.Context) (*podmeta.Page, error) { return v.config.Client.Metadata(ctx, options) })
}
