// SPDX-License-Identifier: Apache-2.0

// Package retry decides what the list/watch loop does after a watch has ended or a request was
// refused. It does no I/O and reads no clock.
package retry

import (
	"errors"
	"slices"
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

// A Policy decides what the loop does after a stream has ended or a request
// was refused.
type Policy struct {
	Contact Contact
	Cuts    Cuts

	// attempts has the delays between attempts at a server in trouble, and relists those between relists.
	attempts, relists wait.Backoff
	// relisted is when the last relist was decided on, or is due.
	relisted time.Time

	// emptyStreams counts the streams in a row that ended young and brought nothing.
	emptyStreams int
	// stalls counts the streams in a row that were given up without a byte.
	stalls int
	// refusals counts the refusals in a row of the kind that costs a list.
	refusals int

	// immediate is the number of attempts left that need no delay. It was refilled for the time up to immediateFilled.
	immediate       int
	immediateFilled time.Time

	// unverified is set if a stream broke, so that the server may be another one.
	unverified bool
	// checked is set if the server's version was checked, and no watch has opened since that may show more.
	checked bool
	// silenceListed is when silence last cost a list.
	silenceListed time.Time
}

// A Step is what the loop does next.
type Step struct {
	// Relist says to list. Otherwise the loop resumes from the version held.
	Relist bool
	// Check says to compare the server's version with the one held before resuming.
	Check bool
	// Delay is how long the loop waits before that.
	Delay time.Duration
}

// NewPolicy returns the policy of a loop that begins at a time.
func NewPolicy(now time.Time) *Policy {
	return &Policy{attempts: newBackoff(), relists: newBackoff(), immediate: maxImmediate, immediateFilled: now}
}

func newBackoff() wait.Backoff {
	return wait.Backoff{Duration: firstDelay, Factor: delayFactor, Jitter: delayJitter, Steps: 1 << 30, Cap: maxDelay}
}

// Silent reports whether the last stream was given up because nothing came.
// The next one is then asked to end soon, because its end is a sign of life.
func (p *Policy) Silent() bool { return p.stalls > 0 }

// Listed notes a complete list.
func (p *Policy) Listed(now time.Time, version string) {
	p.stalls = 0
	p.unverified, p.checked = false, false
	p.Contact.Received(now, version)
}

// Checked notes that the server has the version held.
func (p *Policy) Checked(now time.Time, version string) {
	p.unverified, p.checked = false, true
	p.Contact.Answered(now, version)
}

// Resumed reports whether a watch that is resumed shows that the server sees the pods and can say
// so: its version was checked, and the watch before did not stay silent.
func (p *Policy) Resumed(now time.Time) bool {
	if p.Silent() {
		return false
	}
	checked := p.checked
	p.checked = false
	return checked || p.Contact.vouchedAt(now)
}

// AfterStream decides after a stream that was accepted has ended.
func (p *Policy) AfterStream(now time.Time, end StreamEnd) Step {
	outage := p.endsOutage(end)
	p.Cuts.ended(now, end)
	p.count(end)
	switch {
	case failure.VersionGone(end.Err), isAny(end.Err, failure.ErrEventsLost, failure.ErrNotUnderstood, failure.ErrNewHistory):
		return p.relist(now, end.Err)
	case p.emptyStreams >= maxEmptyStreams:
		p.emptyStreams = 0
		return p.relist(now, end.Err)
	case p.stalls >= maxStalls && now.Sub(p.silenceListed) >= silenceCheckInterval:
		p.silenceListed = now
		return p.relist(now, end.Err)
	}
	return Step{Check: outage || p.checkDue(now, end), Delay: p.resumeDelay(now, end)}
}

// endsOutage reports whether the end of a stream is that of an outage. A server asks to come
// later in an ERROR event, or ends all streams in good order before it is asked to:
// kube-apiserver does if its database was put back, and then accepts the version held although
// it has not reached it. A proxy that ends streams in this way does it at one age.
func (p *Policy) endsOutage(end StreamEnd) bool {
	if failure.AsksToWait(end.Err) {
		return true
	}
	return end.Err == nil && !end.AsAsked() && !p.Cuts.isKnown(end)
}

// count updates the rows of streams of one kind.
func (p *Policy) count(end StreamEnd) {
	p.refusals = 0
	if end.Age >= steadyAge || end.Progressed {
		p.attempts = newBackoff()
	}
	stalled := errors.Is(end.Err, failure.ErrStalled)
	switch {
	case stalled && end.Received:
		p.stalls = 1
	case stalled:
		p.stalls++
	case end.heard():
		p.stalls = 0
	}
	if end.Progressed || stalled || end.Age >= steadyAge || end.AsAsked() {
		p.emptyStreams = 0
	} else {
		p.emptyStreams++
	}
	if !end.AsAsked() && !stalled {
		p.unverified = true
	}
}

// checkDue reports whether a stream that brought nothing is a reason to compare
// versions: a server that was restored from a backup accepts a watch from a
// version that it has not reached yet, and sends nothing until it has.
func (p *Policy) checkDue(now time.Time, end StreamEnd) bool {
	if end.Received || !end.AsAsked() && !errors.Is(end.Err, failure.ErrStalled) {
		return false
	}
	return p.unverified || !p.Contact.MayResume(now)
}

func (p *Policy) resumeDelay(now time.Time, end StreamEnd) time.Duration {
	_, asked := apierrors.SuggestsClientDelay(end.Err)
	if !asked && (end.Age >= steadyAge || p.takeImmediate(now)) {
		return 0
	}
	return p.attemptDelay(end.Err)
}

// takeImmediate takes one attempt from the budget, if there is one.
func (p *Policy) takeImmediate(now time.Time) bool {
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

// AfterRefusal decides after a list or a watch was refused, or not answered.
func (p *Policy) AfterRefusal(now time.Time, err error) Step {
	if failure.VersionGone(err) {
		return p.relist(now, err)
	}
	p.unverified = true
	// A server that was away, or asks to come later, may come back restored from a
	// backup. That it has a new history shows only until its versions pass the one
	// held.
	away := !failure.Answered(err) || failure.AsksToWait(err) && !failure.MayConcernVersion(err)
	step := Step{Check: away, Delay: p.attemptDelay(err)}
	if !failure.MayConcernVersion(err) {
		return step
	}
	if p.refusals++; p.refusals < maxRefusals {
		return step
	}
	p.refusals = 0
	relist := p.relist(now, err)
	relist.Delay = max(relist.Delay, step.Delay)
	return relist
}

// relist spaces lists out, whatever happens between them. The first one for
// some time is immediate, because a lost version is no trouble of the server.
func (p *Policy) relist(now time.Time, err error) Step {
	var delay time.Duration
	if now.Sub(p.relisted) >= relistResetAge {
		p.relists = newBackoff()
	} else {
		delay = p.relists.Step()
	}
	delay = max(delay, failure.ServerDelay(err))
	p.relisted = now.Add(delay)
	return Step{Relist: true, Delay: delay}
}

// attemptDelay returns how long to wait after err, longer if the server asks
// for it.
func (p *Policy) attemptDelay(err error) time.Duration {
	d := p.attempts.Step()
	if failure.LacksRights(err) {
		d = min(d, wait.Jitter(maxRefusedDelay, delayJitter))
	}
	return max(d, failure.ServerDelay(err))
}

func isAny(err error, causes ...error) bool {
	return slices.ContainsFunc(causes, func(cause error) bool { return errors.Is(err, cause) })
}
