// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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

// Owners that have gone are kept until the readers were shown that, and no longer.
func TestOwnersThatHaveGoneAreForgotten(t *testing.T) {
	store := NewStoreBy(func(p metav1.Object) (string, bool) { return p.GetName(), true })
	next, stop := iter.Pull2(store.Batches(context.Background(), 0))
	defer stop()
	store.UpdatePod(podtest.Pod("first"))
	next()
	for i := range 1000 {
		pod := podtest.Pod(fmt.Sprint(i))
		store.UpdatePod(pod)
		store.DeletePod(pod)
	}
	if got := len(slices.Collect(store.Owners())); got != 1 {
		t.Errorf("%d owners, want the one that has an executor", got)
	}
	for range 1000 {
		if _, batch, ok := next(); !ok || batch.Snapshot.Len() > 0 || len(batch.Changes) != 1 {
			t.Fatalf("a batch of an owner that has gone has %d changes, %d executors; want 1, 0", len(batch.Changes), batch.Snapshot.Len())
		}
	}
	if n, free := len(store.records.owners.partitions), len(store.records.free); n != 1 || free != 1000 {
		t.Errorf("the store keeps %d owners, and has %d free numbers; want 1, 1000", n, free)
	}
}

// A reader that leaves keeps no owner that has gone.
func TestOwnersAreForgottenWithTheirReader(t *testing.T) {
	store := NewStoreBy(func(p metav1.Object) (string, bool) { return p.GetName(), true })
	next, stop := iter.Pull2(store.Batches(context.Background(), 0))
	store.UpdatePod(podtest.Pod("1"))
	next()
	store.DeletePod(podtest.Pod("1"))
	if n := len(store.records.owners.partitions); n != 1 {
		t.Errorf("the store keeps %d owners, want the one that the reader has not seen go", n)
	}
	stop()
	if n := len(store.records.owners.partitions); n != 0 {
		t.Errorf("the store keeps %d owners after the reader has left, want none", n)
	}
}
