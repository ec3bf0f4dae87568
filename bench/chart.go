// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
)

// A chart is horizontal bars, the shorter the better.
type chart struct {
	title string
	note  string
	unit  string
	bars  []bar
}

type bar struct {
	label string
	value spread
	ratio float64 // to SharedInformer, 0 if unknown
	ours  bool
}

func cpuChart(c comparison) chart {
	return chart{
		title: "CPU per event",
		note: fmt.Sprintf("user and system time; %s pods, %s updates, rounds: %d; median and range; in brackets: of SharedInformer",
			thousands(c.Pods), thousands(c.Updates), c.rounds()),
		unit: "us",
		bars: c.bars(eventCPU, 1, true),
	}
}

func memoryChart(c comparison) chart {
	return chart{
		title: "Heap per pod",
		note:  fmt.Sprintf("retained by the complete view of %s pods, rounds: %d; in brackets: of SharedInformer", thousands(c.Pods), c.rounds()),
		unit:  "kB",
		bars:  c.bars(heap, 1e-3, false),
	}
}

func (c comparison) rounds() int {
	if len(c.Series) == 0 {
		return 0
	}
	return len(c.Series[0].Rounds)
}

// bars has one bar for each consumer. The floor keeps nothing.
func (c comparison) bars(f figure, scale float64, floor bool) []bar {
	informer, _ := c.of(informerName)
	var bars []bar
	for _, s := range c.Series {
		if s.Consumer == floorName && !floor {
			continue
		}
		v := s.spread(f)
		bars = append(bars, bar{
			label: s.Title,
			value: spread{median: v.median * scale, min: v.min * scale, max: v.max * scale},
			ratio: s.ratio(informer, f).median,
			ours:  isOurs(s.Consumer),
		})
	}
	return bars
}

// Measures in pixels.
const (
	chartWidth  = 820
	labelWidth  = 260
	valueWidth  = 140
	chartTop    = 62
	rowHeight   = 28
	barHeight   = 18
	chartBottom = 10
)

// chartStyle has colours for light and dark pages, which the browser selects. The
// background is the page's.
const chartStyle = `<style>
text { font: 13px -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 }
.note { font-size: 12px; fill: #59636e }
.bar { fill: #8c959f }
.ours { fill: #0969da }
.range { stroke: #1f2328; stroke-width: 1.5 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.note { fill: #9198a1 }
.bar { fill: #656c76 }
.ours { fill: #4493f8 }
.range { stroke: #f0f6fc }
}
</style>
`

// svg draws the chart.
func (c chart) svg() []byte {
	height := chartTop + len(c.bars)*rowHeight + chartBottom
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" aria-label="%s">`+"\n",
		chartWidth, height, html.EscapeString(c.title+": "+c.note))
	b.WriteString(chartStyle)
	fmt.Fprintf(&b, `<text class="title" x="10" y="24">%s</text>`+"\n", html.EscapeString(c.title))
	fmt.Fprintf(&b, `<text class="note" x="10" y="44">%s</text>`+"\n", html.EscapeString(c.note))
	scale := c.scale()
	for i, bar := range c.bars {
		c.row(&b, bar, chartTop+i*rowHeight, scale)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// scale is the number of pixels for one unit.
func (c chart) scale() float64 {
	most := 0.0
	for _, bar := range c.bars {
		most = math.Max(most, bar.value.max)
	}
	if most == 0 {
		return 0
	}
	return (chartWidth - labelWidth - valueWidth) / most
}

func (c chart) row(b *bytes.Buffer, r bar, y int, scale float64) {
	class := "bar"
	if r.ours {
		class = "bar ours"
	}
	middle := y + barHeight/2
	end := labelWidth + r.value.median*scale
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", labelWidth-8, middle+5, html.EscapeString(r.label))
	fmt.Fprintf(b, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`+"\n", class, labelWidth, y, r.value.median*scale, barHeight)
	if r.value.min < r.value.max {
		fmt.Fprintf(b, `<line class="range" x1="%.1f" y1="%d" x2="%.1f" y2="%[2]d"/>`+"\n", labelWidth+r.value.min*scale, middle, labelWidth+r.value.max*scale)
		end = labelWidth + r.value.max*scale
	}
	fmt.Fprintf(b, `<text x="%.1f" y="%d">%s %s%s</text>`+"\n", end+6, middle+5, number(r.value.median, 1), c.unit, percent(r.ratio))
}

func percent(ratio float64) string {
	if ratio == 0 {
		return ""
	}
	return fmt.Sprintf(" (%.0f %%)", ratio*100)
}
