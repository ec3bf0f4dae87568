// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/executorpods/watchsource/internal/failure"
)

const (
	// A server in trouble is asked again after firstDelay, then after
	// delayFactor times as long each time, up to maxDelay. Each delay gets up to
	// delayJitter of itself on top, so that the clients of a server that comes
	// back do not all come back at once.
	firstDelay  = 500 * time.Millisecond
	delayFactor = 1.6
	maxDelay    = 30 * time.Second
	delayJitter = 0.5

	// maxRefusedDelay caps the delay (plus jitter) after a 401 or 403. The
	// server is healthy and such answers are cheap, and the operator who fixes
	// the token or the role is probably waiting.
	maxRefusedDelay = 10 * time.Second

	// steadyAge is the age from which a stream shows that the server is well, even
	// if it brought nothing: a proxy that cuts streams every few seconds is no
	// reason to stay away.
	steadyAge = time.Second
	// Streams that end before steadyAge and bring nothing are a sign that the
	// server has lost the version they start from: some servers and proxies then
	// close the stream in good order (fabric8 kubernetes-client, issue 7896).
	// After maxEmptyStreams of them in a row the loop lists.
	maxEmptyStreams = 4
	// maxStalls streams in a row that stay silent until they are given up cost a
	// list: the server may accept a version from which nothing ever comes.
	maxStalls = 2
	// maxRefusals answers in a row that neither ask to come later nor name a
	// missing right cost a list: the server may refuse the version in its own
	// words (kubernetes issue 139485).
	maxRefusals = 3

	// The first attempt after a stream that reached steadyAge is made at once.
	// After a younger stream it is made at once as long as this budget lasts. It
	// gains one attempt every immediateRefill.
	maxImmediate    = 3
	immediateRefill = 10 * time.Second

	// relistResetAge is how long no relist must have been decided on for the
	// next one to be immediate again.
	relistResetAge = time.Minute
)

// retryPolicy decides what the loop does after a stream has ended or a request
// was refused. It does no I/O and reads no clock.
type retryPolicy struct {
	attempts wait.Backoff // delays between attempts at a server in trouble
	relists  wait.Backoff // delays between relists
	relisted time.Time    // when the last relist was decided on, or is due

	emptyStreams int // in a row
	stalls       int // streams in a row that were given up without a byte
	refusals     int // in a row, of the kind that costs a list

	immediate       int       // attempts left that need no delay
	immediateFilled time.Time // up to when the budget was refilled

	unverified    bool      // a stream broke, so the server may be another one
	silenceListed time.Time // when silence last cost a list

	contact contact
	cuts    cuts
}

// A nextStep is what the loop does next, after delay.
type nextStep struct {
	relist bool // list; otherwise resume from the version held
	check  bool // compare the server's version with the one held before resuming
	delay  time.Duration
}

// A streamEnd is how a stream ended.
type streamEnd struct {
	err        error         // nil in good order
	age        time.Duration // since it was opened
	asked      time.Duration // since it was requested
	silence    time.Duration // since the last event or bookmark, or since it was requested
	timeout    time.Duration // after which the server was asked to end it
	progressed bool          // the version to resume from has moved
	received   bool          // an event or a bookmark came
	bookmark   bool          // a bookmark came
	heldBack   bool          // a proxy holds answers back until the first event
}

// asAsked reports whether the server ended the stream in good order when it
// was asked to. This shows that the server can still be heard.
func (e streamEnd) asAsked() bool {
	return e.err == nil && e.asked > 0 && e.asked >= e.timeout-time.Second
}

func (e streamEnd) heard() bool { return e.received || e.asAsked() }

func newRetryPolicy(now time.Time) *retryPolicy {
	return &retryPolicy{attempts: newBackoff(), relists: newBackoff(), immediate: maxImmediate, immediateFilled: now}
}

func newBackoff() wait.Backoff {
	return wait.Backoff{Duration: firstDelay, Factor: delayFactor, Jitter: delayJitter, Steps: 1 << 30, Cap: maxDelay}
}

// silent reports whether the last stream was given up because nothing came.
// The next one is then asked to end soon, because its end is a sign of life.
func (p *retryPolicy) silent() bool { return p.stalls > 0 }

// listed notes a complete list.
func (p *retryPolicy) listed(now time.Time, version string) {
	p.stalls = 0
	p.unverified = false
	p.contact.received(now, version)
}

// checked notes that the server has the version held.
func (p *retryPolicy) checked(now time.Time, version string) {
	p.unverified = false
	p.contact.answered(now, version)
}

