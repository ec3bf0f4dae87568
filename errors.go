// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	// ErrAlreadyStarted says that the source is watching, or is about to: one
	// source watches one application at a time. Stop it first, or make another.
	ErrAlreadyStarted = errors.New("watchsource: already started, call Stop before another Start")

	// ErrInvalidAppID says that an application id is empty or cannot be the
	// value of a label.
	ErrInvalidAppID = errors.New("watchsource: invalid application id")

	// ErrStopped says that Stop ended a Start that was still waiting, or a wait
	// for a snapshot that will not come any more.
	ErrStopped = errors.New("watchsource: the source was stopped")
)

var (
	// errNotUnderstood is an answer that is not what was asked for.
	errNotUnderstood = errors.New("answer not understood")
	// errStalled is a stream that has been silent for too long.
	errStalled = errors.New("the watch went silent")
	// errBlind is a watch that ended in good order and was not replaced.
	errBlind = fmt.Errorf("the watch ended, and no other has opened for %v", blindness)
	// errListCut is a streaming list that ended before it was complete.
	errListCut = errors.New("the streaming list ended early")
	// errNoAnswer is a request that was not answered in time.
	errNoAnswer = fmt.Errorf("no answer within %v: %w", openTimeout, context.DeadlineExceeded)
	// errHungUp is a request whose connection was closed before the answer.
	errHungUp = fmt.Errorf("the connection was closed before an answer: %w", io.EOF)
	// errStartTimeout ends a Start that takes too long.
	errStartTimeout = errors.New("start timeout")
)

// requestError is what went wrong with one request to the API server, in words
// that tell an operator what to do. The cause stays reachable through Unwrap,
// so that apierrors.IsForbidden and its like recognise it.
type requestError struct {
	verb      string // list or watch
	namespace string // empty for all
	err       error
}

func (e *requestError) Error() string {
	msg := fmt.Sprintf("%s pods in %s: %v", e.verb, e.where(), e.err)
	if hint := e.hint(); hint != "" {
		msg += "; " + hint
	}
	return msg
}

func (e *requestError) Unwrap() error { return e.err }

func (e *requestError) where() string {
	if e.namespace == metav1.NamespaceAll {
		return "all namespaces"
	}
	return fmt.Sprintf("namespace %q", e.namespace)
}

func (e *requestError) hint() string {
	switch {
	case apierrors.IsForbidden(e.err) && e.namespace == metav1.NamespaceAll:
		return "grant the verbs list and watch on the resource pods by a ClusterRole, or watch one namespace with WithNamespace"
	case apierrors.IsForbidden(e.err):
		return "grant the verbs list and watch on the resource pods by a Role in " + e.where()
	case apierrors.IsUnauthorized(e.err):
		return "check the token or the client certificate"
	default:
		return connectionHint(e.err)
	}
}

// timeoutError is a Start that ran out of time. Both errors.Is with
// context.DeadlineExceeded and apierrors.IsTimeout recognise it; last, where
// there is one, is what the last attempt met.
func timeoutError(after time.Duration, last error) error {
	err := apierrors.NewTimeoutError(fmt.Sprintf("the API server gave no complete view within %v", after), 0)
	if last == nil {
		return fmt.Errorf("watchsource: start: %w (%w): check its address and the network, or raise WithStartTimeout", err, context.DeadlineExceeded)
	}
	return fmt.Errorf("watchsource: start: %w (%w): %w", err, context.DeadlineExceeded, last)
}

// versionGone reports whether the API server cannot watch from the version it
// was asked for: it has forgotten it, or has not heard of it yet.
func versionGone(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) ||
		apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge)
}

// asksToWait reports whether the API server is there and wants to be asked
// again later.
func asksToWait(err error) bool {
	_, delay := apierrors.SuggestsClientDelay(err)
	return delay || apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err)
}

// connectionHint says what to look at when no connection came about.
func connectionHint(err error) string {
	var unknownAuthority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: check the address of the API server"
	case errors.As(err, &unknownAuthority), errors.As(err, &hostname), errors.As(err, &invalid):
		return "check the certificate authority and the server name of the client's configuration"
	default:
		return ""
	}
}
