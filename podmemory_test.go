// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/internal/test/modeltest"
	"github.com/executorpods/watchsource/internal/test/podtest"
	"github.com/executorpods/watchsource/watchtest"
)

// The limits of this file are for stores that a source feeds with the protobuf of a server. They
// leave room above the measured values, and are far below the size of decoded pods.

// shortHistory keeps the server's own memory about the same while pods change.
var shortHistory = watchtest.WithHistory(100)

// sparkPod returns the i-th pod as Spark makes it, nearly equal to the others.
func sparkPod(i int) *corev1.Pod {
	return executorOf(podtest.Executor(i, 1, true), fmt.Sprint("exec-", i))
}

// different returns the i-th pod of which each has other texts in all parts.
func different(i int) *corev1.Pod {
	p := sparkPod(i)
	p.ManagedFields = nil
	env := p.Spec.Containers[0].Env
	for j := range env {
		env[j] = corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d_%d", i, j), Value: fmt.Sprintf("value %d of %d, which no other pod has", j, i)}
	}
	p.Annotations = map[string]string{fmt.Sprint("example.com/", i): fmt.Sprint("annotation of ", i)}
	return p
}

// waitForServer returns once the store has everything that the server has.
func waitForServer(t *testing.T, store *watchsource.Store, server *watchtest.Server) {
	t.Helper()
	if _, err := store.WaitForResourceVersion(t.Context(), server.ResourceVersion()); err != nil {
		t.Fatal(err)
	}
}

// settledHeap is heap after more collections, because weak pointers are freed in several steps.
func settledHeap() int64 {
	heap()
	return heap()
}

// A reader that keeps one executor keeps its pod, and not the pods of others, once the store and
// all else is gone: whether the executor was listed, changed, or is deleted.
func TestOneExecutorKeepsNoOthers(t *testing.T) {
	skipUnderRace(t)
	const limit = 64 << 10
	listed := func(first, _, _ watchsource.Executor) watchsource.Executor { return first }
	changed := func(_, last, _ watchsource.Executor) watchsource.Executor { return last }
	deleted := func(_, _, deleted watchsource.Executor) watchsource.Executor { return deleted }
	for _, test := range []struct {
		name  string
		pods  int
		podOf func(i int) *corev1.Pod
		which func(first, last, deleted watchsource.Executor) watchsource.Executor
	}{
		{name: "listed", pods: 5_000, podOf: sparkPod, which: listed},
		{name: "changed", pods: 1_000, podOf: sparkPod, which: changed},
		{name: "deleted", pods: 1_000, podOf: sparkPod, which: deleted},
		{name: "listed, all different", pods: 1_000, podOf: different, which: listed},
		{name: "changed, all different", pods: 1_000, podOf: different, which: changed},
		{name: "deleted, all different", pods: 1_000, podOf: different, which: deleted},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.which(oneOf(t, 100, test.podOf)) // fills what a process has once
			before := settledHeap()
			kept := test.which(oneOf(t, test.pods, test.podOf))
			grown := settledHeap() - before
			t.Logf("%d bytes", grown)
			if grown > limit {
				t.Errorf("one executor of %d keeps %d bytes, want at most %d", test.pods, grown, limit)
			}
			want := test.podOf(test.pods / 2).Spec.Containers[0].Env
			if got := keptPod(t, kept).Spec.Containers[0].Env; !slices.Equal(got[:3], want[:3]) {
				t.Errorf("the pod has the variables %v, want %v", got, want)
			}
		})
	}
}

// watchPods creates pods on a server and starts a source with a store. The caller stops the source,
// before it measures what is left.
func watchPods(t *testing.T, pods int, podOf func(i int) *corev1.Pod) (*watchtest.Server, *watchsource.Store, *watchsource.WatchSnapshotSource) {
	t.Helper()
	server := watchtest.NewServer(shortHistory)
	for i := range pods {
		server.Create(podOf(i))
	}
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, server.Client())
	start(t, source, podtest.App)
	return server, store, source
}

