// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/executorpods/watchsource/internal/test/podtest"
)

type kindsOptions struct {
	kinds     string
	pods      int // of each kind
	updates   int // in each round
	rounds    int
	consumers string
	results   string
}

func runKinds(ctx context.Context, args []string, out, progress io.Writer) error {
	var o kindsOptions
	flags := newFlags(kindsCommand)
	flags.StringVar(&o.kinds, "kinds", strings.Join(kindNames(), ","), "measure with these `kinds` of pods")
	flags.IntVar(&o.pods, "pods", 2_000, "number of pods of each kind")
	flags.IntVar(&o.updates, "updates", 4_000, "number of updates in each round")
	flags.IntVar(&o.rounds, "rounds", 3, "number of rounds")
	flags.StringVar(&o.consumers, "consumers", informerName+",watchsource", "compare these `names`; only those that use streaming lists")
	flags.StringVar(&o.results, "results", "kinds.json", "write all figures to this `file`")
	if err := parse(flags, args); err != nil {
		return err
	}
	return compareKinds(ctx, o, out, progress)
}

// compareKinds lets each consumer in turn watch pods of each kind.
func compareKinds(ctx context.Context, o kindsOptions, out, progress io.Writer) error {
	plans, err := o.plans()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "watchsource-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	report := kindsReport{Machine: thisMachine()}
	for _, p := range plans {
		kind, err := kindNamed(p.kind)
		if err != nil {
			return err
		}
		fmt.Fprintf(progress, "%s:\n", kind.Title)
		c, err := runPlan(ctx, p, flushEach, dir, progress)
		if err != nil {
			return fmt.Errorf("%s: %w", kind.Name, err)
		}
		report.Kinds = append(report.Kinds, kindComparison{Kind: kind.Name, Title: kind.Title, kindSize: sizeOf(kind, p.pods), comparison: c})
	}
	fmt.Fprint(out, report.markdown())
	if o.results != "" {
		return writeJSON(o.results, report)
	}
	return nil
}

// plans returns a plan for each kind.
func (o kindsOptions) plans() (plans []plan, err error) {
	consumers := strings.Split(o.consumers, ",")
	for _, name := range consumers {
		if _, err := consumerNamed(name); err != nil {
			return nil, fmt.Errorf("-consumers: %w", err)
		}
	}
	if o.pods < 1 || o.updates < 1 {
		return nil, fmt.Errorf("-pods %d -updates %d: there must be a pod and an update", o.pods, o.updates)
	}
	for name := range strings.SplitSeq(o.kinds, ",") {
		if _, err := kindNamed(name); err != nil {
			return nil, fmt.Errorf("-kinds: %w", err)
		}
		plans = append(plans, plan{kind: name, pods: o.pods, updates: o.updates, rounds: o.rounds, consumers: consumers})
	}
	return plans, nil
}

// A kindSize is the mean size of the pods of a kind in bytes.
type kindSize struct {
	Frame float64 `json:"frameBytes"` // as an event of a watch
	Pod   float64 `json:"podBytes"`   // without the event and managedFields
}

// sizeOf looks at no more than sizedPods pods.
func sizeOf(kind podtest.Kind, pods int) (size kindSize) {
	const sizedPods = 400
	n := min(pods, sizedPods)
	for i := range n {
		pod := kind.Pod(i, 0)
		pod.ResourceVersion = podtest.VersionText(i + 1)
		size.Frame += float64(len(protobufFrame(watch.Added, pod))) / float64(n)
		pod.ManagedFields = nil
		size.Pod += float64(pod.Size()) / float64(n)
	}
	return size
}

// A kindComparison is one kind with all consumers.
type kindComparison struct {
	Kind  string `json:"kind"`
	Title string `json:"title"`
	kindSize
	comparison
}

// A kindsReport is everything that one run of the kinds command found.
type kindsReport struct {
	Machine machine          `json:"machine"`
	Kinds   []kindComparison `json:"kinds"`
}

// markdown is the report as a table.
func (r kindsReport) markdown() string {
	var b strings.Builder
	if len(r.Kinds) > 0 {
		fmt.Fprintf(&b, "%s. %s pods of each kind, %s updates. Medians, least and most in brackets.\n\n",
			r.Machine, thousands(r.Kinds[0].Pods), thousands(r.Kinds[0].Updates))
	}
	b.WriteString("| pods | on the wire, kB | without managedFields, kB | consumer | heap per pod after the updates, kB | of SharedInformer | before the updates, kB | of SharedInformer |\n")
	b.WriteString("|---|---:|---:|---|---:|---:|---:|---:|\n")
	for _, k := range r.Kinds {
		informer, _ := k.of(informerName)
		for _, s := range k.Series {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", k.Title,
				number(k.Frame/1e3, 1), number(k.Pod/1e3, 1), s.Title,
				spreadText(s.spread(endHeap), 1e-3, 2), ratioText(s.ratio(informer, endHeap)),
				spreadText(s.spread(heap), 1e-3, 2), ratioText(s.ratio(informer, heap)))
		}
	}
	return b.String()
}
