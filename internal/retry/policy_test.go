// SPDX-License-Identifier: Apache-2.0

package retry

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource/internal/failure"
)

// begin is when the policies of these tests are made.
var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

var (
	errReset    = fmt.Errorf("read: %w", syscall.ECONNRESET)
	errInternal = apierrors.NewInternalError(errors.New("etcd"))
	errExpired  = apierrors.NewResourceExpired("too old")
	errBusy     = apierrors.NewTooManyRequests("later", 20)
	errDenied   = apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("RBAC"))
)

// A moment is one call of a policy and the decision that it must return.
type moment struct {
	// after is the time since the moment before.
	after time.Duration
	// stream is the stream that has ended. If it is nil, a request was refused with err.
	stream *StreamEnd
	err    error
	// listed says that a list has arrived first, failed that a check was not answered first, and
	// answer that one was.
	listed, failed, answer bool

	relist, check bool
	// The delay lies between min and max.
	min, max time.Duration
}

func ended(age time.Duration) *StreamEnd {
	return &StreamEnd{Age: age, Asked: age, Silence: age, Timeout: age, Received: true, Progressed: true}
}

func broken(err error, age time.Duration) *StreamEnd {
	return &StreamEnd{Err: err, Age: age, Asked: age, Silence: age, Timeout: 5 * time.Minute}
}

// quiet is a stream that ended when it was asked to, and brought nothing.
func quiet() *StreamEnd {
	return &StreamEnd{Age: 2 * time.Minute, Asked: 2 * time.Minute, Silence: 2 * time.Minute, Timeout: 2 * time.Minute}
}

// repeated returns n moments of one kind.
func repeated(n int, m moment) []moment {
	all := make([]moment, n)
	for i := range all {
		all[i] = m
	}
	return all
}

// The delays of the table that follows.
const first, longest = firstDelay, maxDelay * 3 / 2

// stall is a stream that was given up because nothing came.
var stall = broken(failure.ErrStalled, 150*time.Second)

