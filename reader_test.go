// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"testing"
	"time"
)

// A change that arrives between waking up and taking is taken, and does not
// wake the reader again for an empty batch.
func TestReaderIsNotWokenForNothing(t *testing.T) {
	r := newReader("", 0, time.Time{})
	r.add(step{}, step{Executor: &Executor{UID: "1", State: Pending}}, nil, time.Time{})
	<-r.wake
	r.add(step{}, step{Executor: &Executor{UID: "2", State: Pending}}, nil, time.Time{})
	if taken := r.take(time.Time{}); len(taken.order) != 2 {
		t.Errorf("took %d lives, want 2", len(taken.order))
	}
	select {
	case <-r.wake:
		t.Error("woken for nothing")
	default:
	}
}
