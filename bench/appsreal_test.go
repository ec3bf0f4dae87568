// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestAppsRealTable(t *testing.T) {
	rounds := []figures{{ViewSeconds: 0.5, EventCPUMicros: 120, HeapBytes: 4e3, PeakBytes: 90e6}}
	r := appsRealReport{
		Machine: machine{CPU: "Abacus", Cores: 2, Go: "go1.26", ClientGo: "v0.37.2", Controller: "v0.25.2", Date: "2026-03-02"},
		Apps:    1_000, Pods: 10_000, Updates: 4_000,
		Series: []appsRealSeries{
			{
				series: series{Consumer: oneSourceName, Title: "one source", Rounds: rounds},
				Server: []serverCosts{{StartCPUSeconds: 0.5, HeapBytes: 2e6, WritesPerSecond: 400, WriteCPUMicros: 3_000}},
			},
			{
				series: series{Consumer: sourcesName, Title: "a source for each", Rounds: rounds},
				Server: []serverCosts{{StartCPUSeconds: 9.25, HeapBytes: 300e6, WritesPerSecond: 300, WriteCPUMicros: 4_500}},
			},
		},
	}
	const want = `Abacus, 2 cores, go1.26, client-go v0.37.2, controller-runtime v0.25.2, 2026-03-02. kube-apiserver, 1,000 applications, 10,000 pods, 4,000 updates per round as fast as possible. Medians, least and most in brackets.

| consumer | writes per second | of one source | the API server's CPU per write, us | of one source | its heap, MB more | its CPU until all complete, s | all complete, s | consumer's CPU per event, us | its heap, MB | its peak memory, MB |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|
| one source | 400 | 1.00 | 3000 | 1.00 | 2 | 0.50 | 0.50 | 120 | 40.0 | 90 |
| a source for each | 300 | 0.75 | 4500 | 1.50 | 300 | 9.25 | 0.50 | 120 | 40.0 | 90 |
`
	if got := r.markdown(); got != want {
		t.Errorf("table:\n%s\nwant:\n%s", got, want)
	}
}

func TestRealConsumers(t *testing.T) {
	for _, row := range []struct {
		names string
		ok    bool
	}{
		{strings.Join(appConsumersReal, ","), true},
		{"watch,informer", true},
		{defaultRealConsumers, true},
		{floorName, false},
		{nothingName + "," + allFramesName, false},
		{"no-such-consumer", false},
	} {
		if _, err := realConsumers(row.names); (err == nil) != row.ok {
			t.Errorf("-consumers %s: error %v, want none: %t", row.names, err, row.ok)
		}
	}
}