// retries is the table of the policy.
var retries = []struct {
	name    string
	moments []moment
}{
	{name: "a stream that ends in good order is resumed at once", moments: []moment{
		{stream: ended(time.Minute)},
		{stream: ended(time.Minute)},
	}},
	{name: "a stream that lived for a second is resumed at once, however it ended", moments: append(
		repeated(20, moment{after: time.Second, stream: broken(errReset, time.Second)}),
		repeated(20, moment{after: time.Second, stream: broken(nil, time.Second)})..., // at the age of the cuts before
	)},
	{name: "an end in good order before it was asked for is checked", moments: []moment{
		{stream: broken(nil, time.Minute), check: true},
		{stream: broken(nil, time.Minute+time.Second)}, // a proxy cuts at one age
		{stream: broken(nil, 2*time.Minute), check: true},
		{stream: ended(time.Minute)},
	}},
	{name: "a refusal that asks to come later is checked", moments: []moment{
		{err: errBusy, check: true, min: 20 * time.Second, max: longest},
		{err: apierrors.NewServiceUnavailable("starting"), check: true, min: first, max: longest},
		{stream: broken(apierrors.NewServiceUnavailable("starting"), time.Minute), check: true},
	}},
	{name: "a young stream is resumed at once from a budget", moments: []moment{
		{stream: broken(errReset, time.Millisecond)},
		{stream: broken(errReset, time.Millisecond)},
		{stream: broken(errReset, time.Millisecond)},
		{stream: broken(errReset, time.Millisecond), relist: true}, // the fourth that brought nothing
		{stream: broken(errReset, time.Millisecond), min: first, max: first * 3 / 2},
		{after: immediateRefill, stream: broken(errReset, time.Millisecond)},
		{stream: broken(errReset, time.Millisecond), min: first, max: 3 * first},
	}},
	{name: "an error in a stream is no reason to list", moments: []moment{
		{stream: broken(errInternal, time.Minute)},
		{stream: broken(io.ErrUnexpectedEOF, time.Minute)},
		{stream: broken(errBusy, time.Minute), check: true, min: 20 * time.Second, max: 20 * time.Second},
	}},
	{name: "a version that is gone costs a list at once, the next ones are spaced", moments: []moment{
		{stream: broken(errExpired, time.Minute), relist: true},
		{stream: broken(errExpired, time.Minute), relist: true, min: first, max: first * 3 / 2},
		{err: errExpired, relist: true, min: first, max: first * 3},
		{after: 2 * time.Minute, err: errExpired, relist: true},
	}},
	{name: "progress does not bring lists closer", moments: []moment{
		{stream: &StreamEnd{Err: errExpired, Age: time.Minute, Received: true, Progressed: true}, relist: true},
		{stream: &StreamEnd{Err: errExpired, Age: time.Minute, Received: true, Progressed: true}, relist: true, min: first, max: first * 3 / 2},
	}},
	{name: "a new history and an answer that is not understood cost a list", moments: []moment{
		{stream: broken(failure.ErrNewHistory, time.Minute), relist: true},
		{after: time.Hour, stream: broken(failure.ErrNotUnderstood, time.Minute), relist: true},
	}},
	{name: "the second stall in a row costs a list, once in five minutes", moments: []moment{
		{stream: stall},
		{stream: stall, relist: true},
		{listed: true, stream: stall},
		{stream: stall},
		{after: 5 * time.Minute, stream: stall, relist: true},
	}},
	{name: "a stall counts although something came before it", moments: []moment{
		{stream: stall},
		{stream: &StreamEnd{Err: failure.ErrStalled, Age: time.Hour, Timeout: 2 * time.Hour, Received: true}},
		{stream: stall, relist: true},
	}},
	{name: "a stall after a sign of life costs none", moments: []moment{
		{stream: stall},
		{stream: quiet()},
		{stream: stall},
		{stream: ended(5 * time.Minute)},
		{stream: stall},
	}},
	{name: "silence is checked at once, and after an answer every five minutes", moments: []moment{
		{stream: quiet()},
		{after: 3 * time.Minute, stream: quiet(), check: true},
		{answer: true, after: 2 * time.Minute, stream: quiet()},
		{after: 2 * time.Minute, stream: quiet()},
		{after: 4 * time.Minute, stream: quiet(), check: true},
		{listed: true, stream: quiet()},
	}},
	{name: "a server that sends bookmarks is checked at once when they cease", moments: []moment{
		{after: 3 * time.Minute, stream: quiet(), check: true},
		{answer: true, stream: ended(time.Minute)},
		{after: 6 * time.Minute, stream: ended(time.Minute)},
		{after: time.Minute, stream: ended(time.Minute)},
		{after: time.Minute, stream: ended(time.Minute)},
		{after: 3 * time.Minute, stream: quiet(), check: true},
	}},
	{name: "so is a server that did not answer before", moments: []moment{
		{after: 3 * time.Minute, stream: quiet(), check: true},
		{failed: true, answer: true, stream: quiet()},
		{after: 3 * time.Minute, stream: quiet(), check: true},
	}},
	{name: "silence after a stream that broke is checked", moments: []moment{
		{stream: broken(errReset, time.Minute)},
		{stream: quiet(), check: true},
	}},
	{name: "a stall after a refusal is checked", moments: []moment{
		{err: errReset, check: true, min: first, max: first * 3 / 2},
		{stream: stall, check: true},
	}},
	{name: "a server that is away is asked less and less often, for ever", moments: append(
		append([]moment{{err: syscall.ECONNREFUSED, check: true, min: first, max: first * 3 / 2}},
			repeated(9, moment{err: syscall.ECONNREFUSED, check: true, min: first, max: longest})...),
		repeated(100, moment{err: syscall.ECONNREFUSED, check: true, min: maxDelay, max: longest})...,
	)},
	{name: "the third answer that may concern the version costs a list", moments: []moment{
		{err: errInternal, min: first, max: longest},
		{err: errDenied, min: first, max: longest},
		{err: errReset, check: true, min: first, max: longest},
		{err: errBusy, check: true, min: 20 * time.Second, max: longest},
		{err: apierrors.NewBadRequest("version"), min: first, max: longest},
		{err: errInternal, relist: true, min: first, max: longest},
		{err: errInternal, min: first, max: longest},
	}},
	{name: "a stream between them begins a new row", moments: []moment{
		{err: errInternal, min: first, max: longest},
		{err: errInternal, min: first, max: longest},
		{stream: ended(time.Minute)},
		{err: errInternal, min: first, max: longest},
		{err: errInternal, min: first, max: longest},
	}},
	{name: "a gateway is no API server", moments: repeated(6, moment{
		err: apierrors.NewGenericServerResponse(502, "get", corev1.Resource("pods"), "", "<html>", 0, true), check: true, min: first, max: longest,
	})},
	{name: "a server's delay is bounded", moments: []moment{
		{err: apierrors.NewTooManyRequests("never", 1<<31-1), check: true, min: failure.MaxServerDelay, max: failure.MaxServerDelay},
		{stream: broken(apierrors.NewTooManyRequests("never", 1<<31-1), time.Minute), check: true, min: failure.MaxServerDelay, max: failure.MaxServerDelay},
	}},
	{name: "a missing right is asked for again soon", moments: repeated(30, moment{err: errDenied, min: first, max: maxRefusedDelay * 3 / 2})},
}

func TestRetryPolicy(t *testing.T) {
	for _, test := range retries {
		t.Run(test.name, func(t *testing.T) {
			now := begin
			p := NewPolicy(now)
			p.Checked(now, "1")
			for i, m := range test.moments {
				now = now.Add(m.after)
				if m.listed {
					p.Listed(now, "1")
				}
				if m.failed {
					p.Contact.Failed()
				}
				if m.answer {
					p.Checked(now, "1")
				}
				var got Step
				if m.stream != nil && m.stream.Received {
					p.Contact.Bookmark(now, strconv.Itoa(i+2))
				}
				if m.stream != nil {
					got = p.AfterStream(now, *m.stream)
				} else {
					got = p.AfterRefusal(now, m.err)
				}
				if got.Relist != m.relist || got.Check != m.check || got.Delay < m.min || got.Delay > m.max {
					t.Errorf("moment %d: %+v, want relist %v, check %v and a delay of %v to %v", i+1, got, m.relist, m.check, m.min, m.max)
				}
			}
		})
	}
}

// A version that is too large may be reached soon, so that the first refusals are
// no reason to list, although the server answers.
func TestVersionTooLarge(t *testing.T) {
	err := apierrors.NewTimeoutError("Too large resource version", 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge}}
	p := NewPolicy(begin)
	for i := range 2 * maxRefusals {
		got := p.AfterRefusal(begin, err)
		if want := (i+1)%maxRefusals == 0; got.Relist != want || got.Delay < time.Second {
			t.Errorf("refusal %d: %+v, want relist %v after a second at the least", i+1, got, want)
		}
	}
}
