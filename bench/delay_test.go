// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

const millisecond = 1_000_000

// An update that was merged into another counts as seen with that one, and never with an
// older one.
func TestDelays(t *testing.T) {
	writes := []write{
		{pod: "a", version: "11", sent: 0, answered: 4 * millisecond},
		{pod: "a", version: "13", sent: 10 * millisecond, answered: 12 * millisecond},
		{pod: "b", version: "12", sent: 5 * millisecond, answered: 9 * millisecond},
	}
	seen := []sample{
		{Pod: "a", Version: "9", At: 1 * millisecond},
		{Pod: "b", Version: "12", At: 8 * millisecond}, // before the writer had its answer
		{Pod: "a", Version: "13", At: 15 * millisecond},
	}
	got, err := delaysOf(writes, seen)
	if err != nil {
		t.Fatal(err)
	}
	// Sent: 15, 5, 3 ms; answered: 11, 3, -1 ms.
	if want := (delays{Sent50: 5, Sent99: 15, Answered50: 3, Answered99: 11}); got != want {
		t.Errorf("delays %+v, want %+v", got, want)
	}
}

func TestDelaysMissing(t *testing.T) {
	_, err := delaysOf([]write{{pod: "a", version: "13"}}, []sample{{Pod: "a", Version: "12"}, {Pod: "b", Version: "14"}})
	if err == nil || !strings.Contains(err.Error(), "never seen") {
		t.Errorf("error %v, want one that says that the update was never seen", err)
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for p, want := range map[int]float64{50: 50, 99: 99, 100: 100} {
		if got := percentile(hundred, p); got != want {
			t.Errorf("percentile %d of 1 to 100 is %v, want %v", p, got, want)
		}
	}
}

func TestRealTable(t *testing.T) {
	one := func(cpu, sent float64) realSeries {
		return realSeries{
			series: series{Rounds: []figures{{
				EventCPUMicros: cpu, HeapBytes: 16e3, PeakBytes: 64e6, ViewSeconds: 0.5, ServerCPUMicros: 10 * cpu, ReadBytes: 2300, WrittenBytes: 17,
			}}},
			Delays: []delays{{Sent50: sent, Sent99: 9, Answered50: -0.25, Answered99: 3}},
		}
	}
	informer, ours := one(400, 2.5), one(100, 2)
	informer.Consumer, informer.Title = informerName, "SharedInformer"
	ours.Consumer, ours.Title = "watchsource", "watchsource"
	sparks := one(1000, 500)
	sparks.Consumer, sparks.Title = spark.name, "Spark"
	sparks.Rounds[0].HeapBytes, sparks.Rounds[0].PeakBytes = 64e3, 640e6
	r := realReport{Machine: fixedReport().Machine, Pods: 5000, Updates: 2000, Rate: 200, Series: []realSeries{informer, ours, sparks}}
	for _, want := range []string{
		"kube-apiserver, 5,000 pods, 2,000 updates per round at 200 per second. Watches of each consumer: 1, the first of each.",
		"| SharedInformer | 400.0 | 1.00 | 0.40 | 4000 | 1.00 | 2.3 | 17 | 2.50 | 9.00 | -0.25 | 3.00 | 16.0 | 0.25 | 64 | 0.10 | 0.50 |\n",
		"| watchsource | 100.0 | 0.25 | 0.10 | 1000 | 0.25 | 2.3 | 17 | 2.00 | 9.00 | -0.25 | 3.00 | 16.0 | 0.25 | 64 | 0.10 | 0.50 |\n",
		"| Spark | 1000.0 | 2.50 | 1.00 | 10000 | 2.50 | 2.3 | 17 | 500.00 | 9.00 | -0.25 | 3.00 | 64.0 | 1.00 | 640 | 1.00 | 0.50 |\n",
	} {
		if got := r.markdown(); !strings.Contains(got, want) {
			t.Errorf("table lacks %q:\n%s", want, got)
		}
	}
}
