// SPDX-License-Identifier: Apache-2.0

package application

import (
	"slices"
	"strings"
	"time"
)

// historyLen is the number of samples in a History.
const historyLen = 24

// History is a number over time. It always covers the whole time since the first sample: when
// it is full, each sample stands for twice the time.
type History struct {
	samples []int
	begin   time.Time
	step    time.Duration
}

// Record adds a number. The samples between two calls repeat the earlier one.
func (h *History) Record(n int, now time.Time) {
	if h.step == 0 {
		h.begin, h.step = now, time.Second
	}
	index := int(now.Sub(h.begin) / h.step)
	for index >= historyLen {
		h.halve()
		index = int(now.Sub(h.begin) / h.step)
	}
	for len(h.samples) <= index {
		last := n
		if len(h.samples) > 0 {
			last = h.samples[len(h.samples)-1]
		}
		h.samples = append(h.samples, last)
	}
	h.samples[index] = n
}

// halve merges each two samples into the later one.
func (h *History) halve() {
	half := h.samples[:0]
	for pair := range slices.Chunk(h.samples, 2) {
		half = append(half, pair[len(pair)-1])
	}
	h.samples = half
	h.step *= 2
}

// String draws the samples as bars, the highest with eight eighths.
func (h *History) String() string {
	if len(h.samples) == 0 {
		return ""
	}
	bars := []rune(" ▁▂▃▄▅▆▇█")
	highest := max(slices.Max(h.samples), 1)
	var b strings.Builder
	for _, n := range h.samples {
		eighths := (n*8 + highest - 1) / highest // never 0 for a number above 0
		b.WriteRune(bars[eighths])
	}
	return b.String()
}
