// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/metrics"
	"github.com/executorpods/watchsource/watchtest"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

const verifiedName = "watchsource_last_verification_timestamp_seconds"

// The time of the last verification is absent without verifications, and while no source is started.
func TestVerificationMetric(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := watchtest.NewServer()
		for _, shared := range []bool{false, true} {
			source := func(store watchsource.SnapshotsStore) *watchsource.WatchSnapshotSource {
				return watchsource.NewWatchSnapshotSource(store, server.Client(), watchsource.WithVerification(5*time.Minute))
			}
			if shared {
				source = watchsource.NewSharedWatch(server.Client(), watchsource.WithVerification(5*time.Minute)).Source
			}
			a, without := newApplication("app", source), newApplication("app", single(server))
			collector, other := metrics.NewCollector(a.source, a.store), metrics.NewCollector(without.source, without.store)
			defer collector.Close()
			defer other.Close()
			count := func() int { return testutil.CollectAndCount(collector, verifiedName) }
			if n := count(); n != 0 {
				t.Errorf("%d time series before Start, want none", n)
			}
			began := time.Now()
			a.start(t)
			without.start(t)
			if got := value(t, collector, verifiedName); got != float64(began.Unix()) {
				t.Errorf("verified at %v, want with the list at %v", got, began.Unix())
			}
			time.Sleep(time.Hour)
			if age := float64(time.Now().Unix()) - value(t, collector, verifiedName); age > 372 {
				t.Errorf("verified %v seconds ago, want at most the interval and 71 seconds", age)
			}
			if n := testutil.CollectAndCount(other, verifiedName); n != 0 {
				t.Errorf("%d time series without verifications, want none", n)
			}
			a.source.Stop()
			if n := count(); n != 0 {
				t.Errorf("%d time series after Stop, want none", n)
			}
		}
	})
}

// A collector knows how many of its sources are started.
func TestStartedSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := watchsource.NewSharedWatch(watchtest.NewServer().Client())
		collector := metrics.NewSharedCollector()
		defer collector.Close()
		want := func(n float64) {
			t.Helper()
			if got := value(t, collector, "watchsource_started_sources"); got != n {
				t.Errorf("%v sources are started, want %v", got, n)
			}
		}
		want(0)
		var applications []*application
		for i, id := range []string{"one", "two", "three"} {
			a := newApplication(id, shared.Source)
			applications = append(applications, a)
			a.addTo(t, collector)
			want(float64(i))
			a.start(t)
			want(float64(i + 1))
		}
		for i, a := range applications {
			a.source.Stop()
			want(float64(2 - i))
		}
	})
}
