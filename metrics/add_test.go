// SPDX-License-Identifier: Apache-2.0

package metrics_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/metrics"
	"github.com/executorpods/watchsource/watchtest"
	"github.com/prometheus/client_golang/prometheus"
)

const otherStore = "metrics: the source does not feed the store"

// addErrors are the cases of TestAddErrors.
var addErrors = []struct {
	name string
	add  func(c *metrics.Collector, own, shared *watchsource.WatchSnapshotSource, store *watchsource.Store) error
	want string
}{
	{"another store", func(c *metrics.Collector, own, _ *watchsource.WatchSnapshotSource, _ *watchsource.Store) error {
		return c.Add(own, watchsource.NewStore())
	}, otherStore},
	{"another store of a shared watch", func(c *metrics.Collector, _, shared *watchsource.WatchSnapshotSource, _ *watchsource.Store) error {
		return c.Add(shared, watchsource.NewStore())
	}, otherStore},
	{"no store", func(c *metrics.Collector, own, _ *watchsource.WatchSnapshotSource, _ *watchsource.Store) error {
		return c.Add(own, nil)
	}, otherStore},
	{"no source", func(c *metrics.Collector, _, _ *watchsource.WatchSnapshotSource, store *watchsource.Store) error {
		return c.Add(nil, store)
	}, "metrics: the source is nil"},
	{"twice with one store", func(c *metrics.Collector, own, _ *watchsource.WatchSnapshotSource, store *watchsource.Store) error {
		_ = c.Add(own, store)
		return c.Add(own, store)
	}, ""},
	{"a Tee with the store", func(c *metrics.Collector, _, _ *watchsource.WatchSnapshotSource, store *watchsource.Store) error {
		tee := watchsource.Tee(watchsource.NewStore(), store)
		return c.Add(watchsource.NewWatchSnapshotSource(tee, watchtest.NewServer().Client()), store)
	}, ""},
	{"both stores of a Tee", func(c *metrics.Collector, _, _ *watchsource.WatchSnapshotSource, store *watchsource.Store) error {
		other := watchsource.NewStore()
		source := watchsource.NewWatchSnapshotSource(watchsource.Tee(other, store), watchtest.NewServer().Client())
		_ = c.Add(source, other)
		return c.Add(source, store)
	}, "metrics: the source was added with another store"},
}

func TestAddErrors(t *testing.T) {
	for _, test := range addErrors {
		t.Run(test.name, func(t *testing.T) {
			client, store := watchtest.NewServer().Client(), watchsource.NewStore()
			own := watchsource.NewWatchSnapshotSource(store, client)
			collector := metrics.NewSharedCollector()
			defer collector.Close()
			err := test.add(collector, own, watchsource.NewSharedWatch(client).Source(store), store)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("Add = %v, want nil", err)
			case test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), test.want)):
				t.Errorf("Add = %v, want %q", err, test.want)
			}
		})
	}
}

// A collector of one source says that the store is another one when it is registered, and when it
// collects all the same. It has no goroutine.
func TestCollectorOfAnotherStore(t *testing.T) {
	source := watchsource.NewWatchSnapshotSource(watchsource.NewStore(), watchtest.NewServer().Client())
	goroutines := runtime.NumGoroutine()
	for name, collector := range map[string]*metrics.Collector{
		"NewCollector":   metrics.NewCollector(source, watchsource.NewStore()),
		"NewCollectorBy": metrics.NewCollectorBy(source, watchsource.NewStoreBy(byOwner)),
		"no source":      metrics.NewCollector(nil, watchsource.NewStore()),
	} {
		want := otherStore
		if name == "no source" {
			want = "metrics: the source is nil"
		}
		registry := prometheus.NewRegistry()
		if err := registry.Register(collector); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Register = %v, want %q", name, err, want)
		}
		collected := make(chan prometheus.Metric, 100)
		collector.Collect(collected)
		if n := len(collected); n != 1 {
			t.Errorf("%s: %d metrics, want the error only", name, n)
		}
		if err := (<-collected).Write(nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: collected the error %v, want %q", name, err, want)
		}
		collector.Close()
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, want %d as before", n, goroutines)
	}
}
