// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource/internal/claim"
	"github.com/executorpods/watchsource/internal/isnil"
)

// Tee returns a store that passes each call to the given stores, in their order. The
// call returns when the last of them has returned. The stores share the pods, but
// each receives a separate slice of them. The pods are decoded once for all stores, so a
// [Store] in a Tee keeps decoded pods, and trimmed ones with [WithTrimmedPods]. None of the
// stores may have another source. Tee panics if a store is nil.
func Tee(stores ...SnapshotsStore) SnapshotsStore {
	for i, store := range stores {
		if isnil.Value(store) {
			panic(fmt.Sprintf("watchsource: Tee: store %d of %d is nil", i+1, len(stores)))
		}
	}
	return tee(slices.Clone(stores))
}

type tee []SnapshotsStore

func (t tee) UpdatePod(pod *corev1.Pod) {
	for _, store := range t {
		store.UpdatePod(pod)
	}
}

func (t tee) DeletePod(pod *corev1.Pod) {
	for _, store := range t {
		store.DeletePod(pod)
	}
}

func (t tee) ReplaceSnapshot(pods []*corev1.Pod) {
	for _, store := range t {
		store.ReplaceSnapshot(slices.Clone(pods))
	}
}

func (t tee) ObserveResourceVersion(resourceVersion string) {
	for _, store := range t {
		if observer, ok := store.(ResourceVersionObserver); ok {
			observer.ObserveResourceVersion(resourceVersion)
		}
	}
}

func (t tee) ObserveStop() {
	for _, store := range t {
		if observer, ok := store.(StopObserver); ok {
			observer.ObserveStop()
		}
	}
}

// checkStore rejects a store that could never work.
func checkStore(store SnapshotsStore) error {
	if isnil.Value(store) {
		return errors.New("the store is nil")
	}
	if own, ok := ownStoreOf(store); ok {
		return own.made()
	}
	return nil
}

// mayReach reports whether the calls of one store may reach another. A store of the user may pass
// its calls on to any store, even if it embeds a Store.
func mayReach(from, to SnapshotsStore) bool {
	if isnil.Value(from) || isnil.Value(to) {
		return false
	}
	if all, ok := to.(tee); ok {
		return !slices.ContainsFunc(all, func(one SnapshotsStore) bool { return !mayReach(from, one) })
	}
	if all, ok := from.(tee); ok {
		return slices.ContainsFunc(all, func(one SnapshotsStore) bool { return mayReach(one, to) })
	}
	own, ok := ownStoreOf(from)
	return !ok || slices.Contains(storeIDs(to), own.own())
}

// storeIDs returns values that identify the stores that a store passes its calls to: those in a
// Tee, a Store that is embedded, or the store. A store that cannot be distinguished from others
// has none.
func storeIDs(store SnapshotsStore) []any {
	if isnil.Value(store) { // a nil pointer may embed a Store
		return nil
	}
	switch s := store.(type) {
	case tee:
		var ids []any
		for _, one := range s {
			ids = append(ids, storeIDs(one)...)
		}
		return ids
	case ownStore:
		if own := s.own(); !isnil.Value(own) {
			return []any{own}
		}
		return nil
	default:
		return claim.IDsOf(store)
	}
}
