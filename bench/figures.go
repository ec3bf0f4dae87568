// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
)

// Figures are what one consumer cost in one round. README.md says what each
// means.
type figures struct {
	ViewSeconds    float64 `json:"viewSeconds"`    // wall time from the start to the complete view
	ViewCPUMicros  float64 `json:"viewCPUMicros"`  // per pod
	HeapBytes      float64 `json:"heapBytes"`      // retained per pod, once the view is complete
	EventSeconds   float64 `json:"eventSeconds"`   // wall time of all updates
	EventCPUMicros float64 `json:"eventCPUMicros"` // per update
	Allocations    float64 `json:"allocations"`    // per update
	EndHeapBytes   float64 `json:"endHeapBytes"`   // retained per pod, after the updates
	PeakBytes      float64 `json:"peakBytes"`      // most resident memory of the process
	Goroutines     float64 `json:"goroutines"`     // once the view is complete
	ReadBytes      float64 `json:"readBytes"`      // per update, from the connections below TLS
	WrittenBytes   float64 `json:"writtenBytes"`   // per update, to the connections below TLS

	DecodedPods float64 `json:"decodedPods,omitempty"` // calls of Executor.Pod per update

	ServerCPUMicros float64 `json:"serverCPUMicros,omitempty"` // per update, of an API server on this machine
}

// A figure is one column.
type figure func(figures) float64

func eventCPU(f figures) float64    { return f.EventCPUMicros }
func viewCPU(f figures) float64     { return f.ViewCPUMicros }
func viewTime(f figures) float64    { return f.ViewSeconds }
func eventTime(f figures) float64   { return f.EventSeconds }
func allocations(f figures) float64 { return f.Allocations }
func heap(f figures) float64        { return f.HeapBytes }
func endHeap(f figures) float64     { return f.EndHeapBytes }
func peak(f figures) float64        { return f.PeakBytes }
func readBytes(f figures) float64   { return f.ReadBytes }
func sentBytes(f figures) float64   { return f.WrittenBytes }
func serverCPU(f figures) float64   { return f.ServerCPUMicros }
func goroutines(f figures) float64  { return f.Goroutines }

// A series is what one consumer cost in each round of one plan.
type series struct {
	Consumer string    `json:"consumer"`
	Title    string    `json:"title"`
	Rounds   []figures `json:"rounds"`
	Requests requests  `json:"requests"` // of the last round
}

// A spread is the median of the rounds, and the least and the most.
type spread struct{ median, min, max float64 }

func spreadOf(values []float64) spread {
	if len(values) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	median := sorted[middle]
	if len(sorted)%2 == 0 {
		median = (sorted[middle-1] + sorted[middle]) / 2
	}
	return spread{median: median, min: sorted[0], max: sorted[len(sorted)-1]}
}

func (s series) spread(f figure) spread { return spreadOfEach(s.Rounds, f) }

func (s series) ratio(to series, f figure) spread { return ratioOfEach(s.Rounds, to.Rounds, f) }

// spreadOfEach returns the spread of one figure of each round.
func spreadOfEach[R any](rounds []R, pick func(R) float64) spread {
	values := make([]float64, len(rounds))
	for i, round := range rounds {
		values[i] = pick(round)
	}
	return spreadOf(values)
}

// ratioOfEach compares each round with the same round of another consumer, a minute
// or less apart, so that a machine that is busy for a while is busy for both.
func ratioOfEach[R any](rounds, others []R, pick func(R) float64) spread {
	var values []float64
	for i := range min(len(rounds), len(others)) {
		if base := pick(others[i]); base > 0 {
			values = append(values, pick(rounds[i])/base)
		}
	}
	return spreadOf(values)
}

// A comparison is one size with all its consumers.
type comparison struct {
	Pods    int      `json:"pods"`
	Updates int      `json:"updates"`
	Series  []series `json:"series"`
}

func (c comparison) of(consumer string) (series, bool) {
	i := slices.IndexFunc(c.Series, func(s series) bool { return s.Consumer == consumer })
	if i < 0 {
		return series{}, false
	}
	return c.Series[i], true
}
