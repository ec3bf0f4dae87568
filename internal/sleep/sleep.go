// SPDX-License-Identifier: Apache-2.0

// Package sleep sleeps until a context ends.
package sleep

import (
	"context"
	"time"
)

// For returns after d, or false as soon as ctx ends.
func For(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
