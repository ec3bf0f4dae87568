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
	flags.IntVar(&o.apps, "apps", 1_000, "number of applications")
	flags.IntVar(&o.pods, "pods", 10_000, "number of pods of all applications")
	flags.IntVar(&o.updates, "updates", 20_000, "number of updates in each round")
	flags.IntVar(&o.rounds, "rounds", 3, "number of rounds")
	flags.StringVar(&o.consumers, "consumers", "", "compare these `names`; by default all that suit")
	flags.StringVar(&o.results, "results", "", "write all figures to this `file`; by default apps.json or apps-real.json")
	if err := parse(flags, args); err != nil {
		return err
	}
	if o.apps < 1 || o.pods < o.apps {
		return fmt.Errorf("-apps %d -pods %d: there must be an application, and a pod for each", o.apps, o.pods)
	}
	if o.kubeconfig != "" && !o.real {
		return fmt.Errorf("-kubeconfig needs -real")
	}
	if o.consumers == "" {
		o.consumers = appConsumersFor(o.real)
	}
	if o.real {
		o.results = cmp.Or(o.results, "apps-real.json")
		return compareAppsReal(ctx, o, out, progress)
	}
	o.results = cmp.Or(o.results, "apps.json")
	return compareApps(ctx, o, out, progress)
}

// compareApps lets each consumer in turn watch all applications on the replay server.
func compareApps(ctx context.Context, o appsOptions, out, progress io.Writer) error {
	dir, err := os.MkdirTemp("", "watchsource-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	p := plan{pods: o.pods, updates: o.updates, apps: o.apps, rounds: o.rounds, consumers: strings.Split(o.consumers, ",")}
	for _, name := range p.consumers {
		if _, err := consumerNamed(name); err != nil {
			return fmt.Errorf("-consumers: %w", err)
		}
	}
	c, err := runPlan(ctx, p, flushEach, dir, progress)
	if err != nil {
		return err
	}
	report := appsReport{Machine: thisMachine(), Apps: o.apps, comparison: c}
	fmt.Fprint(out, report.markdown())
	return writeJSON(o.results, report)
}

// An appsReport is everything that one run of the apps command found.
type appsReport struct {
	Machine machine `json:"machine"`
	Apps    int     `json:"apps"`
	comparison
}

// markdown is the report as a table.
func (r appsReport) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s. %s applications, %s pods, %s updates. Medians, least and most in brackets.\n\n",
		r.Machine, thousands(r.Apps), thousands(r.Pods), thousands(r.Updates))
	b.WriteString("| consumer | CPU per event, us | of the informer with an index | of one source | of the floor | allocations per event | heap per application, kB | goroutines | requests | all complete, s | all updates, s |\n")
	b.WriteString("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n")
	index, _ := r.of(indexName)
	one, _ := r.of(oneSourceName)
	floor, _ := r.of(allFramesName)
	for _, s := range r.Series {
		kept := number(s.spread(heap).median*float64(r.Pods)/float64(r.Apps)/1e3, 1)
		if s.Consumer == allFramesName {
			kept = "-" // it keeps none
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", s.Title,
			spreadText(s.spread(eventCPU), 1, 1),
			ratioText(s.ratio(index, eventCPU)), ratioText(s.ratio(one, eventCPU)), ratioText(s.ratio(floor, eventCPU)),
			number(s.spread(allocations).median, 0),
			kept,
			number(s.spread(goroutines).median, 0),
			thousands(s.Requests.Lists+s.Requests.StreamingLists+s.Requests.Watches),
			spreadText(s.spread(viewTime), 1, 2),
			spreadText(s.spread(eventTime), 1, 2))
	}
	return b.String()
}