// afterStream decides after a stream that was accepted has ended.
func (p *retryPolicy) afterStream(now time.Time, end streamEnd) nextStep {
	outage := p.endsOutage(end)
	p.cuts.ended(now, end)
	p.count(end)
	_, lost := errors.AsType[lostEvents](end.err)
	switch {
	case lost:
		return p.relist(now, end.err)
	case failure.VersionGone(end.err), errors.Is(end.err, failure.ErrNotUnderstood), errors.Is(end.err, failure.ErrNewHistory):
		return p.relist(now, end.err)
	case p.emptyStreams >= maxEmptyStreams:
		p.emptyStreams = 0
		return p.relist(now, end.err)
	case p.stalls >= maxStalls && now.Sub(p.silenceListed) >= silenceCheckInterval:
		p.silenceListed = now
		return p.relist(now, end.err)
	}
	return nextStep{check: outage || p.checkDue(now, end), delay: p.resumeDelay(now, end)}
}

// endsOutage reports whether the end of a stream is that of an outage. A server asks to come
// later in an ERROR event, or ends all streams in good order before it is asked to:
// kube-apiserver does if its database was put back, and then accepts the version held although
// it has not reached it. A proxy that ends streams in this way does it at one age.
func (p *retryPolicy) endsOutage(end streamEnd) bool {
	if failure.AsksToWait(end.err) {
		return true
	}
	return end.err == nil && !end.asAsked() && !p.cuts.isKnown(end)
}

// count updates the rows of streams of one kind.
func (p *retryPolicy) count(end streamEnd) {
	p.refusals = 0
	if end.age >= steadyAge || end.progressed {
		p.attempts = newBackoff()
	}
	stalled := errors.Is(end.err, failure.ErrStalled)
	switch {
	case stalled && end.received:
		p.stalls = 1
	case stalled:
		p.stalls++
	case end.heard():
		p.stalls = 0
	}
	if end.progressed || stalled || end.age >= steadyAge || end.asAsked() {
		p.emptyStreams = 0
	} else {
		p.emptyStreams++
	}
	if !end.asAsked() && !stalled {
		p.unverified = true
	}
}

// checkDue reports whether a stream that brought nothing is a reason to compare
// versions: a server that was restored from a backup accepts a watch from a
// version that it has not reached yet, and sends nothing until it has.
func (p *retryPolicy) checkDue(now time.Time, end streamEnd) bool {
	if end.received || !end.asAsked() && !errors.Is(end.err, failure.ErrStalled) {
		return false
	}
	return p.unverified || !p.contact.mayResume(now)
}

func (p *retryPolicy) resumeDelay(now time.Time, end streamEnd) time.Duration {
	_, asked := apierrors.SuggestsClientDelay(end.err)
	if !asked && (end.age >= steadyAge || p.takeImmediate(now)) {
		return 0
	}
	return p.attemptDelay(end.err)
}

// takeImmediate takes one attempt from the budget, if there is one.
func (p *retryPolicy) takeImmediate(now time.Time) bool {
	if gained := int(now.Sub(p.immediateFilled) / immediateRefill); gained > 0 {
		p.immediate = min(p.immediate+gained, maxImmediate)
		p.immediateFilled = p.immediateFilled.Add(time.Duration(gained) * immediateRefill)
	}
	if p.immediate == 0 {
		return false
	}
	p.immediate--
	return true
}

// afterRefusal decides after a list or a watch was refused, or not answered.
func (p *retryPolicy) afterRefusal(now time.Time, err error) nextStep {
	if failure.VersionGone(err) {
		return p.relist(now, err)
	}
	p.unverified = true
	// A server that was away, or asks to come later, may come back restored from a
	// backup. That it has a new history shows only until its versions pass the one
	// held.
	away := !failure.Answered(err) || failure.AsksToWait(err) && !failure.MayConcernVersion(err)
	step := nextStep{check: away, delay: p.attemptDelay(err)}
	if !failure.MayConcernVersion(err) {
		return step
	}
	if p.refusals++; p.refusals < maxRefusals {
		return step
	}
	p.refusals = 0
	relist := p.relist(now, err)
	relist.delay = max(relist.delay, step.delay)
	return relist
}

// relist spaces lists out, whatever happens between them. The first one for
// some time is immediate, because a lost version is no trouble of the server.
func (p *retryPolicy) relist(now time.Time, err error) nextStep {
	var delay time.Duration
	if now.Sub(p.relisted) >= relistResetAge {
		p.relists = newBackoff()
	} else {
		delay = p.relists.Step()
	}
	delay = max(delay, failure.ServerDelay(err))
	p.relisted = now.Add(delay)
	return nextStep{relist: true, delay: delay}
}

// attemptDelay returns how long to wait after err, longer if the server asks
// for it.
func (p *retryPolicy) attemptDelay(err error) time.Duration {
	d := p.attempts.Step()
	if failure.LacksRights(err) {
		d = min(d, wait.Jitter(maxRefusedDelay, delayJitter))
	}
	return max(d, failure.ServerDelay(err))
}
