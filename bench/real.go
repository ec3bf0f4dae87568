// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

type realOptions struct {
	kubeconfig string // "" to start a cluster
	pods       int
	updates    int // in each round
	rate       int // updates per second
	rounds     int
	watches    int  // of each consumer
	resumed    bool // the first watches end before the updates
	consumers  string
	before     string // program from before a change, "" for none
	profiles   string // folder for profiles, "" for none
	results    string
}

// defaultRealConsumers take part unless the flag names others.
const defaultRealConsumers = "watch,informer,controller-runtime,watchsource,watchsource-decoding"

// interval is the time from one update to the next.
func (o realOptions) interval() time.Duration { return time.Second / time.Duration(max(o.rate, 1)) }

func runReal(ctx context.Context, args []string, out, progress io.Writer) error {
	var o realOptions
	flags := newFlags(realCommand)
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "use the cluster that this `file` names; by default one is started from ../integration")
	flags.IntVar(&o.pods, "pods", 5_000, "number of pods")
	flags.IntVar(&o.updates, "updates", 2_000, "number of updates in each round")
	flags.IntVar(&o.rate, "rate", 200, "updates per second")
	flags.IntVar(&o.rounds, "rounds", 5, "number of rounds")
	flags.StringVar(&o.consumers, "consumers", defaultRealConsumers, "compare these `names`; spark needs a JDK")
	flags.IntVar(&o.watches, "watches", 1, "number of watches of each consumer, in one process")
	flags.BoolVar(&o.resumed, "resumed", false, "end the first watches before the updates, as the server does after five to ten minutes")
	flags.StringVar(&o.before, "before", "", "measure this library's consumers also in this `program`, a build of this command from before a change")
	flags.StringVar(&o.profiles, "profiles", "", "write profiles of the consumers' CPU to this `folder`")
	flags.StringVar(&o.results, "results", "real.json", "write all figures to this `file`")
	if err := parse(flags, args); err != nil {
		return err
	}
	return compareReal(ctx, o, out, progress)
}

// compareReal lets each consumer in turn watch the same pods on a real API
// server while their states change. One after the other, because on a small
// machine consumers that run side by side delay each other.
func compareReal(ctx context.Context, o realOptions, out, progress io.Writer) error {
	dir, err := os.MkdirTemp("", "watchsource-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	stop, err := findCluster(ctx, &o.kubeconfig, dir, progress)
	if err != nil {
		return err
	}
	defer stop()
	named, err := realConsumers(o.consumers)
	if err != nil {
		return err
	}
	run := realRun{options: o, writer: &writer{pods: o.pods, apps: 1}, dir: dir}
	if slices.ContainsFunc(named, func(c consumer) bool { return c.name == spark.name }) {
		if run.sparkwatch, err = buildProgram(ctx, dir, sparkwatch); err != nil {
			return err
		}
	}
	if err := run.writer.prepare(ctx, o.kubeconfig, progress); err != nil {
		return err
	}
	if run.server, err = localServer(o.kubeconfig); err != nil {
		return err
	}
	report := realReport{
		Machine: thisMachine(), Pods: o.pods, Updates: o.updates, Rate: o.rate, Watches: o.watches, Resumed: o.resumed,
	}
	for _, c := range named {
		report.Series = append(report.Series, realSeries{series: series{Consumer: c.name, Title: c.title}})
		if o.before != "" && isOurs(c.name) {
			report.Series = append(report.Series, realSeries{series: series{Consumer: c.name, Title: c.title + ", before"}, program: o.before})
		}
	}
	for round := range o.rounds {
		for i := range report.Series {
			s := &report.Series[i]
			f, delays, err := run.round(ctx, s.Consumer, s.program, round)
			if err != nil {
				return fmt.Errorf("%s: %w", s.Title, err)
			}
			s.Rounds, s.Delays = append(s.Rounds, f), append(s.Delays, delays)
			fmt.Fprintf(progress, "round %d of %d, %s: %.1f us per event, %.1f us of the server, seen %.2f ms after the answer (p50), %.2f ms (p99)\n",
				round+1, o.rounds, s.Title, f.EventCPUMicros, f.ServerCPUMicros, delays.Answered50, delays.Answered99)
		}
	}
	fmt.Fprint(out, report.markdown())
	if o.results != "" {
		return writeJSON(o.results, report)
	}
	return nil
}

// A realRun has what all rounds share.
type realRun struct {
	options    realOptions
	writer     *writer
	sparkwatch string // path of the program that is the consumer spark
	dir        string // for files
	server     int    // process id of the API server, 0 if it is elsewhere
}

// round measures one consumer once, in another program if that is not empty.
func (r *realRun) round(ctx context.Context, consumer, program string, round int) (f figures, d delays, err error) {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	o := r.options
	if err := r.writer.removeMarkers(ctx); err != nil {
		return f, d, err
	}
	samples := filepath.Join(r.dir, "samples.json")
	process, err := r.start(ctx, consumer, program, samples, round)
	if err != nil {
		return f, d, err
	}
	defer process.kill()
	if consumer == spark.name {
		err := warmUp(process, func() error {
			if _, err := r.writer.churn(ctx, sparkRealWarmUp, o.interval()); err != nil {
				return err
			}
			return r.writer.createWarmUpMarker(ctx)
		})
		if err != nil {
			return f, d, err
		}
	}
	var writes []write
	var before time.Duration
	f, err = measure(process, func() error {
		var err error
		if before, err = processCPU(r.server); err != nil {
			return err
		}
		writes, err = r.writer.churn(ctx, o.updates, o.interval())
		if err != nil {
			return err
		}
		return r.writer.createMarkers(ctx)
	})
	if err != nil {
		return f, d, err
	}
	after, err := processCPU(r.server)
	if err != nil {
		return f, d, err
	}
	f.ServerCPUMicros = micros(after-before) / float64(o.updates)
	seen, err := readSightings(samples)
	if err != nil {
		return f, d, err
	}
	d, err = delaysOf(writes, seen)
	return f, d, err
}

// start starts the process of a consumer.
func (r *realRun) start(ctx context.Context, consumer, program, samples string, round int) (*child, error) {
	o := r.options
	if consumer == spark.name {
		return startSpark(ctx, r.sparkwatch, assignment{kubeconfig: o.kubeconfig, pods: o.pods, updates: o.updates, samples: samples})
	}
	args := []string{
		"-consumer", consumer, "-kubeconfig", o.kubeconfig, "-samples", samples,
		"-pods", strconv.Itoa(o.pods), "-updates", strconv.Itoa(o.updates),
		"-watches", strconv.Itoa(max(o.watches, 1)), "-resumed=" + strconv.FormatBool(o.resumed),
	}
	if o.profiles != "" && program == "" {
		args = append(args, "-profile", filepath.Join(o.profiles, fmt.Sprintf("%s-%d.pprof", consumer, round)))
	}
	if program != "" {
		return startProgram("consumer "+consumer, exec.CommandContext(ctx, program, append([]string{consumeCommand}, args...)...))
	}
	return startConsumer(ctx, args...)
}

// realConsumers returns the named consumers. The floors do not run on a real API server: only
// the replay server says how many frames come.
func realConsumers(names string) ([]consumer, error) {
	var named []consumer
	for name := range strings.SplitSeq(names, ",") {
		c, err := consumerNamed(name)
		if err == nil && (name == floorName || name == allFramesName) {
			err = fmt.Errorf("%s runs on the replay server only", name)
		}
		if err != nil {
			return nil, fmt.Errorf("-consumers: %w", err)
		}
		named = append(named, c)
	}
	return named, nil
}
