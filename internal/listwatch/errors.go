// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

var (
	// ErrNotUnderstood is an answer of another kind than the request asked for.
	ErrNotUnderstood = errors.New("unexpected response from the API server")
	// ErrStalled is a stream that was silent for too long.
	ErrStalled = errors.New("the watch went silent")

	// errNewHistory is a stream that brought an older version than the one it was
	// opened from.
	errNewHistory = errors.New("the server has gone back to an earlier version, as after a restore from a backup")
	// errListCut is a streaming list that ended before it was complete.
	errListCut = errors.New("the streaming list ended early")
	// errNoAnswer is a request that was not answered.
	errNoAnswer = errors.New("no answer")
	// errNilWatch is a request that a client answered with nothing, as the reactor of a fake may.
	errNilWatch = fmt.Errorf("%w: the client returned neither a watch nor an error", ErrNotUnderstood)
	// errHungUp is a request whose connection was closed before the answer.
	errHungUp = fmt.Errorf("the connection was closed before an answer: %w", io.EOF)
)

// noAnswer is a request that was not answered within a time.
type noAnswer time.Duration

func (e noAnswer) Error() string { return fmt.Sprintf("%v within %v", errNoAnswer, time.Duration(e)) }

func (e noAnswer) Unwrap() []error { return []error{errNoAnswer, context.DeadlineExceeded} }

// versionGone reports whether the API server has forgotten the version that it
// was asked for.
func versionGone(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err)
}

// asksToWait reports whether the API server answers and asks to come later.
func asksToWait(err error) bool {
	_, delay := apierrors.SuggestsClientDelay(err)
	return delay || apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err)
}

// lacksRights reports whether the API server does not know the client, or does
// not let it list or watch.
func lacksRights(err error) bool {
	return apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err)
}

// mayConcernVersion reports whether the API server has refused a request for a
// reason that may be its resource version.
func mayConcernVersion(err error) bool {
	if isVersionRequest(err) {
		return false // it has none
	}
	if apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		return true // although it asks to come later
	}
	return answered(err) && !asksToWait(err) && !lacksRights(err)
}

// answered reports whether an error is the API server's answer, and not that of
// a gateway that did not reach it.
func answered(err error) bool {
	_, ok := statusOf(err)
	return ok && !byGateway(err)
}

// isVersionRequest reports whether a check of the server's version has failed.
func isVersionRequest(err error) bool {
	failed, ok := errors.AsType[*requestError](err)
	return ok && failed.kind == versionRequest
}

// refusesClient reports whether the API server refuses a request because of what it asks for or
// who asks, and will refuse it again.
func refusesClient(err error) bool {
	code := statusCode(err)
	return answered(err) && code >= 400 && code < 500 && !asksToWait(err) && !apierrors.IsUnauthorized(err)
}

// connectionBroke reports whether a connection ended before the answer, as that
// of a server that restarts. client-go repeats such requests by itself, unless
// it is asked not to.
func connectionBroke(err error) bool {
	if utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) || utilnet.IsHTTP2ConnectionLost(err) {
		return true
	}
	for _, cause := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.EPIPE, syscall.ECONNABORTED} {
		if errors.Is(err, cause) {
			return true
		}
	}
	// Go's HTTP/2 client does not export the types of these errors.
	text := err.Error()
	return strings.Contains(text, "GOAWAY") || strings.Contains(text, "stream error: stream ID ")
}

// Unreachable reports whether a request did not reach the API server, for a reason that may
// pass: a proxy or a network that is just coming up, or a server that restarts.
func Unreachable(err error) bool {
	if connectionBroke(err) || utilnet.IsTimeout(err) && !errors.Is(err, errNoAnswer) {
		return true
	}
	for _, cause := range []error{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH} {
		if errors.Is(err, cause) {
			return true
		}
	}
	lookup, ok := errors.AsType[*net.DNSError](err)
	return ok && !lookup.IsNotFound || byGateway(err)
}

// byGateway reports whether a proxy or a load balancer says that it did not reach the API
// server.
func byGateway(err error) bool {
	if _, foreign := foreignBody(err); !foreign { // the server sends a Status
		return false
	}
	code := statusCode(err)
	return code == http.StatusBadGateway || code == http.StatusGatewayTimeout
}

// statusOf returns the Status that client-go makes of each answer with an error code.
func statusOf(err error) (status metav1.Status, ok bool) {
	var answer apierrors.APIStatus
	if !errors.As(err, &answer) {
		return status, false
	}
	return answer.Status(), true
}

// statusCode returns the HTTP status of a refusal, 0 if there was no answer.
func statusCode(err error) int {
	status, _ := statusOf(err)
	return int(status.Code)
}
