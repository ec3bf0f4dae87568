// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A plan is one size of the comparison.
type plan struct {
	pods      int
	updates   int
	apps      int    // 0 for one
	kind      string // of pods, "" for executors of Spark
	rounds    int
	consumers []string

	sparkwatch string // path of the program that is the consumer spark
}

// The plans together take about six minutes on two cores. With 10,000 pods
// there are enough updates for everybody to collect garbage. Of 100,000 pods each
// consumer gets one round, and only those that tell most take part.
func defaultPlans() []plan {
	return []plan{
		{pods: 1_000, updates: 10_000, rounds: 3, consumers: consumerNames()},
		{pods: headlinePods, updates: 40_000, rounds: 3, consumers: consumerNames()},
		{pods: 100_000, updates: 10_000, rounds: 1, consumers: []string{floorName, informerName, "watchsource", "watchsource-podless"}},
	}
}

// headlinePods is the size that the charts show.
const headlinePods = 10_000

// compareOptions is what the flags ask for.
type compareOptions struct {
	pods      string // list of sizes, "" for the default plans
	updates   int    // 0 for the plan's
	rounds    int    // 0 for the plan's
	consumers string // list of names, "" for the plan's
	flush     string
	results   string // file for the figures in JSON
	charts    string // folder for the charts
}

// plans returns the rounds to run.
func (o compareOptions) plans() ([]plan, error) {
	plans := defaultPlans()
	if o.pods != "" {
		var chosen []plan
		for field := range strings.SplitSeq(o.pods, ",") {
			pods, err := strconv.Atoi(field)
			if err != nil || pods < 1 {
				return nil, fmt.Errorf("-pods: %q is no number of pods", field)
			}
			p := plan{pods: pods, updates: 20_000, rounds: 3, consumers: consumerNames()}
			if i := slices.IndexFunc(plans, func(p plan) bool { return p.pods == pods }); i >= 0 {
				p = plans[i]
			}
			chosen = append(chosen, p)
		}
		plans = chosen
	}
	for i := range plans {
		p := &plans[i]
		if o.updates > 0 {
			p.updates = o.updates
		}
		if o.rounds > 0 {
			p.rounds = o.rounds
		}
		if o.consumers != "" {
			p.consumers = strings.Split(o.consumers, ",")
		}
		for _, name := range p.consumers {
			if _, err := consumerNamed(name); err != nil {
				return nil, fmt.Errorf("-consumers: %w", err)
			}
		}
	}
	return plans, nil
}

// compare runs all plans, prints the table, and writes the results and charts.
func compare(ctx context.Context, o compareOptions, out, progress io.Writer) error {
	plans, err := o.plans()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "watchsource-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	report := report{Machine: thisMachine(), Flush: o.flush}
	for _, p := range plans {
		if slices.Contains(p.consumers, spark.name) {
			if p.sparkwatch, err = buildProgram(ctx, dir, sparkwatch); err != nil {
				return err
			}
		}
		c, err := runPlan(ctx, p, o.flush, dir, progress)
		if err != nil {
			return err
		}
		report.Comparisons = append(report.Comparisons, c)
	}
	fmt.Fprint(out, report.markdown())
	if o.results != "" {
		if err := writeJSON(o.results, report); err != nil {
			return err
		}
	}
	if o.charts != "" {
		return writeCharts(o.charts, report)
	}
	return nil
}

// runPlan interleaves the consumers: each has its first round before any has
// its second.
func runPlan(ctx context.Context, p plan, flush, dir string, progress io.Writer) (comparison, error) {
	c := comparison{Pods: p.pods, Updates: p.updates}
	for _, name := range p.consumers {
		known, err := consumerNamed(name)
		if err != nil {
			return c, err
		}
		c.Series = append(c.Series, series{Consumer: name, Title: known.title})
	}
	for round := range p.rounds {
		for i := range c.Series {
			s := &c.Series[i]
			began := time.Now()
			f, q, err := runRound(ctx, s.Consumer, p, flush, dir)
			if err != nil {
				return c, fmt.Errorf("%s with %d pods: %w", s.Consumer, p.pods, err)
			}
			s.Rounds, s.Requests = append(s.Rounds, f), q
			fmt.Fprintf(progress, "%d pods, round %d of %d, %s: %.1f us per event, %.1f s\n",
				p.pods, round+1, p.rounds, s.Consumer, f.EventCPUMicros, time.Since(began).Seconds())
		}
	}
	return c, nil
}

// writeCharts draws the headline size.
func writeCharts(dir string, r report) error {
	c, ok := r.headline()
	if !ok {
		return nil
	}
	for name, drawn := range map[string]chart{"cpu.svg": cpuChart(c), "memory.svg": memoryChart(c)} {
		if err := os.WriteFile(filepath.Join(dir, name), drawn.svg(), 0o644); err != nil {
			return err
		}
	}
	return nil
}