// oneOf returns one executor of many: as it was listed, after it has changed, and deleted.
func oneOf(t *testing.T, pods int, podOf func(i int) *corev1.Pod) (first, last, deleted watchsource.Executor) {
	t.Helper()
	server, store, source := watchPods(t, pods, podOf)
	defer source.Stop()
	next, stop := iter.Pull(store.Batches(t.Context(), 0))
	defer stop()
	next()
	name := fmt.Sprint("exec-", pods/2)
	first, _ = store.Snapshot().Get(name)
	for i := range pods {
		server.Update(podtest.Namespace, fmt.Sprint("exec-", i), func(p *corev1.Pod) { p.Status.PodIP = "10.255.255.255" })
	}
	waitForServer(t, store, server)
	last, _ = store.Snapshot().Get(name)
	server.Delete(podtest.Namespace, name)
	waitForServer(t, store, server)
	for {
		batch, ok := next()
		if !ok {
			t.Fatal("the batches have ended, want the deletion")
		}
		for _, c := range batch.Changes {
			if c.After.Name == name && c.After.State == watchsource.Deleted {
				return first, last, *c.After
			}
		}
	}
}

// Pods that were deleted leave nothing behind, however many there were and whether they were
// alike: in the store, in its source, and in what pods have in common.
func TestDeletedPodsFreeMemory(t *testing.T) {
	skipUnderRace(t)
	const limit = 384 << 10
	for _, test := range []struct {
		name  string
		pods  int
		podOf func(i int) *corev1.Pod
	}{
		{name: "small", pods: 10_000, podOf: func(i int) *corev1.Pod { return pod(fmt.Sprint(i), podtest.Runnable) }},
		{name: "alike", pods: 2_000, podOf: sparkPod},
		{name: "different", pods: 2_000, podOf: different},
		{name: "filled", pods: 2_000, podOf: func(i int) *corev1.Pod { return executorOf(podtest.Filled(uint64(i)), fmt.Sprint("exec-", i)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := watchtest.NewServer(shortHistory)
			server.Create(executorOf(podtest.Executor(0, 1, true), "stays"))
			store := watchsource.NewStore(watchsource.WithLogger(logr.Discard()))
			source := watchsource.NewWatchSnapshotSource(store, server.Client())
			start(t, source, podtest.App)
			defer source.Stop()
			churn := func(pods int) {
				const at = 100 // at a time
				for from := 0; from < pods; from += at {
					for i := from; i < from+at; i++ {
						server.Create(test.podOf(i))
					}
					waitForServer(t, store, server)
					for i := from; i < from+at; i++ {
						server.Delete(podtest.Namespace, fmt.Sprint("exec-", i))
					}
				}
				waitForServer(t, store, server)
			}
			churn(500)
			before := settledHeap()
			churn(test.pods)
			grown := settledHeap() - before
			t.Logf("%d bytes", grown)
			if grown > limit {
				t.Errorf("%d pods that were deleted keep %d bytes, want at most %d", test.pods, grown, limit)
			}
			if n := store.Snapshot().Len(); n != 1 {
				t.Errorf("%d executors are left, want 1", n)
			}
			runtime.KeepAlive(store)
		})
	}
}

// A pod that differs little from the others costs at most 2 kB in a Store, of the 4 kB that it
// has without managedFields. This is true after a list and after changes.
func TestHeapPerPod(t *testing.T) {
	const pods, limit = 5_000, 2_000
	wantHeapPerPod(t, pods, limit, limit, sparkPod, watchsource.NewStore)
}

// An executor costs at most 620 bytes in a store without pods with its source, which decodes
// protobuf, and a shared watch adds at most 130 bytes. Of so many executors the map is the least full.
func TestHeapPerPodWithoutPods(t *testing.T) {
	const pods, limit = 10_000, 620
	small := func(i int) *corev1.Pod { return executorOf(decoded(i, i), fmt.Sprint("exec-", i)) }
	wantHeapPerPod(t, pods, limit, limit+130, small, func(options ...watchsource.StoreOption) *watchsource.Store {
		return watchsource.NewStore(append(options, watchsource.WithoutPods())...)
	})
}

func wantHeapPerPod(t *testing.T, pods int, limit, sharedLimit int64, podOf func(i int) *corev1.Pod, newStore func(...watchsource.StoreOption) *watchsource.Store) {
	skipUnderRace(t)
	for _, test := range []struct {
		name      string
		newSource modeltest.NewSource
		lists     string
		limit     int64
	}{
		{name: "own watch", newSource: watchsource.NewWatchSnapshotSource, lists: "streaming list", limit: limit},
		{name: "shared watch", newSource: modeltest.Shared, lists: "plain list", limit: sharedLimit},
	} {
		t.Run(test.name+"/"+test.lists, func(t *testing.T) {
			server := watchtest.NewServer(append([]watchtest.Option{shortHistory}, podLists[test.lists]...)...)
			for i := range pods {
				server.Create(podOf(i))
			}
			change := func(ip string) {
				for i := range pods {
					server.Update(podtest.Namespace, fmt.Sprint("exec-", i), func(p *corev1.Pod) { p.Status.PodIP = ip })
				}
			}
			change("10.0.0.0") // so that the server's own memory is the same before and after
			server.List(executors)
			before := settledHeap()
			store := newStore()
			source := test.newSource(store, server.Client())
			start(t, source, podtest.App)
			defer source.Stop()
			check := func(after string) {
				t.Helper()
				server.List(executors) // of which the server keeps the last
				each := (settledHeap() - before) / int64(pods)
				t.Logf("%d bytes per pod after %s", each, after)
				if each > test.limit {
					t.Errorf("%d bytes per pod after %s, want at most %d", each, after, test.limit)
				}
			}
			check("a list")
			change("10.0.0.1")
			waitForServer(t, store, server)
			check("changes")
			runtime.KeepAlive(store)
		})
	}
}

// runLives lets n lives of each pod begin, and lets the pods run and succeed.
func runLives(t *testing.T, server *watchtest.Server, store *watchsource.Store, pods, n int, begin func(*watchtest.Server, int)) {
	for life := range n {
		for i := range pods {
			begin(server, i)
		}
		for _, state := range []corev1.PodPhase{corev1.PodRunning, corev1.PodSucceeded} {
			for i := range pods {
				server.Update(podtest.Namespace, fmt.Sprint("exec-", i), func(p *corev1.Pod) {
					p.Status.Phase = state
					p.Status.PodIP = fmt.Sprintf("10.0.%d.%d", life%10, i)
					p.Spec.Containers[0].Image = fmt.Sprint("registry.example.com/spark:", life%3)
				})
			}
		}
		waitForServer(t, store, server)
	}
}

// An application whose pods go through the same states again and again does not grow, whether
// new pods are made for each run or their containers are started again.
func TestRecreatedPodsDoNotGrowTheHeap(t *testing.T) {
	skipUnderRace(t)
	const pods, few, many, limit = 50, 10, 40, 128 << 10
	for name, begin := range map[string]func(server *watchtest.Server, i int){
		"new pods": func(server *watchtest.Server, i int) {
			server.Delete(podtest.Namespace, fmt.Sprint("exec-", i))
			server.Create(sparkPod(i))
		},
		"the same pods": func(server *watchtest.Server, i int) {
			server.Update(podtest.Namespace, fmt.Sprint("exec-", i), phase(corev1.PodPending))
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, store, source := watchPods(t, pods, sparkPod)
			defer source.Stop()
			ctx, cancel := context.WithCancel(t.Context())
			reading := make(chan struct{})
			go func() {
				defer close(reading)
				for batch := range store.Batches(ctx, 0) {
					runtime.KeepAlive(batch)
				}
			}()
			lives := func(n int) { runLives(t, server, store, pods, n, begin) }
			lives(few)
			before := settledHeap()
			lives(many)
			grown := settledHeap() - before
			t.Logf("%d bytes", grown)
			if grown > limit {
				t.Errorf("%d lives of %d pods keep %d bytes, want at most %d", many, pods, grown, limit)
			}
			cancel()
			<-reading
			runtime.KeepAlive(store)
		})
	}
}

// skipUnderRace skips a test of memory, of which the race detector needs some itself.
func skipUnderRace(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector is on")
	}
}
