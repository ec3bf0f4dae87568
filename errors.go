// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

var (
	// ErrAlreadyStarted is the error of Start while the source is started. A source
	// watches one application at a time. Call Stop first, or make another source.
	ErrAlreadyStarted = errors.New("watchsource: already started, call Stop before another Start")

	// ErrInvalidAppID means that an application id is empty or cannot be the value of a
	// label.
	ErrInvalidAppID = errors.New("watchsource: invalid application id")

	// ErrStoreInUse is the error of Start if another source that is started feeds the
	// store, or a store in its Tee. Each source needs its own store, because the list of
	// one source would remove the executors of the other.
	ErrStoreInUse = errors.New("watchsource: another started source feeds the store, use one store for each source")

	// ErrNoPod is the error of Executor.Pod if the store was made with WithoutPods, or if no
	// store has made the Executor.
	ErrNoPod = errors.New("watchsource: the store keeps no pods, make it without WithoutPods")

	// ErrStopped means that Stop ended a Start or a wait for a snapshot.
	ErrStopped = errors.New("watchsource: the source was stopped")
)

// errStartTimeout is the cancellation cause of a Start that takes too long.
var errStartTimeout = errors.New("start timeout")

// timeoutError is the error of a Start that ran out of time. apierrors.IsTimeout
// and errors.Is with context.DeadlineExceeded recognise it. last is the error of
// the last attempt, nil if there was none.
func timeoutError(after time.Duration, last error) error {
	err := apierrors.NewTimeoutError(fmt.Sprintf("the API server gave no complete view within %v", after), 0)
	if last == nil {
		return fmt.Errorf("watchsource: start: %w (%w): check its address and the network, or raise WithStartTimeout", err, context.DeadlineExceeded)
	}
	if apierrors.IsTooManyRequests(last) {
		// IsTimeout checks the reason, IsTooManyRequests also the code.
		err.ErrStatus.Code = http.StatusTooManyRequests
	}
	return fmt.Errorf("watchsource: start: %w (%w): %w", err, context.DeadlineExceeded, last)
}
