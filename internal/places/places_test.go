// SPDX-License-Identifier: Apache-2.0

package places_test

import (
	"testing"

	"github.com/executorpods/watchsource/internal/places"
	"github.com/executorpods/watchsource/internal/podstate"
)

// The key that was looked up last is not found any more once its pod is removed, and has its new place
// once it is there again.
func TestPlaceOfTheLastKey(t *testing.T) {
	pods := places.New(0)
	first, second := places.Place{Partition: 1, Index: 2}, places.Place{Partition: 3, Index: 4}
	pods.Put("a", first)
	if at, ok := pods.Of("a"); !ok || at != first {
		t.Errorf("place %v, %v, want %v", at, ok, first)
	}
	pods.SetEnds("a", podstate.Ends{})
	pods.Remove("a")
	if at, ok := pods.Of("a"); ok || len(pods.Ends()) > 0 || pods.Len() != 0 {
		t.Errorf("place %v, %d ends after the pod was removed, want none", at, len(pods.Ends()))
	}
	pods.Put("a", second)
	if at, _ := pods.Of("a"); at != second {
		t.Errorf("place %v, want %v", at, second)
	}
	if at, ok := pods.OfUID([]byte("a")); !ok || at != second {
		t.Errorf("place %v by UID, want %v", at, second)
	}
}

// An index is taken again only after its pod has left, and then keeps nothing of that pod.
func TestIndexesAreTakenAgain(t *testing.T) {
	slots := places.Filled(2)
	slots.SetRun(1, 11)
	if index := slots.Take(); index != 2 {
		t.Errorf("index %d, want 2 after two that are taken", index)
	}
	slots.SetRun(2, 12)
	slots.Release(1)
	if index := slots.Take(); index != 1 {
		t.Errorf("index %d, want the 1 that is free", index)
	}
	if run := slots.Run(2); run != 12 {
		t.Errorf("run %d of index 2, want 12", run)
	}
}
