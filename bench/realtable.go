// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// A realReport is everything that one run against a real API server found.
type realReport struct {
	Machine machine      `json:"machine"`
	Pods    int          `json:"pods"`
	Updates int          `json:"updates"`
	Rate    int          `json:"rate"`
	Watches int          `json:"watches"`
	Resumed bool         `json:"resumed"`
	Series  []realSeries `json:"series"`
}

// A realSeries also has the delays of each round.
type realSeries struct {
	series
	Delays []delays `json:"delays"`

	program string // that is measured, "" for this one
}

func (s realSeries) delay(pick func(delays) float64) spread { return spreadOfEach(s.Delays, pick) }

// named returns the series of a consumer, empty if it was not measured.
func (r realReport) named(consumer string) series {
	for _, s := range r.Series {
		if s.Consumer == consumer {
			return s.series
		}
	}
	return series{}
}

// markdown is the report as a table.
func (r realReport) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. kube-apiserver, %s pods, %s updates per round at %d per second. Watches of each consumer: %s%s. Medians of the rounds, least and most in brackets.\n\n",
		r.Machine, thousands(r.Pods), thousands(r.Updates), r.Rate, thousands(max(r.Watches, 1)), r.state())
	b.WriteString("| consumer | CPU per event, us | of SharedInformer | of Spark | API server's CPU per write, us | of SharedInformer | read per event, kB | written, B | seen after it was sent, ms: p50 | p99 | after it was answered, ms: p50 | p99 | heap per pod, kB | of Spark | peak memory, MB | of Spark | view complete, s |\n")
	b.WriteString("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	informer, sparks := r.named(informerName), r.named(spark.name)
	for _, s := range r.Series {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
			s.Title,
			spreadText(s.spread(eventCPU), 1, 1), ratioText(s.ratio(informer, eventCPU)), ratioText(s.ratio(sparks, eventCPU)),
			spreadText(s.spread(serverCPU), 1, 0), ratioText(s.ratio(informer, serverCPU)),
			number(s.spread(readBytes).median/1e3, 1), number(s.spread(sentBytes).median, 0),
			spreadText(s.delay(func(d delays) float64 { return d.Sent50 }), 1, 2),
			spreadText(s.delay(func(d delays) float64 { return d.Sent99 }), 1, 2),
			spreadText(s.delay(func(d delays) float64 { return d.Answered50 }), 1, 2),
			spreadText(s.delay(func(d delays) float64 { return d.Answered99 }), 1, 2),
			number(s.spread(heap).median/1e3, 1), ratioText(s.ratio(sparks, heap)),
			number(s.spread(peak).median/1e6, 0), ratioText(s.ratio(sparks, peak)),
			number(s.spread(viewTime).median, 2))
	}
	return b.String()
}

func (r realReport) state() string {
	if r.Resumed {
		return ", resumed by version"
	}
	return ", the first of each"
}
