// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/executorpods/watchsource"
)

var benchmarkSizes = []int{1_000, 10_000, 100_000}

func benchmarkPods(n int) []*corev1.Pod {
	pods := make([]*corev1.Pod, n)
	for i := range pods {
		id := fmt.Sprint(i)
		pods[i] = pod(id, uid(id), version(fmt.Sprint(i+1)), phase(corev1.PodRunning), container(executorContainer, running()))
	}
	return pods
}

// informerStore is what stands under an informer.
func informerStore(b *testing.B, pods []*corev1.Pod) cache.Store {
	store := cache.NewStore(cache.MetaNamespaceKeyFunc)
	for _, p := range pods {
		if err := store.Add(p); err != nil {
			b.Fatal(err)
		}
	}
	return store
}

// What one event costs the store, next to the store under an informer. Ours
// leaves a new immutable snapshot behind, the informer's does not.
func BenchmarkUpdate(b *testing.B) {
	for _, n := range benchmarkSizes {
		pods := benchmarkPods(n)
		b.Run(fmt.Sprintf("store=watchsource/pods=%d", n), func(b *testing.B) {
			store := watchsource.NewStore()
			store.ReplaceSnapshot(pods)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				store.UpdatePod(pods[i*7919%n])
			}
		})
		b.Run(fmt.Sprintf("store=informer/pods=%d", n), func(b *testing.B) {
			store := informerStore(b, pods)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := store.Update(pods[i*7919%n]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What it costs to have a consistent view of all pods in hand.
func BenchmarkView(b *testing.B) {
	for _, n := range benchmarkSizes {
		pods := benchmarkPods(n)
		b.Run(fmt.Sprintf("store=watchsource/pods=%d", n), func(b *testing.B) {
			store := watchsource.NewStore()
			store.ReplaceSnapshot(pods)
			b.ReportAllocs()
			for b.Loop() {
				if store.Snapshot().Len() != n {
					b.Fatal("not all")
				}
			}
		})
		b.Run(fmt.Sprintf("store=informer/pods=%d", n), func(b *testing.B) {
			store := informerStore(b, pods)
			b.ReportAllocs()
			for b.Loop() {
				if len(store.List()) != n {
					b.Fatal("not all")
				}
			}
		})
	}
}
