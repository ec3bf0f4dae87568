// SPDX-License-Identifier: Apache-2.0

// Package failure says what the failure of a request to the API server means: whether the server
// has answered, why it refuses the request, and how the user can mend it.
package failure

import (
	"context"
	"encoding/json"
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
	"k8s.io/apimachinery/pkg/runtime"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

var (
	// ErrNotUnderstood is an answer of another kind than the request asked for.
	ErrNotUnderstood = errors.New("unexpected response from the API server")
	// ErrStalled is a stream that was silent for too long.
	ErrStalled = errors.New("the watch went silent")

	// ErrNewHistory is a server that has shown an older version than the one held.
	ErrNewHistory = errors.New("the server has gone back to an earlier version, as after a restore from a backup")
	// ErrEventsLost is a watch that did not bring an event, as a verification has found.
	ErrEventsLost = errors.New("the watch has lost events")
	// ErrListCut is a streaming list that ended before it was complete.
	ErrListCut = errors.New("the streaming list ended early")
	// ErrNoAnswer is a request that was not answered.
	ErrNoAnswer = errors.New("no answer")
	// ErrNilWatch is a request that a client answered with nothing, as the reactor of a fake may.
	ErrNilWatch = fmt.Errorf("%w: the client returned neither a watch nor an error", ErrNotUnderstood)
	// ErrHungUp is a request whose connection was closed before the answer.
	ErrHungUp = fmt.Errorf("the connection was closed before an answer: %w", io.EOF)
)

// NoAnswerWithin is a request that was not answered within that time.
type NoAnswerWithin time.Duration

func (e NoAnswerWithin) Error() string {
	return fmt.Sprintf("%v within %v", ErrNoAnswer, time.Duration(e))
}

func (e NoAnswerWithin) Unwrap() []error { return []error{ErrNoAnswer, context.DeadlineExceeded} }

// A LateRefusal is the refusal of a watch that was taken for open, by the API server or by a
// gateway that did not reach it, or of a check that was made while a watch was open.
type LateRefusal struct{ error }

// Late returns a LateRefusal.
func Late(err error) error { return LateRefusal{err} }

// Unwrap returns the refusal.
func (e LateRefusal) Unwrap() error { return e.error }

// VersionGone reports whether the API server has forgotten the version that it
// was asked for.
func VersionGone(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err)
}

// MaxServerDelay caps the delay that a server asks for.
const MaxServerDelay = 2 * time.Minute

// ServerDelay returns the delay that the server asks for, within bounds.
func ServerDelay(err error) time.Duration {
	seconds, _ := apierrors.SuggestsClientDelay(err)
	return min(time.Duration(seconds)*time.Second, MaxServerDelay)
}

// AsksToWait reports whether the API server answers and asks to come later.
func AsksToWait(err error) bool {
	_, delay := apierrors.SuggestsClientDelay(err)
	return delay || apierrors.IsTooManyRequests(err) || apierrors.IsServiceUnavailable(err)
}

// LacksRights reports whether the API server does not know the client, or does
// not let it list or watch.
func LacksRights(err error) bool {
	return apierrors.IsUnauthorized(err) || apierrors.IsForbidden(err)
}

// Answered reports whether an error is the API server's answer, and not that of
// a gateway that did not reach it.
func Answered(err error) bool {
	_, ok := statusOf(err)
	return ok && !ByGateway(err)
}

// RefusesClient reports whether the API server refuses a request because of its parameters or
// the identity of the client, and will refuse it again.
func RefusesClient(err error) bool {
	code := StatusCode(err)
	return Answered(err) && code >= 400 && code < 500 && !AsksToWait(err) && !apierrors.IsUnauthorized(err)
}

// ConnectionBroke reports whether a connection ended before the answer, as that
// of a server that restarts. client-go repeats such requests by itself, unless
// it is asked not to.
func ConnectionBroke(err error) bool {
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
	if ConnectionBroke(err) || utilnet.IsTimeout(err) && !errors.Is(err, ErrNoAnswer) {
		return true
	}
	for _, cause := range []error{syscall.ECONNREFUSED, syscall.EHOSTUNREACH, syscall.ENETUNREACH} {
		if errors.Is(err, cause) {
			return true
		}
	}
	lookup, ok := errors.AsType[*net.DNSError](err)
	return ok && !lookup.IsNotFound || ByGateway(err)
}

// ByGateway reports whether a proxy or a load balancer says that it did not reach the API
// server.
func ByGateway(err error) bool {
	if _, foreign := foreignBody(err); !foreign { // the server sends a Status
		return false
	}
	code := StatusCode(err)
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

// StatusCode returns the HTTP status of a refusal, 0 if there was no answer.
func StatusCode(err error) int {
	status, _ := statusOf(err)
	return int(status.Code)
}

// foreignType returns the media type of an answer that client-go has no decoder for.
func foreignType(err error) (mediaType string, ok bool) {
	if failed, ok := errors.AsType[runtime.NegotiateError](err); ok {
		return failed.ContentType, true
	}
	_, after, found := strings.Cut(err.Error(), "serializer for ") // rest.Result
	mediaType, found2 := strings.CutSuffix(after, " doesn't exist")
	return mediaType, found && found2
}

// foreignBody returns the body of a refusal that has no Status. An API server sends one with
// nearly all of its refusals, a proxy or gateway does not.
func foreignBody(err error) (body string, ok bool) {
	if _, own := statusMessage(err); own {
		return "", false
	}
	return unexpectedBody(err)
}

// unexpectedBody returns the body of a refusal that client-go did not understand.
func unexpectedBody(err error) (body string, ok bool) {
	if !apierrors.IsUnexpectedServerError(err) {
		return "", false
	}
	status, _ := statusOf(err)
	for _, c := range status.Details.Causes {
		if c.Type == metav1.CauseTypeUnexpectedServerResponse {
			body = c.Message
		}
	}
	return body, true
}

// statusMessage returns the message of a Status that client-go did not understand. If
// kube-apiserver cannot finish a request in time it sends one without its kind.
func statusMessage(err error) (message string, ok bool) {
	body, ok := unexpectedBody(err)
	var status metav1.Status
	if !ok || json.Unmarshal([]byte(body), &status) != nil || status.Status != metav1.StatusFailure {
		return "", false
	}
	return status.Message, status.Message != ""
}
