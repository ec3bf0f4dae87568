// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
)

// If pods have moved in both directions in a list, each owner is shown the pods that left it and those
// that came.
func TestListMovesPodsBetweenOwners(t *testing.T) {
	store := watchsource.NewStoreBy(byJob)
	store.UpdatePod(pod("1", ofJob("a"), uid("1")))
	store.UpdatePod(pod("2", ofJob("b"), uid("2")))
	reader := readRounds(t, store, 0)
	reader.want(t, "a", "exec-1 nothing>Pending")
	reader.want(t, "b", "exec-2 nothing>Pending")
	store.ReplaceSnapshot([]*corev1.Pod{pod("1", ofJob("b"), uid("1")), pod("2", ofJob("a"), uid("2"))})
	for _, want := range [][2]string{
		{"a", "exec-1 Pending>Deleted, exec-2 nothing>Pending"},
		{"b", "exec-2 Pending>Deleted, exec-1 nothing>Pending"},
	} {
		if gone := reader.want(t, want[0], want[1]).Changes[0].Gone; gone != watchsource.Unselected {
			t.Errorf("the pod left %s as %v, want Unselected", want[0], gone)
		}
	}
}

// A pod of a list that has no owner any more exists: it has left as Unselected. A pod that the list
// lacks was missed.
func TestListWithoutAnOwner(t *testing.T) {
	store := watchsource.NewStoreBy(byJob)
	store.UpdatePod(pod("1", ofJob("a"), uid("1")))
	store.UpdatePod(pod("2", ofJob("b"), uid("2")))
	reader := readRounds(t, store, 0)
	reader.want(t, "a", "exec-1 nothing>Pending")
	reader.want(t, "b", "exec-2 nothing>Pending")
	store.ReplaceSnapshot([]*corev1.Pod{pod("1", uid("1"))})
	if gone := reader.want(t, "a", "exec-1 Pending>Deleted").Changes[0].Gone; gone != watchsource.Unselected {
		t.Errorf("the pod without an owner left as %v, want Unselected", gone)
	}
	if gone := reader.want(t, "b", "exec-2 Pending>Deleted").Changes[0].Gone; gone != watchsource.Missed {
		t.Errorf("the pod that is not in the list left as %v, want Missed", gone)
	}
}

// A pod without a UID that was created again with another owner is another pod. The first one has
// not moved: its deletion was missed.
func TestPodWithoutUIDIsCreatedForAnotherOwner(t *testing.T) {
	for name, tell := range map[string]func(*watchsource.StoreBy[string], *corev1.Pod){
		"event": func(s *watchsource.StoreBy[string], p *corev1.Pod) { s.UpdatePod(p) },
		"list":  func(s *watchsource.StoreBy[string], p *corev1.Pod) { s.ReplaceSnapshot([]*corev1.Pod{p}) },
	} {
		t.Run(name, func(t *testing.T) {
			store := watchsource.NewStoreBy(byJob)
			store.UpdatePod(pod("1", ofJob("a"), uid(""), phase(corev1.PodFailed)))
			reader := readRounds(t, store, 0)
			reader.want(t, "a", "exec-1 nothing>Failed")
			tell(store, pod("1", ofJob("b"), uid(""), phase(corev1.PodPending)))
			if gone := reader.want(t, "a", "exec-1 Failed>Deleted").Changes[0].Gone; gone != watchsource.Missed {
				t.Errorf("the first pod left as %v, want Missed", gone)
			}
			reader.want(t, "b", "exec-1 nothing>Pending")
		})
	}
}

// The snapshot of an owner that loses its last pod does not go back to the version before.
func TestVersionOfAnOwnerThatGoes(t *testing.T) {
	for name, leave := range map[string]func(*watchsource.StoreBy[string]){
		"deleted":          func(s *watchsource.StoreBy[string]) { s.DeletePod(pod("1", ofJob("a"), version("7"))) },
		"moved":            func(s *watchsource.StoreBy[string]) { s.UpdatePod(pod("1", ofJob("b"), version("7"))) },
		"without an owner": func(s *watchsource.StoreBy[string]) { s.UpdatePod(pod("1", version("7"))) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := watchsource.NewStoreBy(byJob)
				store.UpdatePod(pod("1", ofJob("a"), version("5")))
				store.ObserveResourceVersion("5")
				waited := make(chan error, 1)
				go func() {
					_, err := store.WaitForResourceVersion(t.Context(), "c", "7")
					waited <- err
				}()
				synctest.Wait()
				leave(store)
				if s := store.Snapshot("a"); s.Len() != 0 || s.ResourceVersion() != "7" {
					t.Errorf("%d executors at version %s, want none at 7", s.Len(), s.ResourceVersion())
				}
				store.ObserveResourceVersion("7")
				if err := <-waited; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// An owner that comes, or a bookmark, after a call has looked at the snapshot and before it waits
// wakes the call.
func TestWaitMissesNothingBeforeItWaits(t *testing.T) {
	for name, tell := range map[string]func(*watchsource.StoreBy[string]){
		"new owner": func(s *watchsource.StoreBy[string]) { s.UpdatePod(pod("1", ofJob("a"), version("7"))) },
		"bookmark":  func(s *watchsource.StoreBy[string]) { s.ObserveResourceVersion("7") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := watchsource.NewStoreBy(byJob)
				store.UpdatePod(pod("2", ofJob("b"), version("4")))
				store.ObserveResourceVersion("5")
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				told := false
				_, err := store.WaitFor(ctx, "a", func(s watchsource.Snapshot) bool {
					if !told {
						told = true
						tell(store)
						return false
					}
					return s.Contains("7")
				})
				if err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A bookmark that repeats the version of the last event shows it to the calls that wait for another
// owner: in a quiet cluster no newer version comes.
func TestBookmarkRepeatsTheVersionOfAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watchsource.NewStoreBy(byJob)
		store.UpdatePod(pod("1", ofJob("a"), version("5")))
		store.ObserveResourceVersion("5")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		waited := make(chan error, 1)
		go func() {
			_, err := store.WaitFor(ctx, "a", func(s watchsource.Snapshot) bool { return s.Contains("6") })
			waited <- err
		}()
		synctest.Wait()
		store.UpdatePod(pod("2", ofJob("b"), version("6")))
		store.ObserveResourceVersion("6") // of the event
		store.ObserveResourceVersion("6") // of the bookmark
		if err := <-waited; err != nil {
			t.Error(err)
		}
	})
}

// A call that waits for an owner that has gone, and that the store keeps for a reader only, returns
// when the owner comes again.
func TestWaitForAnOwnerThatReadersKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := watchsource.NewStoreBy(byJob)
		store.UpdatePod(pod("1", ofJob("a"), uid("1")))
		reader := readRounds(t, store, 0)
		reader.want(t, "a", "exec-1 nothing>Pending")
		store.DeletePod(pod("1", ofJob("a"), uid("1")))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		waited := make(chan error, 1)
		go func() {
			_, err := store.WaitFor(ctx, "a", func(s watchsource.Snapshot) bool { return s.Len() == 1 })
			waited <- err
		}()
		synctest.Wait()
		reader.want(t, "a", "exec-1 Pending>Deleted")
		synctest.Wait()
		store.UpdatePod(pod("2", ofJob("a"), uid("2")))
		if err := <-waited; err != nil {
			t.Error(err)
		}
	})
}
