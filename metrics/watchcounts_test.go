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
)

// A source that is removed after Stop, and added and started again, counts the events from then on.
func TestCountsOfASourceThatIsAddedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		shared := watchsource.NewSharedWatch(server.Client())
		collector := metrics.NewSharedCollector()
		defer collector.Close()
		a := newApplication("one", shared.Source)
		a.addTo(t, collector)
		a.start(t)
		for i := range 3 {
			createPod(server, "one", fmt.Sprint("a-", i))
		}
		a.source.Stop()
		collector.Remove(a.source)
		a.addTo(t, collector)
		a.start(t)
		for i := range 5 {
			createPod(server, "one", fmt.Sprint("b-", i))
		}
		if got := value(t, collector, "watchsource_events_total"); got != 8 {
			t.Errorf("events %v, want 8", got)
		}
		if got := value(t, collector, "watchsource_lists_total"); got != 2 {
			t.Errorf("lists %v, want 2", got)
		}
	})
}

// A Stop and another Start between two scrapes hide nothing that follows.
func TestCountsOfAnotherStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		a := newApplication("one", single(server))
		collector := metrics.NewCollector(a.source, a.store)
		defer collector.Close()
		a.start(t)
		createPod(server, "one", "a")
		if got := value(t, collector, "watchsource_lists_total"); got != 1 {
			t.Errorf("lists %v, want 1", got)
		}
		time.Sleep(time.Minute)
		a.source.Stop()
		a.start(t)
		createPod(server, "one", "b")
		if got := value(t, collector, "watchsource_lists_total"); got != 2 {
			t.Errorf("lists %v, want 2", got)
		}
		if got := value(t, collector, "watchsource_events_total"); got != 2 {
			t.Errorf("events %v, want 2", got)
		}
	})
}

// The counts of one application are not those of the next, and stay.
func TestCountsOfEachApplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		a := newApplication("one", single(server))
		collector := metrics.NewCollector(a.source, a.store, metrics.PerApplication())
		defer collector.Close()
		a.start(t)
		for i := range 7 {
			createPod(server, "one", fmt.Sprint("a-", i))
		}
		_ = value(t, collector, "watchsource_events_total") // a scrape
		a.source.Stop()
		if err := a.source.Start("two"); err != nil {
			t.Fatal(err)
		}
		createPod(server, "two", "b")
		requireMetrics(t, collector, `
# HELP watchsource_events_total Pod events received.
# TYPE watchsource_events_total counter
watchsource_events_total{app="one"} 7
watchsource_events_total{app="two"} 1
`, "watchsource_events_total")
	})
}
