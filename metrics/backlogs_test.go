// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/metrics"
	"github.com/executorpods/watchsource/watchtest"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// A reader that lags shows with its line of code. The collector's reader does not.
func TestBacklogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		a := newApplication("app", single(server), watchsource.WithBacklogLimit(3))
		collector := metrics.NewCollector(a.source, a.store)
		defer collector.Close()
		a.start(t)
		blocked := make(chan struct{})
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range a.store.Batches(t.Context(), 0) {
				<-blocked
			}
		}()
		synctest.Wait()
		for i := range 2 {
			createPod(server, "app", fmt.Sprint("exec-", i))
		}
		synctest.Wait()
		if got := value(t, collector, "watchsource_backlog_changes"); got != 2 {
			t.Errorf("%v changes wait, want 2", got)
		}
		for i := range 5 {
			createPod(server, "app", fmt.Sprint("more-", i))
		}
		synctest.Wait()
		for range 2 {
			if got := value(t, collector, "watchsource_backlog_dropped_total"); got != 1 {
				t.Errorf("the backlog was dropped %v times, want 1", got)
			}
		}
		close(blocked)
		synctest.Wait()
		if got := value(t, collector, "watchsource_backlog_changes"); got != 0 {
			t.Errorf("%v changes wait, want 0 after the reader has continued", got)
		}
		if n := testutil.CollectAndCount(collector, "watchsource_backlog_changes"); n != 1 {
			t.Errorf("%d readers, want only that of the test", n)
		}
	})
}

// Changes that wait for the collector's own reader are no backlog.
func TestOwnReader(t *testing.T) {
	store := watchsource.NewStore()
	source := watchsource.NewWatchSnapshotSource(store, watchtest.NewServer().Client())
	collector := metrics.NewCollector(source, store)
	defer collector.Close()
	for version := range 1000 {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "exec", UID: "exec", ResourceVersion: fmt.Sprint(version + 1)}}
		store.UpdatePod(pod)
		if n := testutil.CollectAndCount(collector, "watchsource_backlog_changes"); n != 0 {
			t.Fatalf("%d readers, want none", n)
		}
	}
}

// What the collector's own reader misses because its backlog is dropped counts once. Old ends do not
// count when their pods leave.
func TestEndsOfADroppedBacklog(t *testing.T) {
	store := watchsource.NewStore(watchsource.WithBacklogLimit(1))
	source := watchsource.NewWatchSnapshotSource(store, watchtest.NewServer().Client())
	collector := metrics.NewCollector(source, store)
	defer collector.Close()
	old := metav1.NewTime(time.Now().Add(-72 * time.Hour))
	version := 0
	state := func(name string, phase corev1.PodPhase, reason string) *corev1.Pod {
		version++
		pod := executorPod("app", name)
		pod.UID, pod.ResourceVersion, pod.CreationTimestamp = types.UID(name), fmt.Sprint(version), old
		pod.Status = corev1.PodStatus{Phase: phase, Reason: reason}
		return pod
	}
	taken := func() {
		for len(store.Backlogs()) > 0 {
			runtime.Gosched()
		}
	}
	var pods []*corev1.Pod
	for i := range 4 {
		pods = append(pods, state(fmt.Sprint("old-", i), corev1.PodFailed, "Evicted"), state(fmt.Sprint("present-", i), corev1.PodRunning, ""))
	}
	store.ReplaceSnapshot(append(pods, state("first", corev1.PodRunning, "")))
	taken()

	release := metrics.HoldEnds(collector)
	store.UpdatePod(state("first", corev1.PodFailed, "Evicted"))
	taken() // and then the reader waits for the lock
	for i := range 4 {
		store.DeletePod(state(fmt.Sprint("old-", i), corev1.PodFailed, "Evicted"))
		store.UpdatePod(state(fmt.Sprint("present-", i), corev1.PodFailed, "Evicted"))
	}
	store.DeletePod(state("present-3", corev1.PodFailed, "Evicted"))
	if all := store.Backlogs(); len(all) != 1 || !all[0].Dropped {
		t.Fatalf("backlogs %+v, want one that was dropped", all)
	}
	release()
	taken()
	collector.Remove(source) // after it has counted
	if got, want := fmt.Sprint(reasonsOf(t, collector, "watchsource_executor_ends_total")), "map[Evicted:4 other:1]"; got != want {
		t.Errorf("ends %s, want %s", got, want)
	}
}

// A reader that never continues does not hide those that lag later, at the same line of code.
func TestDropsOfSeveralSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		shared := watchsource.NewSharedWatch(server.Client())
		collector := metrics.NewSharedCollector()
		defer collector.Close()
		blocked := make(chan struct{})
		defer close(blocked)
		for i, id := range []string{"one", "two"} {
			a := newApplication(id, shared.Source, watchsource.WithBacklogLimit(3))
			a.addTo(t, collector)
			a.start(t)
			go func() {
				for range a.store.Batches(t.Context(), 0) {
					<-blocked
				}
			}()
			synctest.Wait()
			for i := range 6 {
				createPod(server, id, fmt.Sprint(id, "-", i))
			}
			if got := value(t, collector, "watchsource_backlog_dropped_total"); got != float64(i+1) {
				t.Errorf("dropped %v, want %d", got, i+1)
			}
		}
	})
}
