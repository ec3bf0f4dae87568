// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
)

// versionTruth has the executors that each owner has at each version.
type versionTruth struct {
	mu sync.Mutex
	at map[string]string // by owner and version
}

func (v *versionTruth) set(version int, pods map[string]string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, owner := range modelOwners {
		v.at[fmt.Sprint(owner, version)] = listOf(pods, owner)
	}
}

func (v *versionTruth) of(owner, version string) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.at[owner+version]
}

// listOf lists the pods of an owner as names does.
func listOf(pods map[string]string, owner string) string {
	var list []*corev1.Pod
	for id, of := range pods {
		if of == owner {
			list = append(list, pod(id, uid(id)))
		}
	}
	store := watchsource.NewStore()
	store.ReplaceSnapshot(list)
	return names(store.Snapshot())
}

// A snapshot that is taken while events and lists arrive has exactly the executors that its owner has
// at the version of the snapshot.
func TestGuarantee1SnapshotsOfOwnersEqualTheirVersions(t *testing.T) {
	r := random(t)
	store, truth := watchsource.NewStoreBy(byJob), &versionTruth{at: map[string]string{}}
	done := make(chan struct{})
	var readers sync.WaitGroup
	for i := range 3 {
		readers.Go(func() { readSnapshots(t, store, truth, i, done) })
	}
	pods := map[string]string{} // the owners by id
	for v := 1; v < 3000; v++ {
		id, version := fmt.Sprint(r.IntN(6)), fmt.Sprint(v)
		owner := modelOwners[r.IntN(len(modelOwners))]
		changed := pod(id, uid(id), func(p *corev1.Pod) { p.ResourceVersion = version; setOwner(p, owner) })
		switch r.IntN(6) {
		case 0:
			delete(pods, id)
			truth.set(v, pods)
			store.DeletePod(changed)
		case 1:
			pods[id] = owner
			truth.set(v, pods)
			var list []*corev1.Pod
			for id, owner := range pods {
				list = append(list, pod(id, uid(id), func(p *corev1.Pod) { p.ResourceVersion = version; setOwner(p, owner) }))
			}
			store.ReplaceSnapshot(list)
		default:
			pods[id] = owner
			truth.set(v, pods)
			store.UpdatePod(changed)
		}
		store.ObserveResourceVersion(version)
	}
	close(done)
	readers.Wait()
}

// readSnapshots compares snapshots of owners with the truth until done is closed.
func readSnapshots(t *testing.T, store *watchsource.StoreBy[string], truth *versionTruth, first int, done <-chan struct{}) {
	for n := first; ; n++ {
		owner := modelOwners[n%4]
		snapshot, _ := store.Latest(owner)
		if n%2 == 0 {
			snapshot = store.Snapshot(owner)
		}
		version := snapshot.ResourceVersion()
		if got, want := names(snapshot), truth.of(owner, version); version != "" && got != want {
			t.Errorf("the snapshot of %s at version %s has %q, want %q", owner, version, got, want)
			return
		}
		select {
		case <-done:
			return
		default:
		}
	}
}
