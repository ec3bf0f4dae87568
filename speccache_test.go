// SPDX-License-Identifier: Apache-2.0

package watchsource

import (
	"fmt"
	"testing"
	"testing/synctest"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/executorpods/watchsource/internal/podtest"
	"github.com/executorpods/watchsource/internal/podwire"
	"github.com/executorpods/watchsource/watchtest"
)

// A source gives its store without pods the spec of each pod, after a list and after a change,
// so that it decodes a spec once.
func TestSpecsAreCached(t *testing.T) {
	for name, newSource := range map[string]func(kubernetes.Interface, *Store) *WatchSnapshotSource{
		"source": func(client kubernetes.Interface, store *Store) *WatchSnapshotSource {
			return NewWatchSnapshotSource(store, client)
		},
		"shared": func(client kubernetes.Interface, store *Store) *WatchSnapshotSource {
			return NewSharedWatch(client, WithTrimmedPods()).Source(store)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := watchtest.NewServer()
				store := NewStore(WithoutPods())
				for i := range 3 {
					server.Create(podtest.Pod(fmt.Sprint(i)))
				}
				source := newSource(server.Client(), store)
				if err := source.Start(podtest.App); err != nil {
					t.Fatal(err)
				}
				defer source.Stop()
				synctest.Wait()
				listed := digests(store)
				requireDigests(t, listed, 3)

				first := podtest.Pod("0")
				server.Update(first.Namespace, first.Name, func(p *corev1.Pod) { p.Status.Phase = corev1.PodRunning })
				server.Create(podtest.Pod("3"))
				synctest.Wait()
				unchanged := digests(store)
				requireDigests(t, unchanged, 4)
				if got, want := unchanged[first.Name], listed[first.Name]; got != want {
					t.Errorf("the digest of a spec that did not change is %x, want %x", got, want)
				}

				server.Update(first.Namespace, first.Name, func(p *corev1.Pod) { p.Spec.NodeName = "another" })
				synctest.Wait()
				if changed := digests(store); changed[first.Name] == listed[first.Name] {
					t.Errorf("the digest of a spec that has changed is still %x, want another", changed[first.Name])
				}
			})
		})
	}
}

// digests returns the digests of the cached specs by the names of the pods.
func digests(store *Store) map[string]uint64 {
	all := map[string]uint64{}
	for e := range store.Snapshot().All() {
		all[e.Name] = specCache{store}.Lookup([]byte(e.UID)).Spec.Digest
	}
	return all
}

func requireDigests(t *testing.T, digests map[string]uint64, pods int) {
	t.Helper()
	if len(digests) != pods {
		t.Fatalf("%d pods, want %d", len(digests), pods)
	}
	for name, digest := range digests {
		if digest == 0 {
			t.Errorf("the spec of %s is not cached, want it cached", name)
		}
	}
}

// A cached spec belongs to one pod, wherever the pod is in the view.
func TestCachedSpecFollowsItsPod(t *testing.T) {
	store := NewStore(WithoutPods())
	cache := specCache{store}
	named := func(name string) *corev1.Pod {
		pod := podtest.Pod(name)
		pod.Name, pod.UID = name, types.UID("uid-"+name)
		return pod
	}
	require := func(name string, want uint64) {
		t.Helper()
		got := cache.Lookup([]byte("uid-" + name))
		if got.Name != name || got.Spec.Digest != want {
			t.Errorf("%q with digest %d is cached, want %q with %d", got.Name, got.Spec.Digest, name, want)
		}
	}

	cache.Set("uid-b", podwire.CachedSpec{Digest: 1}) // not received yet
	store.ReplaceSnapshot([]*corev1.Pod{named("b"), named("c")})
	require("b", 0)
	cache.Set("uid-b", podwire.CachedSpec{Digest: 2})
	cache.Set("uid-c", podwire.CachedSpec{Digest: 3})
	store.UpdatePod(named("b"))
	require("b", 2)

	store.ReplaceSnapshot([]*corev1.Pod{named("a"), named("b"), named("c")})
	require("a", 0)
	require("b", 2)
	require("c", 3)

	store.DeletePod(named("b"))
	if got := cache.Lookup([]byte("uid-b")); got != (podwire.CachedPod{}) {
		t.Errorf("%+v is cached of a pod that is gone, want nothing", got)
	}
	store.UpdatePod(named("d")) // at the index that b had
	require("d", 0)
	require("c", 3)
}
