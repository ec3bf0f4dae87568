// SPDX-License-Identifier: Apache-2.0

package watchsource

import "testing"

// A change that arrives between waking up and taking is taken, and does not
// wake the reader again for an empty batch.
func TestReaderIsNotWokenForNothing(t *testing.T) {
	r := newReader()
	r.add(nil, &Executor{UID: "1", State: Pending})
	<-r.wake
	r.add(nil, &Executor{UID: "2", State: Pending})
	if lives := r.take(); len(lives) != 2 {
		t.Errorf("took %d lives, want 2", len(lives))
	}
	select {
	case <-r.wake:
		t.Error("woken for nothing")
	default:
	}
}
