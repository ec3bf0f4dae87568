// SPDX-License-Identifier: Apache-2.0

package watchsource_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/watchtest"
)

// heap returns how many bytes are in use once garbage is gone.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what the first one has only finalized
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

// decoded returns a pod as a decoder does: no string in it is shared with
// another pod's.
func decoded(i, version int) *corev1.Pod {
	own := func(format string, args ...any) string { return strings.Clone(fmt.Sprintf(format, args...)) }
	p := pod(own("%d", i), uid(own("4f1c6a3e-0000-4000-8000-%012d", i)), phase(corev1.PodRunning), container(executorContainer, running()))
	p.Name, p.Namespace = own("spark-5f0c1a7e9b-exec-%d", i), own("jobs")
	p.ResourceVersion = own("%d", 1_000_000+version)
	p.Spec.NodeName, p.Status.PodIP = own("node-%d", i%200), own("10.%d.%d.%d", i>>16, i>>8&255, i&255)
	return p
}

// The documented limit of WithoutPods, with strings that no other pod shares.
func TestHeapPerExecutorWithoutPods(t *testing.T) {
	const executors, limit = 100_000, 580
	selector := selectorOf(t, watchsource.LabelRole)
	before := heap()
	store := watchsource.NewStore(watchsource.WithoutPods())
	watcher := watchsource.NewWatcher(store, selector)
	watcher.Replace(nil, "1")
	for round := range 2 { // which also changes each once
		for i := range executors {
			if err := watcher.Receive(modified(decoded(i, round*executors+i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	each := (heap() - before) / executors
	t.Logf("%d bytes per executor", each)
	if each > limit {
		t.Errorf("%d bytes per executor, want at most %d", each, limit)
	}
	runtime.KeepAlive(store)
	runtime.KeepAlive(watcher)
}

// Executors that have left leave nothing behind: no places in the view, and in
// the backlog of a reader that is stuck no more than was allowed, up to the limit
// and nothing from then on.
func TestDeletedExecutorsFreeMemory(t *testing.T) {
	const executors, limit = 200_000, 1 << 20
	store := watchsource.NewStore(watchsource.WithBacklogLimit(executors / 4))
	newBatchReader(t, store, 0).next()
	before := heap()
	for i := range executors {
		p := pod("1", uid(fmt.Sprint(i)))
		store.UpdatePod(p)
		store.DeletePod(p)
	}
	if grown := heap() - before; grown > limit {
		t.Errorf("%d executors that have left keep %d bytes, want at most %d", executors, grown, limit)
	}
	runtime.KeepAlive(store)
}

// An application without pods on a shared watch costs less than 2 kB beside its store, and
// no goroutine.
func TestHeapPerIdleApplication(t *testing.T) {
	const applications, limit = 2_000, 2_000
	server := watchtest.NewServer()
	shared := watchsource.NewSharedWatch(server.Client())
	first := shared.Source(watchsource.NewStore())
	start(t, first, "first")
	defer first.Stop()
	stores := make([]*watchsource.Store, applications)
	for i := range stores {
		stores[i] = watchsource.NewStore()
	}
	sources := make([]*watchsource.WatchSnapshotSource, applications)
	before, goroutines := heap(), runtime.NumGoroutine()
	for i, store := range stores {
		sources[i] = shared.Source(store)
		start(t, sources[i], fmt.Sprint("app-", i))
	}
	each := (heap() - before) / applications
	for _, source := range sources {
		defer source.Stop()
	}
	t.Logf("%d bytes per application", each)
	if each > limit {
		t.Errorf("%d bytes per application, want at most %d", each, limit)
	}
	if n := runtime.NumGoroutine() - goroutines; n > 2 { // of the runtime
		t.Errorf("%d goroutines more for %d applications, want none", n, applications)
	}
	runtime.KeepAlive(stores)
	runtime.KeepAlive(sources)
}

// What a reader that is stuck costs while pods change, next to a handler of an
// informer that is stuck.
func BenchmarkStuckReader(b *testing.B) {
	const pods = 10_000
	for _, test := range []struct {
		name   string
		feed   func(*testing.B) (func(*corev1.Pod), func())
		events int
	}{
		{name: "watchsource", feed: stuckReader, events: 100_000},
		{name: "watchsource", feed: stuckReader, events: 1_000_000},
		{name: "informer", feed: stuckHandler, events: 100_000},
	} {
		b.Run(fmt.Sprintf("consumer=%s/pods=%d/events=%d", test.name, pods, test.events), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				tell, stop := test.feed(b)
				for i := range pods {
					tell(decoded(i, i))
				}
				before := heap()
				b.StartTimer()
				for i := range test.events {
					tell(decoded(i%pods, pods+i))
				}
				b.StopTimer()
				b.ReportMetric(float64(heap()-before)/float64(test.events), "heap-B/event")
				stop()
				b.StartTimer()
			}
		})
	}
}

func stuckReader(*testing.B) (tell func(*corev1.Pod), stop func()) {
	store := watchsource.NewStore()
	ctx, cancel := context.WithCancel(context.Background())
	stuck := make(chan struct{})
	left := make(chan struct{})
	go func() {
		defer close(left)
		for range store.Batches(ctx, 0) {
			close(stuck)
			<-ctx.Done()
		}
	}()
	<-stuck
	return store.UpdatePod, func() { cancel(); <-left }
}

func stuckHandler(b *testing.B) (tell func(*corev1.Pod), stop func()) {
	events := watch.NewFake()
	informer := cache.NewSharedInformer(&cache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (apiruntime.Object, error) {
			return &corev1.PodList{}, nil
		},
		WatchFuncWithContext: func(context.Context, metav1.ListOptions) (watch.Interface, error) { return events, nil },
	}, &corev1.Pod{}, 0)
	release := make(chan struct{})
	wait := func() { <-release }
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { wait() },
		UpdateFunc: func(any, any) { wait() },
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan struct{})
	go func() { defer close(left); informer.RunWithContext(ctx) }()
	events.Action(watch.Bookmark, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		ResourceVersion: "1", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
	}})
	known := map[string]bool{}
	tell = func(p *corev1.Pod) {
		if known[p.Name] {
			events.Modify(p)
			return
		}
		known[p.Name] = true
		events.Add(p)
	}
	return tell, func() { close(release); cancel(); <-left }
}
