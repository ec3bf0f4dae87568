// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	corev1listers "k8s.io/client-go/listers/core/v1"
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

// scattered returns the pods in an order that no cache can guess.
func scattered(pods []*corev1.Pod, i int) *corev1.Pod { return pods[i*7919%len(pods)] }

func filledStore(pods []*corev1.Pod) *watchsource.Store {
	store := watchsource.NewStore()
	store.ReplaceSnapshot(pods)
	return store
}

// informerStore is what stands under an informer.
func informerStore(b *testing.B, pods []*corev1.Pod) cache.Indexer {
	store := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for _, p := range pods {
		if err := store.Add(p); err != nil {
			b.Fatal(err)
		}
	}
	return store
}

// The cost of one event in the store, next to the store under an informer. Unlike the
// informer's, this store leaves a new immutable snapshot behind. The pod of the event was
// just decoded, so it is in the processor's caches. The pods that the store holds are not.
// If only a thousand of them change, the difference between the sizes is the cost of the
// number of pods.
func BenchmarkUpdate(b *testing.B) {
	const few = 1_000
	for _, n := range benchmarkSizes {
		pods := benchmarkPods(n)
		for _, changing := range slices.Compact([]int{n, few}) {
			size := fmt.Sprintf("pods=%d/changing=%d", n, changing)
			b.Run("store=watchsource/"+size, func(b *testing.B) {
				store := filledStore(pods)
				eachUpdate(b, pods[:changing], store.UpdatePod)
			})
			b.Run("store=informer/"+size, func(b *testing.B) {
				store := informerStore(b, pods)
				eachUpdate(b, pods[:changing], func(pod *corev1.Pod) {
					if err := store.Update(pod); err != nil {
						b.Fatal(err)
					}
				})
			})
		}
	}
}

// eachUpdate measures an update at a time, of pods made a few at a time.
func eachUpdate(b *testing.B, pods []*corev1.Pod, update func(*corev1.Pod)) {
	var fresh [128]*corev1.Pod
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%len(fresh) == 0 {
			b.StopTimer()
			for ahead := range fresh {
				fresh[ahead] = scattered(pods, i+ahead).DeepCopy()
			}
			b.StartTimer()
		}
		update(fresh[i%len(fresh)])
	}
}

// The cost of one pod that leaves and another that comes.
func BenchmarkLeaveAndArrive(b *testing.B) {
	for _, n := range benchmarkSizes {
		pods := benchmarkPods(n)
		b.Run(fmt.Sprintf("store=watchsource/pods=%d", n), func(b *testing.B) {
			store := filledStore(pods)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				store.DeletePod(scattered(pods, i))
				store.UpdatePod(scattered(pods, i))
			}
		})
		b.Run(fmt.Sprintf("store=informer/pods=%d", n), func(b *testing.B) {
			store := informerStore(b, pods)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := store.Delete(scattered(pods, i)); err != nil {
					b.Fatal(err)
				}
				if err := store.Add(scattered(pods, i)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// The cost of a consistent view of all pods.
func BenchmarkView(b *testing.B) {
	for _, n := range benchmarkSizes {
		pods := benchmarkPods(n)
		b.Run(fmt.Sprintf("store=watchsource/pods=%d", n), func(b *testing.B) {
			store := filledStore(pods)
			b.ReportAllocs()
			for b.Loop() {
				if store.Snapshot().Len() != n {
					b.Fatal("not all")
				}
			}
		})
		b.Run(fmt.Sprintf("store=informer/pods=%d", n), func(b *testing.B) {
			lister := corev1listers.NewPodLister(informerStore(b, pods))
			b.ReportAllocs()
			for b.Loop() {
				if all, err := lister.List(labels.Everything()); err != nil || len(all) != n {
					b.Fatal(len(all), err)
				}
			}
		})
	}
}

// The cost of finding the executors that have ended among 1,000 changes: in a batch, and
// in Spark's way, in which the reader gets a snapshot after each change and searches all
// of them.
func BenchmarkBatch(b *testing.B) {
	for _, n := range benchmarkSizes {
		pods := benchmarkPods(n)
		b.Run(fmt.Sprintf("way=batch/pods=%d", n), func(b *testing.B) { benchmarkBatch(b, pods) })
		b.Run(fmt.Sprintf("way=Spark/pods=%d", n), func(b *testing.B) { benchmarkSparkBatch(b, pods) })
	}
}

// batchChanges is the number of changes in a batch. Each is of another pod, and half of them are ends.
const batchChanges = 1000

func batchChange(pods []*corev1.Pod, i int) *corev1.Pod {
	p := *scattered(pods, i)
	if i%2 == 0 {
		p.Status.Phase = corev1.PodFailed
	}
	return &p
}

func benchmarkBatch(b *testing.B, pods []*corev1.Pod) {
	store := filledStore(pods)
	next, stop := iter.Pull(store.Batches(context.Background(), 0))
	defer stop()
	next()
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for i := range batchChanges {
			store.UpdatePod(scattered(pods, i))
		}
		next()
		for i := range batchChanges {
			store.UpdatePod(batchChange(pods, i))
		}
		b.StartTimer()
		ended := 0
		batch, _ := next()
		for _, c := range batch.Changes {
			if c.After.State.Ended() {
				ended++
			}
		}
		if ended != batchChanges/2 {
			b.Fatalf("%d have ended", ended)
		}
	}
}

// benchmarkSparkBatch finds the ends as Spark does, in all snapshots of an interval.
func benchmarkSparkBatch(b *testing.B, pods []*corev1.Pod) {
	store := filledStore(pods)
	var snapshots []watchsource.Snapshot
	for i := range batchChanges {
		store.UpdatePod(batchChange(pods, i))
		snapshots = append(snapshots, store.Snapshot())
	}
	b.ReportAllocs()
	for b.Loop() {
		ended := map[string]bool{}
		for _, snapshot := range snapshots {
			for e := range snapshot.All() {
				if e.State.Ended() {
					ended[e.Name] = true
				}
			}
		}
		if len(ended) != batchChanges/2 {
			b.Fatalf("%d have ended", len(ended))
		}
	}
}
