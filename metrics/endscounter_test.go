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

// An end is counted once, however often Prometheus scrapes. The pod may be gone before the
// next scrape.
func TestEndsAreCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		createPod(server, "app", "before")
		end(server, "before", 1, "Error")
		a := newApplication("app", single(server))
		collector := metrics.NewCollector(a.source, a.store)
		defer collector.Close()
		a.start(t)
		createPod(server, "app", "quick")
		end(server, "quick", 137, "OOMKilled")
		server.Delete("default", "quick")
		createPod(server, "app", "odd")
		end(server, "odd", 3, "a text of the runtime")
		createPod(server, "app", "killed")
		server.Delete("default", "killed")
		const want = `
# HELP watchsource_executor_ends_total Executors that have ended since the collector began, by state and reason. Deleted: without an end.
# TYPE watchsource_executor_ends_total counter
watchsource_executor_ends_total{reason="Completed",state="Succeeded"} 0
watchsource_executor_ends_total{reason="Error",state="Failed"} 1
watchsource_executor_ends_total{reason="Evicted",state="Failed"} 0
watchsource_executor_ends_total{reason="OOMKilled",state="Failed"} 1
watchsource_executor_ends_total{reason="none",state="Deleted"} 1
watchsource_executor_ends_total{reason="other",state="Failed"} 1
`
		for range 3 {
			requireMetrics(t, collector, want, "watchsource_executor_ends_total")
			server.Strike(watchtest.Cut())
			time.Sleep(time.Minute)
		}
		server.Delete("default", "odd")
		server.Delete("default", "before")
		requireMetrics(t, collector, want, "watchsource_executor_ends_total")
	})
}

// A source that is started again goes on counting: an executor that has ended or left in between is
// counted, and no end is counted again. Executors of an earlier application have not left.
func TestEndsAreCountedAfterAnotherStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		for _, name := range []string{"before", "fails", "leaves", "later", "stays"} {
			createPod(server, "app", name)
			setPhase(server, name, corev1.PodRunning)
		}
		end(server, "before", 1, "Error")
		createPod(server, "other", "other-ended")
		end(server, "other-ended", 0, "Completed")
		a := newApplication("app", single(server))
		collector := metrics.NewCollector(a.source, a.store)
		defer collector.Close()
		a.start(t)
		requireMetrics(t, collector, endsText(0, 1, 0, 0), "watchsource_executor_ends_total")
		for range 2 {
			a.source.Stop()
			requireMetrics(t, collector, endsText(0, 1, 0, 0), "watchsource_executor_ends_total")
			a.start(t)
			requireMetrics(t, collector, endsText(0, 1, 0, 0), "watchsource_executor_ends_total")
		}

		a.source.Stop()
		end(server, "fails", 1, "Error")
		server.Delete("default", "leaves")
		a.start(t)
		requireMetrics(t, collector, endsText(0, 2, 0, 1), "watchsource_executor_ends_total")
		end(server, "later", 137, "OOMKilled")
		requireMetrics(t, collector, endsText(0, 2, 1, 1), "watchsource_executor_ends_total")

		a.source.Stop()
		if err := a.source.Start("other"); err != nil {
			t.Fatal(err)
		}
		requireMetrics(t, collector, endsText(1, 2, 1, 1), "watchsource_executor_ends_total")
		a.source.Stop()
	})
}

func endsText(completed, failed, outOfMemory, deleted int) string {
	return fmt.Sprintf(`
# HELP watchsource_executor_ends_total Executors that have ended since the collector began, by state and reason. Deleted: without an end.
# TYPE watchsource_executor_ends_total counter
watchsource_executor_ends_total{reason="Completed",state="Succeeded"} %d
watchsource_executor_ends_total{reason="Error",state="Failed"} %d
watchsource_executor_ends_total{reason="Evicted",state="Failed"} 0
watchsource_executor_ends_total{reason="OOMKilled",state="Failed"} %d
watchsource_executor_ends_total{reason="none",state="Deleted"} %d
`, completed, failed, outOfMemory, deleted)
}

// The ends that wait for the collector's reader are counted when the source is removed.
// After Close no goroutine runs: synctest fails if one does.
func TestRemoveCountsAllEnds(t *testing.T) {
	const apps = 50
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		shared := watchsource.NewSharedWatch(server.Client())
		collector := metrics.NewSharedCollector()
		for i := range apps {
			app := fmt.Sprint("app-", i)
			createPod(server, app, app)
			a := newApplication(app, shared.Source)
			a.addTo(t, collector)
			a.start(t)
			end(server, app, 1, "Error")
			for a.store.Snapshot().Count(watchsource.Failed) == 0 {
				_, changed := a.store.Latest()
				<-changed
			}
			a.source.Stop()
			collector.Remove(a.source)
		}
		collector.Close()
		requireMetrics(t, collector, endsText(0, apps, 0, 0), "watchsource_executor_ends_total")
	})
}
