// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A table has one line for each fault, and is written in Markdown.
type table struct{ rows map[string]*row }

// A row has the outcomes of each watcher: an ordinary source, a source of a SharedWatch,
// an informer.
type row [3][]outcome

func (t *table) add(f fault, outcomes []outcome) {
	if t.rows == nil {
		t.rows = map[string]*row{}
	}
	r := t.rows[f.name]
	if r == nil {
		r = &row{}
		t.rows[f.name] = r
	}
	for i, o := range outcomes {
		r[i] = append(r[i], o)
	}
}

func (t *table) String() string {
	var b strings.Builder
	b.WriteString("Lists are those that the server answered, and behind them those that were asked for.\n\n| fault | rounds |")
	for _, name := range []string{"watchsource", "SharedWatch", "SharedInformer"} {
		fmt.Fprintf(&b, " %s: converged | median | max | lists | errors shown |", name)
	}
	b.WriteString("\n|---|---:|" + strings.Repeat("---:|---:|---:|---:|---:|", 3) + "\n")
	var all row
	for _, f := range faults {
		if r := t.rows[f.name]; r != nil {
			fmt.Fprintf(&b, "| %s %s\n", f.name, r)
			for i, outcomes := range r {
				all[i] = append(all[i], outcomes...)
			}
		}
	}
	fmt.Fprintf(&b, "| all %s\n", &all)
	return b.String()
}

func (r *row) String() string {
	return fmt.Sprintf("| %d | %s | %s | %s |", len(r[0]), cells(r[0]), cells(r[1]), cells(r[2]))
}

func cells(outcomes []outcome) string {
	var sum count
	var took []time.Duration
	for _, o := range outcomes {
		sum = sum.plus(o.count)
		if o.converged {
			took = append(took, o.took)
		}
	}
	median, longest := "-", "-"
	if len(took) > 0 {
		slices.Sort(took)
		median, longest = seconds(took[len(took)/2]), seconds(took[len(took)-1])
	}
	return fmt.Sprintf("%d | %s | %s | %d (%d) | %d", len(took), median, longest, sum.answered, sum.lists, sum.errors)
}

func (o outcome) recovery() string {
	if !o.converged {
		return "not converged"
	}
	return "converged in " + seconds(o.took)
}

func (o outcome) String() string {
	text := fmt.Sprintf("%s, lists %d (%d), versions gone %d, errors %d", o.recovery(), o.answered, o.lists, o.gone, o.errors)
	if o.errors > 0 {
		text += fmt.Sprintf(", the last: %v", o.last)
	}
	return text
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
