// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
)

var (
	// ErrNotUnderstood is an answer of another kind than was asked for.
	ErrNotUnderstood = errors.New("answer not understood")
	// ErrStalled is a stream that was silent for too long.
	ErrStalled = errors.New("the watch went silent")

	// errNewHistory is a stream that brought an older version than the one it was
	// opened from.
	errNewHistory = errors.New("the server has gone back to an earlier version, as after a restore from a backup")
	// errListCut is a streaming list that ended before it was complete.
	errListCut = errors.New("the streaming list ended early")
	// errNoAnswer is a request that was not answered in time.
	errNoAnswer = fmt.Errorf("no answer within %v: %w", openTimeout, context.DeadlineExceeded)
	// errHungUp is a request whose connection was closed before the answer.
	errHungUp = fmt.Errorf("the connection was closed before an answer: %w", io.EOF)
)

// requestError is the failure of one request to the API server, in words that
// tell an operator what to do. The cause stays reachable through Unwrap, so
// that apierrors.IsForbidden and similar functions recognise it.
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

// connectionHint says what to check if no connection was made.
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
	if apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		return true // although it asks to come later
	}
	return answered(err) && !asksToWait(err) && !lacksRights(err)
}

// answered reports whether an error is the API server's answer, and not that of
// a gateway that did not reach it.
func answered(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	switch status.Status().Code {
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return !apierrors.IsUnexpectedServerError(err) // the server would send a Status
	default:
		return true
	}
}

// connectionBroke reports whether a connection ended before the answer, as that
// of a server that restarts. client-go repeats such requests by itself, unless
// it is asked not to.
func connectionBroke(err error) bool {
	return utilnet.IsConnectionReset(err) || utilnet.IsProbableEOF(err) || utilnet.IsHTTP2ConnectionLost(err)
}

// WorthRepeating reports whether a request that failed may succeed without a change of
// the client's rights or configuration.
func WorthRepeating(err error) bool {
	return asksToWait(err) || versionGone(err) || connectionBroke(err)
}
