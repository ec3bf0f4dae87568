// SPDX-License-Identifier: Apache-2.0

package retry

import (
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/executorpods/watchsource/internal/failure"
)

const (
	// maxUnreachable is how many requests in a row may fail to reach the API server
	// until a Start fails, and maxUnreachableDelay (plus jitter) is the longest delay
	// between two of them. The five to eight seconds of them all are enough for a local
	// proxy to come up, and not too long for a person who gave a wrong address.
	// client-go allows ten, a second apart.
	maxUnreachable      = 6
	maxUnreachableDelay = time.Second
	// maxUnauthorized is how many requests of a Start may be refused with 401. An exec
	// plugin's credential, or a token in a file, may have expired without the client's
	// knowledge: client-go discards it on a 401, and its next request uses another.
	maxUnauthorized = 1
)

// StartAttempts counts the failed requests of one Start. Its zero value is that of a Start that
// begins.
type StartAttempts struct {
	// unreachable counts the requests in a row that did not reach the server.
	unreachable  uint8
	unauthorized uint8
}

// Fatal counts a failed request and reports whether its error ends the Start. It does not
// if the server asks to come later, or has forgotten the version that it was asked for. It
// does after more than maxUnreachable requests in a row that did not reach the server, after
// more than maxUnauthorized with 401, and at once after any other error: a missing right or
// a wrong configuration stays until an operator acts.
func (a *StartAttempts) Fatal(err error) bool {
	if !failure.Unreachable(err) {
		a.unreachable = 0
	}
	switch {
	case failure.AsksToWait(err), failure.VersionGone(err):
		return false
	case failure.Unreachable(err):
		a.unreachable++
		return a.unreachable > maxUnreachable
	case apierrors.IsUnauthorized(err):
		a.unauthorized++
		return a.unauthorized > maxUnauthorized
	default:
		return true
	}
}

// StartDelay bounds the delay after an error of a Start.
func StartDelay(delay time.Duration, err error) time.Duration {
	if !failure.Unreachable(err) || failure.AsksToWait(err) {
		return delay
	}
	return min(delay, wait.Jitter(maxUnreachableDelay, delayJitter))
}
