// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

type appsOptions struct {
	real       bool   // on a real API server
	kubeconfig string // "" to start a cluster
	apps       int
	pods       int
	updates    int
	rounds     int
	consumers  string
	results    string
}

func runApps(ctx context.Context, args []string, out, progress io.Writer) error {
	var o appsOptions
	flags := newFlags(appsCommand)
	flags.BoolVar(&o.real, "real", false, "on etcd and kube-apiserver; measure what the consumers cost the API server")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "with -real, use the cluster that this `file` names; by default one is started from ../integration")
	flags.IntVar(&o.apps, "apps", 0, "number of applications; by default 1000, and then 10000 without -real")
	flags.IntVar(&o.pods, "pods", 0, "number of pods of all applications; by default ten times -apps")
	flags.IntVar(&o.updates, "updates", 0, "number of updates in each round; by default 20000, or one for each pod if there are more")
	flags.IntVar(&o.rounds, "rounds", 3, "number of rounds")
	flags.StringVar(&o.consumers, "consumers", "", "compare these `names`; by default all that suit the number of applications")
	flags.StringVar(&o.results, "results", "", "write all figures to this `file`; by default apps.json or apps-real.json")
	if err := parse(flags, args); err != nil {
		return err
	}
	if o.kubeconfig != "" && !o.real {
		return fmt.Errorf("-kubeconfig needs -real")
	}
	plans, err := o.plans()
	if err != nil {
		return err
	}
	if o.real {
		o.results = cmp.Or(o.results, "apps-real.json")
		return compareAppsReal(ctx, plans[0], o, out, progress)
	}
	o.results = cmp.Or(o.results, "apps.json")
	return compareApps(ctx, plans, o.results, out, progress)
}

// plans returns the rounds to run. On a real API server there is one size.
func (o appsOptions) plans() ([]plan, error) {
	sizes := []int{1_000, 10_000}
	switch {
	case o.apps != 0:
		sizes = []int{o.apps}
	case o.real || o.pods != 0:
		sizes = sizes[:1]
	}
	var plans []plan
	for _, apps := range sizes {
		pods := cmp.Or(o.pods, 10*apps)
		if apps < 1 || pods < apps {
			return nil, fmt.Errorf("-apps %d -pods %d: there must be an application, and a pod for each", apps, pods)
		}
		p := plan{pods: pods, updates: cmp.Or(o.updates, max(20_000, pods)), apps: apps, rounds: o.rounds, consumers: o.consumersFor(apps)}
		for _, name := range p.consumers {
			if _, err := consumerNamed(name); err != nil {
				return nil, fmt.Errorf("-consumers: %w", err)
			}
		}
		plans = append(plans, p)
	}
	return plans, nil
}

func (o appsOptions) consumersFor(apps int) []string {
	switch {
	case o.consumers != "":
		return strings.Split(o.consumers, ",")
	case o.real:
		return appConsumersReal
	default:
		return appConsumersFor(apps)
	}
}

// compareApps lets each consumer in turn watch all applications on the replay server.
func compareApps(ctx context.Context, plans []plan, results string, out, progress io.Writer) error {
	dir, err := os.MkdirTemp("", "watchsource-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	report := appsReport{Machine: thisMachine()}
	for _, p := range plans {
		c, err := runPlan(ctx, p, flushEach, dir, progress)
		if err != nil {
			return err
		}
		report.Comparisons = append(report.Comparisons, appsComparison{Apps: p.apps, comparison: c})
	}
	fmt.Fprint(out, report.markdown())
	return writeJSON(results, report)
}

// An appsReport is everything that one run of the apps command found.
type appsReport struct {
	Machine     machine          `json:"machine"`
	Comparisons []appsComparison `json:"comparisons"`
}

// An appsComparison is one number of applications with all its consumers.
type appsComparison struct {
	Apps int `json:"apps"`
	comparison
}

// markdown is the report as a table for each number of applications.
func (r appsReport) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. Medians, least and most in brackets.\n", r.Machine)
	for _, c := range r.Comparisons {
		fmt.Fprintf(&b, "\n%s applications, %s pods, %s updates:\n\n", thousands(c.Apps), thousands(c.Pods), thousands(c.Updates))
		b.WriteString("| consumer | CPU per event, us | of the informer with an index | of one source | of the floor | allocations per event | heap per pod, kB | of one source | peak memory, MB | goroutines | requests | all complete, s | all updates, s |\n")
		b.WriteString("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
		for _, s := range c.Series {
			b.WriteString(c.row(s))
		}
	}
	return b.String()
}

// row returns the line of a consumer in the table.
func (c appsComparison) row(s series) string {
	index, _ := c.of(indexName)
	one, _ := c.of(oneSourceName)
	floor, _ := c.of(allFramesName)
	kept, keptRatio := number(s.spread(heap).median/1e3, 2), ratioText(s.ratio(one, heap))
	if s.Consumer == allFramesName {
		kept, keptRatio = "-", "-" // it keeps none
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", s.Title,
		spreadText(s.spread(eventCPU), 1, 1),
		ratioText(s.ratio(index, eventCPU)), ratioText(s.ratio(one, eventCPU)), ratioText(s.ratio(floor, eventCPU)),
		number(s.spread(allocations).median, 0),
		kept, keptRatio,
		number(s.spread(peak).median/1e6, 0),
		number(s.spread(goroutines).median, 0),
		thousands(s.Requests.Lists+s.Requests.StreamingLists+s.Requests.Watches),
		spreadText(s.spread(viewTime), 1, 2),
		spreadText(s.spread(eventTime), 1, 2))
}
