// SPDX-License-Identifier: Apache-2.0

package listwatch

import (
	"time"

	"github.com/executorpods/watchsource/internal/failure"
)

// ErrStalled is [failure.ErrStalled].
var ErrStalled = failure.ErrStalled

// Unreachable is [failure.Unreachable].
func Unreachable(err error) bool { return failure.Unreachable(err) }

// ServerDelay is [failure.ServerDelay].
func ServerDelay(err error) time.Duration { return failure.ServerDelay(err) }
