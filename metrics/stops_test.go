// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/metrics"
	"github.com/executorpods/watchsource/watchtest"
	corev1 "k8s.io/api/core/v1"
)

// wantEnds fails unless these ends were counted, by reason.
func wantEnds(t *testing.T, collector *metrics.Collector, want string) {
	t.Helper()
	if got := fmt.Sprint(endsOf(t, collector)); got != want {
		t.Errorf("ends %s, want %s", got, want)
	}
}

// Executors of another application that ended before the first application was stopped are old, and
// so are those of the first one when it is started again.
func TestEndsOfAnotherApplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		for _, app := range []string{"one", "two"} {
			for i := range 3 {
				createPod(server, app, fmt.Sprint(app, "-", i))
			}
		}
		a := newApplication("one", single(server))
		collector := metrics.NewCollector(a.source, a.store)
		defer collector.Close()
		a.start(t)
		time.Sleep(time.Hour)
		endNow(server, "one-0", killed)
		endNow(server, "two-0", killed)
		evict(server, "two-1")
		wantEnds(t, collector, "map[OOMKilled:1]")
		time.Sleep(time.Hour)
		a.source.Stop()
		time.Sleep(time.Hour)
		endNow(server, "two-2", "Error") // between Stop and Start
		if err := a.source.Start("two"); err != nil {
			t.Fatal(err)
		}
		wantEnds(t, collector, "map[Error:1 OOMKilled:1]")
		endNow(server, "one-1", killed)
		time.Sleep(time.Hour)
		a.source.Stop()
		a.start(t)
		wantEnds(t, collector, "map[Error:1 OOMKilled:1]")
		endNow(server, "one-2", "Completed")
		wantEnds(t, collector, "map[Completed:1 Error:1 OOMKilled:1]")
	})
}

// After another Start of the same application the ends in between count: also those without a time,
// and the end of another run.
func TestEndsBetweenStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		for _, name := range []string{"evicted", "again", "old"} {
			createPod(server, "app", name)
		}
		endNow(server, "old", "Error")
		time.Sleep(time.Hour)
		a := newApplication("app", single(server))
		collector := metrics.NewCollector(a.source, a.store)
		defer collector.Close()
		a.start(t)
		endNow(server, "again", killed)
		wantEnds(t, collector, "map[OOMKilled:1]")
		a.source.Stop()
		time.Sleep(time.Hour)
		evict(server, "evicted")
		restart(server, "again")
		time.Sleep(time.Hour)
		endNow(server, "again", killed)
		server.Delete("default", "old")
		a.start(t)
		wantEnds(t, collector, "map[Evicted:1 OOMKilled:2]")
	})
}

// A pod that moves to another owner has not ended, and an end counts once, whoever shows it.
func TestEndsOfPodsThatMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		for _, name := range []string{"runs", "ended", "with-the-move", "nobody", "while-stopped"} {
			createOwned(server, "one", name)
		}
		store := watchsource.NewStoreBy(byOwner)
		source := watchsource.NewWatchSnapshotSource(store, server.Client())
		collector := metrics.NewCollectorBy(source, store)
		defer collector.Close()
		if err := source.Start("app"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		relabel(server, "runs", "owner", "two")
		endNow(server, "ended", killed)
		relabel(server, "ended", "owner", "two")
		server.Update("default", "with-the-move", func(pod *corev1.Pod) {
			pod.Labels["owner"], pod.Status.Phase, pod.Status.Reason = "two", corev1.PodFailed, "Evicted"
		})
		server.Update("default", "nobody", func(pod *corev1.Pod) { delete(pod.Labels, "owner") })
		wantEnds(t, collector, "map[Evicted:1 OOMKilled:1]")
		endNow(server, "runs", "Error")
		wantEnds(t, collector, "map[Error:1 Evicted:1 OOMKilled:1]")

		source.Stop()
		relabel(server, "while-stopped", "owner", "two")
		relabel(server, "ended", "owner", "one")
		if err := source.Start("app"); err != nil {
			t.Fatal(err)
		}
		defer source.Stop()
		createOwned(server, "three", "new") // the next change
		wantEnds(t, collector, "map[Error:1 Evicted:1 OOMKilled:1]")
	})
}

// The same for a pod that moves between two applications of a shared collector.
func TestEndsOfPodsThatMoveBetweenApplications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		shared := watchsource.NewSharedWatch(server.Client())
		collector := metrics.NewSharedCollector()
		defer collector.Close()
		for _, id := range []string{"one", "two"} {
			a := newApplication(id, shared.Source)
			a.addTo(t, collector)
			a.start(t)
		}
		createPod(server, "one", "ended")
		createPod(server, "one", "runs")
		endNow(server, "ended", killed)
		for range 3 {
			for _, app := range []string{"two", "one"} {
				relabel(server, "ended", watchsource.LabelApp, app)
				relabel(server, "runs", watchsource.LabelApp, app)
			}
		}
		wantEnds(t, collector, "map[OOMKilled:1]")
	})
}
