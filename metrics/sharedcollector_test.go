// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/metrics"
	"github.com/executorpods/watchsource/watchtest"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
)

// The sources of a shared watch add up to one series, and no counter goes back when an
// application comes or goes.
func TestSharedCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		shared := watchsource.NewSharedWatch(server.Client())
		collector := metrics.NewSharedCollector()
		defer collector.Close()
		apps := map[string]*application{}
		for _, id := range []string{"one", "two", "three"} {
			createPod(server, id, id+"-exec")
			apps[id] = newApplication(id, shared.Source)
			apps[id].addTo(t, collector)
			apps[id].start(t)
			setPhase(server, id+"-exec", corev1.PodRunning)
		}
		requireMetrics(t, collector, sharedText(3, 5, 0), "watchsource_executors", "watchsource_events_total", "watchsource_executor_ends_total")

		end(server, "one-exec", 137, "OOMKilled")
		synctest.Wait()
		apps["one"].source.Stop()
		collector.Remove(apps["one"].source)
		requireMetrics(t, collector, sharedText(2, 6, 1), "watchsource_executors", "watchsource_events_total", "watchsource_executor_ends_total")

		server.Update("default", "two-exec", func(pod *corev1.Pod) { pod.Labels["x"] = "y" })
		late := newApplication("late", shared.Source)
		late.addTo(t, collector)
		late.start(t)
		requireMetrics(t, collector, sharedText(2, 7, 1), "watchsource_executors", "watchsource_events_total", "watchsource_executor_ends_total")
		if watching := value(t, collector, "watchsource_watching"); watching != 1 {
			t.Errorf("watching is %v, want 1", watching)
		}
	})
}

func sharedText(running, events, ends int) string {
	text := fmt.Sprintf(`
# HELP watchsource_events_total Pod events received.
# TYPE watchsource_events_total counter
watchsource_events_total %d
# HELP watchsource_executors Executors by state.
# TYPE watchsource_executors gauge
watchsource_executors{state="Failed"} 0
watchsource_executors{state="Pending"} 0
watchsource_executors{state="Running"} %d
watchsource_executors{state="Succeeded"} 0
watchsource_executors{state="Unknown"} 0
`, events, running)
	text += fmt.Sprintf(`
# HELP watchsource_executor_ends_total Executors that have ended since the collector began, by state and reason. Deleted: without an end.
# TYPE watchsource_executor_ends_total counter
watchsource_executor_ends_total{reason="Completed",state="Succeeded"} 0
watchsource_executor_ends_total{reason="Error",state="Failed"} 0
watchsource_executor_ends_total{reason="Evicted",state="Failed"} 0
watchsource_executor_ends_total{reason="OOMKilled",state="Failed"} %d
watchsource_executor_ends_total{reason="none",state="Deleted"} 0
`, ends)
	return text
}

func TestPerApplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		shared := watchsource.NewSharedWatch(server.Client())
		collector := metrics.NewSharedCollector(metrics.PerApplication())
		defer collector.Close()
		for _, id := range []string{"one", "two"} {
			createPod(server, id, id+"-exec")
			a := newApplication(id, shared.Source)
			a.addTo(t, collector)
			a.start(t)
			end(server, id+"-exec", 1, "Error")
		}
		requireMetrics(t, collector, `
# HELP watchsource_executor_ends_total Executors that have ended since the collector began, by state and reason. Deleted: without an end.
# TYPE watchsource_executor_ends_total counter
watchsource_executor_ends_total{app="one",reason="Completed",state="Succeeded"} 0
watchsource_executor_ends_total{app="one",reason="Error",state="Failed"} 1
watchsource_executor_ends_total{app="one",reason="Evicted",state="Failed"} 0
watchsource_executor_ends_total{app="one",reason="OOMKilled",state="Failed"} 0
watchsource_executor_ends_total{app="one",reason="none",state="Deleted"} 0
watchsource_executor_ends_total{app="two",reason="Completed",state="Succeeded"} 0
watchsource_executor_ends_total{app="two",reason="Error",state="Failed"} 1
watchsource_executor_ends_total{app="two",reason="Evicted",state="Failed"} 0
watchsource_executor_ends_total{app="two",reason="OOMKilled",state="Failed"} 0
watchsource_executor_ends_total{app="two",reason="none",state="Deleted"} 0
# HELP watchsource_lists_total Complete lists received, the first included.
# TYPE watchsource_lists_total counter
watchsource_lists_total 1
`, "watchsource_executor_ends_total", "watchsource_lists_total")

		a := newApplication("one", single(server))
		alone := metrics.NewCollector(a.source, a.store, metrics.PerApplication())
		defer alone.Close()
		a.start(t)
		requireMetrics(t, alone, `
# HELP watchsource_lists_total Complete lists received, the first included.
# TYPE watchsource_lists_total counter
watchsource_lists_total{app="one"} 1
`, "watchsource_lists_total")
	})
}

// The usual ends are present before the first source is added, so that increase() misses none.
func TestUsualEndsWithoutASource(t *testing.T) {
	collector := metrics.NewSharedCollector()
	if n := testutil.CollectAndCount(collector, "watchsource_executor_ends_total"); n != 5 {
		t.Errorf("%d time series of ends, want the 5 usual ones", n)
	}
}

// A source that waits for its Start does not hide that the watch of the others is current.
func TestWatchingWhileASourceStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		shared := watchsource.NewSharedWatch(server.Client())
		collector := metrics.NewSharedCollector()
		defer collector.Close()
		a := newApplication("one", shared.Source)
		a.addTo(t, collector)
		a.start(t)
		createPod(server, "two", "two-exec") // so that the source of "two" must list
		server.Inject(watchtest.Fault{On: watchtest.List | watchtest.StreamingList, Do: watchtest.Hang()})
		b := newApplication("two", shared.Source)
		b.addTo(t, collector)
		started := make(chan error)
		go func() { started <- b.source.Start("two") }()
		synctest.Wait()
		for range 50 { // in the random order of a map
			if watching := value(t, collector, "watchsource_watching"); watching != 1 {
				t.Errorf("watching is %v, want 1 for the first source", watching)
				break
			}
		}
		b.source.Stop()
		if err := <-started; !errors.Is(err, watchsource.ErrStopped) {
			t.Errorf("Start = %v, want ErrStopped", err)
		}
	})
}
