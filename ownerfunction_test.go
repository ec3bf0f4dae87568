// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/executorpods/watchsource"
)

// A function that panics, or returns keys that are not equal, costs a new pod its owner. One line
// says so, and other pods are not disturbed.
func TestOwnerFunctionFails(t *testing.T) {
	isBad := func(p metav1.Object) bool { return p.GetLabels()[job] == "bad" }
	calls := 0
	t.Run("panic", ownerFunctionFails("a", func(p metav1.Object) (string, bool) {
		if isBad(p) {
			panic("bad")
		}
		return byJob(p)
	}))
	t.Run("other keys", ownerFunctionFails("a", func(p metav1.Object) (string, bool) {
		if calls++; isBad(p) {
			return fmt.Sprint(calls), true
		}
		return byJob(p)
	}))
	t.Run("a key or none", ownerFunctionFails("a", func(p metav1.Object) (string, bool) {
		calls++
		return p.GetLabels()[job], !isBad(p) || calls%2 == 0
	}))
	t.Run("NaN", ownerFunctionFails("1", func(p metav1.Object) (float64, bool) {
		if isBad(p) {
			return math.NaN(), true
		}
		return 1, true
	}))
	t.Run("a key that cannot be compared", ownerFunctionFails("a", func(p metav1.Object) (any, bool) {
		if isBad(p) {
			return []string{"bad"}, true
		}
		return p.GetLabels()[job], true
	}))
}

// ownerFunctionFails tests a function that fails for exec-2 only. want is the owner of exec-1.
func ownerFunctionFails[K comparable](want string, owner func(metav1.Object) (K, bool)) func(t *testing.T) {
	return func(t *testing.T) {
		log := &logLines{}
		store := watchsource.NewStoreBy(owner, watchsource.WithLogger(log.logger(0)))
		store.UpdatePod(pod("1", ofJob("a")))
		store.UpdatePod(pod("2", ofJob("bad"), phase(corev1.PodPending)))
		for range 4 {
			store.UpdatePod(pod("2", ofJob("bad"), phase(corev1.PodRunning)))
		}
		if all := slices.Collect(store.Owners()); len(all) != 1 || fmt.Sprint(all[0]) != want || store.Snapshot(all[0]).Len() != 1 {
			t.Errorf("owners %v, want %s with one executor", all, want)
		}
		if lines := log.matching("Owner of a pod is not known", "exec-2"); len(lines) != 1 {
			t.Errorf("%d lines about exec-2, want 1: %q", len(lines), log.lines)
		}
	}
}

// A pod that the store has stays with its owner while the function fails.
func TestOwnerFunctionFailsForAKnownPod(t *testing.T) {
	store := watchsource.NewStoreBy(func(p metav1.Object) (string, bool) {
		if p.GetLabels()["broken"] != "" {
			panic("broken")
		}
		return byJob(p)
	}, watchsource.WithLogger(logr.Logger{}))
	store.UpdatePod(pod("1", ofJob("a")))
	broken := pod("1", ofJob("b"), label("broken", "yes"), phase(corev1.PodRunning))
	for name, tell := range map[string]func(){
		"event": func() { store.UpdatePod(broken) },
		"list":  func() { store.ReplaceSnapshot([]*corev1.Pod{broken}) },
	} {
		if tell(); owners(store) != "a: exec-1=Running" {
			t.Errorf("%s: owners %q, want a: exec-1=Running", name, owners(store))
		}
	}
}

// A nil key is no owner, in an event and in a list.
func TestNilIsNoOwner(t *testing.T) {
	store := watchsource.NewStoreBy(func(p metav1.Object) (any, bool) {
		if owner, ok := byJob(p); ok {
			return owner, true
		}
		return nil, true
	})
	none, one := pod("1"), pod("2", ofJob("a"))
	for name, tell := range map[string]func(){
		"event": func() { store.UpdatePod(none); store.UpdatePod(one) },
		"list":  func() { store.ReplaceSnapshot([]*corev1.Pod{none, one}) },
	} {
		if tell(); store.Snapshot(nil).Len() != 0 || store.Snapshot("a").Len() != 1 {
			t.Errorf("%s: %d executors of nil, %d of a; want 0, 1", name, store.Snapshot(nil).Len(), store.Snapshot("a").Len())
		}
		for owner := range store.Owners() {
			if owner != "a" {
				t.Errorf("%s: owner %v, want a", name, owner)
			}
		}
	}
}
