// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// operatorOptions is what the flags ask for.
type operatorOptions struct {
	sizes     ownerSizes
	rate      int // events a second, 0 for as fast as the operator reads
	rounds    int
	limit     time.Duration
	settle    time.Duration
	operators string
	results   string
}

func runOperator(ctx context.Context, args []string, out, progress io.Writer) error {
	var o operatorOptions
	flags := newFlags(operatorCommand)
	o.sizes.flags(flags)
	flags.IntVar(&o.rate, "rate", 0, "`events` a second; 0 for as fast as the operator reads")
	flags.IntVar(&o.rounds, "rounds", 3, "number of rounds")
	flags.DurationVar(&o.limit, "limit", 6*time.Minute, "`time` after which a round ends, whatever has been reconciled")
	flags.DurationVar(&o.settle, "settle", 2*time.Second, "`time` in which a round counts the reconciles that still come")
	flags.StringVar(&o.operators, "operators", strings.Join(operatorNames(), ","), "compare these `names`")
	flags.StringVar(&o.results, "results", "operator.json", "write all figures to this `file`")
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := o.check(); err != nil {
		return err
	}
	return compareOperators(ctx, o, out, progress)
}

func (o operatorOptions) check() error {
	if err := o.sizes.check(); err != nil {
		return err
	}
	if o.rate < 0 || o.limit <= 0 || o.settle < 0 {
		return fmt.Errorf("-rate %d -limit %v -settle %v: the limit must be positive, the others not negative", o.rate, o.limit, o.settle)
	}
	for name := range strings.SplitSeq(o.operators, ",") {
		if _, err := operatorNamed(name); err != nil {
			return fmt.Errorf("-operators: %w", err)
		}
	}
	return nil
}

// compareOperators interleaves the operators: each has its first round before any has its second.
func compareOperators(ctx context.Context, o operatorOptions, out, progress io.Writer) error {
	dir, err := os.MkdirTemp("", "watchsource-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	report := operatorReport{Machine: thisMachine(), ownerSizes: o.sizes, Rate: o.rate}
	for name := range strings.SplitSeq(o.operators, ",") {
		known, err := operatorNamed(name)
		if err != nil {
			return err
		}
		report.Series = append(report.Series, operatorSeries{Operator: name, Title: known.title})
	}
	for round := range o.rounds {
		for i := range report.Series {
			s := &report.Series[i]
			r, err := runOperatorRound(ctx, s.Operator, o, dir)
			if err != nil {
				return fmt.Errorf("%s: %w", s.Operator, err)
			}
			s.Rounds = append(s.Rounds, r)
			fmt.Fprintf(progress, "round %d of %d, %s: %d reconciles of the first owner, the second after %s s, CPU %.2f s\n",
				round+1, o.rounds, s.Operator, r.FirstReconciles, r.SecondWait, r.CPUSeconds)
		}
	}
	fmt.Fprint(out, report.markdown())
	return writeJSON(o.results, report)
}

// beyondLimit is the time of a round besides the wait for the last reconcile.
const beyondLimit = 2 * time.Minute

// runOperatorRound measures one operator once, against a new server.
func runOperatorRound(ctx context.Context, name string, o operatorOptions, dir string) (r operatorRound, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.limit+2*o.settle+beyondLimit)
	defer cancel()
	kubeconfig := filepath.Join(dir, "owners.kubeconfig")
	size := append(o.sizes.arguments(), "-kubeconfig", kubeconfig)
	server, err := startChild(ctx, "server of owners", slices.Concat([]string{serveOwnersCommand, "-rate", strconv.Itoa(o.rate)}, size)...)
	if err != nil {
		return r, err
	}
	defer server.kill()
	if err := server.awaitReady(); err != nil {
		return r, err
	}
	process, err := startChild(ctx, "operator "+name, slices.Concat(
		[]string{operateCommand, "-operator", name, "-limit", o.limit.String(), "-settle", o.settle.String()}, size)...)
	if err != nil {
		return r, err
	}
	defer process.kill()
	if err := process.awaitReady(); err != nil {
		return r, err
	}
	if err := server.say("events"); err != nil {
		return r, fmt.Errorf("begin the events: %w", err)
	}
	if err := process.result(&r.operatorFigures); err != nil {
		return r, err
	}
	if err := errors.Join(process.end(), server.hush()); err != nil {
		return r, err
	}
	if err := server.result(&r.ownerRequests); err != nil {
		return r, err
	}
	if err := server.end(); err != nil {
		return r, err
	}
	return r, r.reckon()
}

func runServeOwners(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	var sizes ownerSizes
	flags := newFlags(serveOwnersCommand)
	sizes.flags(flags)
	rate := flags.Int("rate", 0, "events a second")
	kubeconfig := flags.String("kubeconfig", "", "write a kubeconfig to this `file`")
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := sizes.check(); err != nil {
		return err
	}
	return serve(ctx, newOwnerServer(newOwnerScript(sizes), *rate), *kubeconfig, in, out)
}
