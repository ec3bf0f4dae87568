// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// A report is everything that one run of the comparison found.
type report struct {
	Machine     machine      `json:"machine"`
	Flush       string       `json:"flush"`
	Comparisons []comparison `json:"comparisons"`
}

// headline returns the size for the charts: the usual one, or else the first.
func (r report) headline() (comparison, bool) {
	for _, c := range r.Comparisons {
		if c.Pods == headlinePods {
			return c, true
		}
	}
	if len(r.Comparisons) == 0 {
		return comparison{}, false
	}
	return r.Comparisons[0], true
}

// markdown is the report as a table.
func (r report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. Medians, least and most in brackets; flush: %s.\n\n", r.Machine, r.Flush)
	b.WriteString("| pods | consumer | CPU per event, us | of SharedInformer | of the floor | allocations per event | heap per pod, kB | of SharedInformer | peak memory, MB | view complete, s | its CPU per pod, us | all updates, s |\n")
	b.WriteString("|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, c := range r.Comparisons {
		informer, _ := c.of(informerName)
		floor, _ := c.of(floorName)
		for _, s := range c.Series {
			kept, keptRatio := number(s.spread(heap).median/1e3, 1), ratioText(s.ratio(informer, heap))
			if s.Consumer == floorName {
				kept, keptRatio = "-", "-" // it keeps none
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n",
				thousands(c.Pods), s.Title,
				spreadText(s.spread(eventCPU), 1, 1),
				ratioText(s.ratio(informer, eventCPU)), ratioText(s.ratio(floor, eventCPU)),
				number(s.spread(allocations).median, 0),
				kept, keptRatio,
				number(s.spread(peak).median/1e6, 0),
				spreadText(s.spread(viewTime), 1, 2),
				number(s.spread(viewCPU).median, 0),
				number(s.spread(eventTime).median, 2))
		}
	}
	return b.String()
}

func number(v float64, digits int) string { return fmt.Sprintf("%.*f", digits, v) }

// ratioText returns the empty text if there is no other value to compare with.
func ratioText(s spread) string {
	if s.median == 0 {
		return "-"
	}
	return number(s.median, 2)
}

func spreadText(s spread, scale float64, digits int) string {
	if s.min == s.max {
		return number(s.median*scale, digits)
	}
	return fmt.Sprintf("%s (%s-%s)", number(s.median*scale, digits), number(s.min*scale, digits), number(s.max*scale, digits))
}

// thousands writes 100000 as 100,000.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
