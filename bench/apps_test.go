// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/executorpods/watchsource"
)

func TestAppsTable(t *testing.T) {
	round := func(cpu, heap float64) figures {
		return figures{
			ViewSeconds: 0.5, EventSeconds: 2, EventCPUMicros: cpu, Allocations: 17, HeapBytes: heap, PeakBytes: 64e6, Goroutines: 8,
		}
	}
	one := requests{StreamingLists: 1}
	r := appsReport{
		Machine: machine{CPU: "Abacus", Cores: 2, Go: "go1.26", ClientGo: "v0.37.2", Controller: "v0.25.2", Date: "2026-03-02"},
		Comparisons: []appsComparison{
			{Apps: 1_000, comparison: comparison{Pods: 10_000, Updates: 20_000, Series: []series{
				{Consumer: allFramesName, Title: "the floor", Rounds: []figures{round(10, 5)}, Requests: one},
				{Consumer: oneSourceName, Title: "one source", Rounds: []figures{round(40, 1e3)}, Requests: one},
				{Consumer: storeByName, Title: "StoreBy", Rounds: []figures{round(44, 1_050)}, Requests: one},
				{Consumer: indexName, Title: "the index", Rounds: []figures{round(160, 14e3)}, Requests: one},
			}}},
			{Apps: 10_000, comparison: comparison{Pods: 100_000, Updates: 100_000, Series: []series{
				{Consumer: storeByName, Title: "StoreBy", Rounds: []figures{round(44, 1_050), round(50, 1_050)}, Requests: one},
			}}},
		},
	}
	const want = `Abacus, 2 cores, go1.26, client-go v0.37.2, controller-runtime v0.25.2, 2026-03-02. Medians, least and most in brackets.

1,000 applications, 10,000 pods, 20,000 updates:

| consumer | CPU per event, us | of the informer with an index | of one source | of the floor | allocations per event | heap per pod, kB | of one source | peak memory, MB | goroutines | requests | all complete, s | all updates, s |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
| the floor | 10.0 | 0.06 | 0.25 | 1.00 | 17 | - | - | 64 | 8 | 1 | 0.50 | 2.00 |
| one source | 40.0 | 0.25 | 1.00 | 4.00 | 17 | 1.00 | 1.00 | 64 | 8 | 1 | 0.50 | 2.00 |
| StoreBy | 44.0 | 0.28 | 1.10 | 4.40 | 17 | 1.05 | 1.05 | 64 | 8 | 1 | 0.50 | 2.00 |
| the index | 160.0 | 1.00 | 4.00 | 16.00 | 17 | 14.00 | 14.00 | 64 | 8 | 1 | 0.50 | 2.00 |

10,000 applications, 100,000 pods, 100,000 updates:

| consumer | CPU per event, us | of the informer with an index | of one source | of the floor | allocations per event | heap per pod, kB | of one source | peak memory, MB | goroutines | requests | all complete, s | all updates, s |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
| StoreBy | 47.0 (44.0-50.0) | - | - | - | 17 | 1.05 | - | 64 | 8 | 1 | 0.50 | 2.00 |
`
	if got := r.markdown(); got != want {
		t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
}

func TestAppsPlans(t *testing.T) {
	for _, row := range []struct {
		name    string
		options appsOptions
		want    []plan // without the consumers
	}{
		{"by default", appsOptions{}, []plan{{apps: 1_000, pods: 10_000, updates: 20_000}, {apps: 10_000, pods: 100_000, updates: 100_000}}},
		{"on a real API server", appsOptions{real: true}, []plan{{apps: 1_000, pods: 10_000, updates: 20_000}}},
		{"a pod each", appsOptions{pods: 1_000}, []plan{{apps: 1_000, pods: 1_000, updates: 20_000}}},
		{"few", appsOptions{apps: 50, updates: 100}, []plan{{apps: 50, pods: 500, updates: 100}}},
		{"without applications", appsOptions{apps: -1}, nil},
		{"fewer pods than applications", appsOptions{apps: 50, pods: 49}, nil},
		{"no such consumer", appsOptions{consumers: "informant"}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			plans, err := row.options.plans()
			if (err == nil) != (row.want != nil) || len(plans) != len(row.want) {
				t.Fatalf("%d plans, error %v; want %d", len(plans), err, len(row.want))
			}
			for i, want := range row.want {
				if got := plans[i]; got.apps != want.apps || got.pods != want.pods || got.updates != want.updates {
					t.Errorf("%d applications, %d pods, %d updates; want %+v", got.apps, got.pods, got.updates, want)
				}
			}
		})
	}
}

// Every consumer of many applications sees the whole script in a separate process.
func TestCompareApps(t *testing.T) {
	results := filepath.Join(t.TempDir(), "apps.json")
	var r appsReport
	table := runCommand(t, &r, results, "apps", "-apps", "4", "-pods", "20", "-updates", "40", "-rounds", "1", "-results", results)
	if len(r.Comparisons) != 1 {
		t.Fatalf("results of %d sizes, want 1", len(r.Comparisons))
	}
	var ran []string
	for _, s := range r.Comparisons[0].Series {
		ran = append(ran, s.Consumer)
		if len(s.Rounds) != 1 || s.Rounds[0].EventCPUMicros <= 0 || !strings.Contains(table, "| "+s.Title+" |") {
			t.Errorf("%s: rounds %+v, and a row in the table: %v", s.Consumer, s.Rounds, strings.Contains(table, s.Title))
		}
	}
	if want := appConsumersFor(4); !slices.Equal(ran, want) {
		t.Errorf("consumers %q, want %q", ran, want)
	}
}

// The store of the consumer has the last version of each pod, below its application.
func TestStoreByKeepsThePodsOfEachApplication(t *testing.T) {
	const apps, pods, updates = 4, 20, 40
	s := newScript(pods, updates, apps)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	e, err := assignment{pods: pods, updates: updates, apps: apps}.env()
	if err != nil {
		t.Fatal(err)
	}
	r := newReplay(s, true)
	e.config, e.recorder = startReplayServer(t, r), newRecorder(true, apps)
	e.client = newClient(t, e.config)
	view, err := startStoreBy(ctx, e)
	if err != nil {
		t.Fatal(err)
	}
	r.release()
	<-e.recorder.ended
	got, want := map[string]string{}, map[string]string{}
	store := view.(*watchsource.StoreBy[string])
	for app := range store.Owners() {
		for executor := range store.Snapshot(app).All() {
			if !strings.HasPrefix(executor.Name, markerName) {
				got[app+"/"+executor.Name] = executor.ResourceVersion
			}
		}
	}
	for name, pod := range lastPods(t, s) {
		want[pod.Labels[watchsource.LabelApp]+"/"+name] = pod.ResourceVersion
	}
	if !maps.Equal(got, want) {
		t.Errorf("the store has %v, want %v", got, want)
	}
}
