// SPDX-License-Identifier: Apache-2.0

// Demo runs a fleet of three replicas in one process, with an embedded cluster. Executors
// fail all the time. After ten seconds one replica loses its connection to the Leases, and
// the other two take over. It prints once a second which replica acts for how many
// applications, and at the end how long the others took.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options contains the values of the flags.
type options struct {
	apps     int
	runFor   time.Duration
	cutAfter time.Duration // 0 for never
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	opts, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2 // parse has printed the error
	}
	klog.SetLogger(logr.Discard()) // the failed requests of the replica that loses its connection
	demo, err := newDemo(opts, stdout)
	if err == nil {
		err = demo.run(ctx)
	}
	if err != nil {
		fmt.Fprintln(stderr, "demo:", err)
		return 1
	}
	return 0
}

func parse(args []string, stderr io.Writer) (options, error) {
	var opts options
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, "Runs three replicas of a fleet on an embedded cluster. One of them fails.\n\nUsage: demo [flags]\n\n")
		flags.PrintDefaults()
	}
	flags.IntVar(&opts.apps, "apps", 300, "`number` of applications")
	flags.DurationVar(&opts.runFor, "for", 40*time.Second, "`time` after which the demo ends")
	flags.DurationVar(&opts.cutAfter, "cut-after", 10*time.Second,
		"`time` after which replica-2 loses its connection to the Leases; 0 for never")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if err := opts.check(flags.NArg()); err != nil {
		fmt.Fprintf(stderr, "demo: %v; -h shows the flags\n", err)
		return options{}, err
	}
	return opts, nil
}

func (o options) check(arguments int) error {
	switch {
	case arguments > 0:
		return errors.New("there are flags only, no arguments")
	case o.apps < 1:
		return fmt.Errorf("-apps must be at least 1, not %d", o.apps)
	case o.runFor < time.Second:
		return fmt.Errorf("-for must be at least 1s, not %v", o.runFor)
	case o.cutAfter < 0:
		return fmt.Errorf("-cut-after must not be negative, as %v is", o.cutAfter)
	case o.cutAfter >= o.runFor:
		return fmt.Errorf("-cut-after must be less than -for, %v, not %v", o.runFor, o.cutAfter)
	default:
		return nil
	}
}
