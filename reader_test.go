// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource/internal/test/podtest"
)

// A change that arrives between waking up and taking is taken, and does not
// wake the reader again for an empty batch.
func TestReaderWakesOnlyForChanges(t *testing.T) {
	r, in := newReader("", 0, time.Time{}), &partition{}
	r.add(in, step{}, step{Executor: &Executor{UID: "1", State: Pending}}, nil, time.Time{})
	<-r.wake
	r.add(in, step{}, step{Executor: &Executor{UID: "2", State: Pending}}, nil, time.Time{})
	if len(r.order) != 2 {
		t.Errorf("changes of %d pods wait, want 2", len(r.order))
	}
	r.clear(time.Time{})
	select {
	case <-r.wake:
		t.Error("the reader is woken, want it asleep until there is another change")
	default:
	}
}

// The store forgets the ends of an executor when its pod leaves.
func TestEndsAreForgotten(t *testing.T) {
	store := NewStore()
	failed := podtest.Pod("1", podtest.UID("1"), podtest.Phase(corev1.PodFailed))
	store.UpdatePod(failed)
	if n := len(store.records.pods.Ends()); n != 1 {
		t.Errorf("ends of %d executors, want 1", n)
	}
	store.DeletePod(failed)
	if n := len(store.records.pods.Ends()); n != 0 {
		t.Errorf("ends of %d executors after the pod has left, want 0", n)
	}
}
