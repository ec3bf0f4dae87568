// SPDX-License-Identifier: Apache-2.0

// Package podwatch opens watches of pods, and gives up those that have stalled.
//
// An [Opener] opens a [Stream], and a [Checker] asks beside it whether the server still has its
// store.
package podwatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource/internal/failure"
	"github.com/executorpods/watchsource/internal/podclient"
	"github.com/executorpods/watchsource/internal/request"
	"github.com/executorpods/watchsource/internal/retry"
)

const (
	// A watch is asked to end after a random time between these, client-go's
	// own, so that the watches of many clients spread over the API servers.
	minWatchTimeout = 5 * time.Minute
	MaxWatchTimeout = 10 * time.Minute

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

// A Config says which watches an [Opener] opens.
type Config struct {
	Client podclient.Client
	// Fake is set for a client without a server, whose watch cannot stall.
	Fake      bool
	Namespace string
	Selector  string
	// StallTimeout is how long a stream may be silent, 0 for the default.
	StallTimeout time.Duration
	Policy       *retry.Policy
	Checker      *Checker
}

// An Opener opens watches. The goroutine of the loop owns it.
type Opener struct {
	config Config
	proxy  proxy
	// bookmarks is set if the server sends bookmarks regularly.
	bookmarks bool
}

// NewOpener returns an opener that knows nothing of the server yet.
func NewOpener(c Config) *Opener {
	if c.StallTimeout <= 0 {
		c.StallTimeout = defaultStallTimeout
	}
	return &Opener{config: c, proxy: proxy{checker: c.Checker, policy: c.Policy}}
}

// Watch opens a stream from a resource version. If mayBeHeld is set, the stream may be taken for
// open before it is answered.
func (o *Opener) Watch(ctx context.Context, resourceVersion string, mayBeHeld bool) (*Stream, error) {
	s, err := o.open(ctx, o.timeout(), podclient.AnswerTimeout, mayBeHeld, metav1.ListOptions{
		ResourceVersion:     resourceVersion,
		AllowWatchBookmarks: true,
	})
	if err == nil {
		s.From, s.Probe = resourceVersion, o.config.Policy.Silent()
	}
	return s, err
}

// WatchList opens a stream that begins with every selected pod. The answer must come within
// patience.
func (o *Opener) WatchList(ctx context.Context, patience time.Duration) (*Stream, error) {
	return o.open(ctx, o.longestTimeout(), patience, false, metav1.ListOptions{
		SendInitialEvents:    new(true),
		ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
		AllowWatchBookmarks:  true,
	})
}

// open requests a stream that the server is asked to end after timeout.
func (o *Opener) open(ctx context.Context, timeout, patience time.Duration, mayBeHeld bool, options metav1.ListOptions) (*Stream, error) {
	timeout = timeout.Truncate(time.Second) // the request has whole seconds
	options.TimeoutSeconds = new(int64(timeout.Seconds()))
	options.LabelSelector = o.config.Selector

	ctx, cancel := context.WithCancelCause(ctx)
	limit := time.AfterFunc(patience, func() { cancel(failure.NoAnswerWithin(patience)) })
	defer limit.Stop()
	began := time.Now()
	pending := request.Send(ctx, func(ctx context.Context) (podclient.Events, error) { return o.config.Client.Watch(ctx, options) })
	var opened podclient.Events
	var held bool
	var err error
	if mayBeHeld && !o.config.Fake {
		opened, held, err = o.proxy.answer(&lateEvents{namespace: o.config.Namespace, pending: pending, ctx: ctx, cancel: cancel}, options.ResourceVersion)
	} else {
		opened, err = pending.Answer()
	}
	if err != nil {
		cancel(nil)
		return nil, &failure.RequestError{Kind: failure.WatchPods, Namespace: o.config.Namespace, Err: err}
	}
	s := newStream(ctx, cancel, opened, timeout)
	s.Requested, s.Held = began, held
	if held {
		s.Opened = began
	}
	return s, nil
}

// timeout draws the time after which the server is asked to end a watch.
func (o *Opener) timeout() time.Duration {
	timeout := o.longestTimeout()
	switch {
	case o.config.Policy.Silent():
		return probeTimeout
	case !o.bookmarks && !o.config.Fake:
		quiet := time.Duration(quietWatchPart * float64(o.config.StallTimeout))
		return max(min(quiet, timeout), time.Second)
	default:
		return timeout
	}
}

// longestTimeout draws the time after which the server is asked to end a watch that nothing
// but a cut will end before.
func (o *Opener) longestTimeout() time.Duration {
	timeout := minWatchTimeout + rand.N(MaxWatchTimeout-minWatchTimeout)
	if bound := o.config.Policy.Cuts.Bound(); bound > 0 {
		return min(bound, timeout)
	}
	return timeout
}

// Patience returns how long a stream may be silent before it is given up. Its connection may look
// alive all the time, as behind a proxy.
func (o *Opener) Patience(s *Stream) time.Duration {
	switch {
	case o.config.Fake:
		return NoLimit
	case s.Probe:
		return s.Timeout + min(probeGrace, o.config.StallTimeout)
	default:
		return o.config.StallTimeout
	}
}

// Bookmark notes a bookmark of a stream.
func (o *Opener) Bookmark(s *Stream) {
	o.bookmarks = o.bookmarks || time.Since(s.Opened) < s.Timeout-lastBookmarkTime
}

// HoldsBack reports whether a proxy holds the answers to watches back until the first event.
func (o *Opener) HoldsBack() bool { return o.proxy.holdsBack }

// RefusedLate notes that a watch was refused that had been taken for open, at a time after the
// request.
func (o *Opener) RefusedLate(after time.Duration) { o.proxy.refusedLate = min(after, maxRefusedLate) }

// Ended notes the end of a stream that was accepted. quietAtFirst is the time from its opening to
// its first event, or to its end: a stream that was answered at once, and was quiet after that,
// shows that nothing holds answers back.
func (o *Opener) Ended(s *Stream, quietAtFirst time.Duration, err error) {
	o.proxy.refusedLate = 0
	if errors.Is(err, failure.ErrStalled) {
		o.bookmarks = false
	}
	if !s.Held && quietAtFirst >= headerPatience {
		o.proxy.holdsBack = false
	}
}
