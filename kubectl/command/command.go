// SPDX-License-Identifier: Apache-2.0

// Package command is the command line of kubectl-executors.
package command

import (
	"context"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/cli-runtime/pkg/printers"
	"k8s.io/client-go/rest"
)

const long = `Show the executors of an application, or of all applications: which of them run, why the others
wait, and how those have ended that Kubernetes has forgotten.

In a terminal the command opens a screen. Elsewhere, and with -o, it prints the executors once.
"kubectl executors version" prints the version. To name an application version or help, write
"kubectl executors -- version".`

const examples = `  # the executors of an application: a live screen in a terminal, a table elsewhere
  kubectl executors spark-3f2a

  # all applications of all namespaces
  kubectl executors -A

  # the executors of an application that have another label too
  kubectl executors spark-3f2a -l team=search

  # a line for each change, or a JSON object
  kubectl executors spark-3f2a -w | cat
  kubectl executors spark-3f2a -w -o json

  # the pods of those that have failed
  kubectl executors spark-3f2a -o jsonpath='{.items[?(@.state=="Failed")].pod}'

  # wait until the application has ended; 1 if an executor has failed
  kubectl executors spark-3f2a --until-ended --exit-status

  # without a cluster
  kubectl executors --demo`

// options are the flags and the argument.
type options struct {
	streams   genericiooptions.IOStreams
	config    *genericclioptions.ConfigFlags
	inCluster func() (*rest.Config, error)

	// From the command line.
	appID         string // "" for all applications
	allNamespaces bool
	selector      string
	watch         bool
	output        string
	noHeaders     bool
	untilEnded    bool
	exitStatus    bool
	settle        time.Duration
	containers    []string
	demo          bool
	version       bool
	verbosity     int

	// From the flags, after validate.
	requirements labels.Requirements
	printer      printers.ResourcePrinter // nil for a table and for names
	logger       logr.Logger
}

// Run runs the command and returns its exit code. It ends when ctx ends. If the cause of ctx is
// [Interrupted], the code is the one of its signal.
func Run(ctx context.Context, args []string, streams genericiooptions.IOStreams) int {
	o := newOptions(streams)
	cmd := o.command()
	cmd.SetArgs(slices.Collect(longFlags(args)))
	cmd.SetIn(streams.In)
	cmd.SetOut(streams.Out)
	cmd.SetErr(streams.ErrOut)
	return o.exitCode(ctx, cmd.ExecuteContext(ctx), streams.ErrOut)
}

func newOptions(streams genericiooptions.IOStreams) *options {
	config := genericclioptions.NewConfigFlags(true)
	config.CacheDir = nil // no flag: it is for discovery, which this command does not need
	return &options{streams: streams, config: config, inCluster: rest.InClusterConfig}
}

// longFlags turns -demo into --demo, because Go's own tools have one dash.
func longFlags(args []string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, arg := range args {
			if arg == "-demo" {
				arg = "--demo"
			}
			if !yield(arg) {
				return
			}
		}
	}
}

func (o *options) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "kubectl-executors [APP]",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl executors"},
		Short:         "Show the executors of Spark-like applications",
		Long:          long,
		Example:       examples,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.MaximumNArgs(1)(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		},
		RunE: o.runCommand,
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	o.addFlags(cmd.Flags())
	return cmd
}

func (o *options) addFlags(flags *pflag.FlagSet) {
	flags.BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "look in all namespaces; with APP, for the applications of that id in each of them")
	flags.StringVarP(&o.selector, "selector", "l", "", "label `query` that the executors must match too, for example team=search,tier!=test")
	flags.BoolVarP(&o.watch, "watch", "w", false, "without a terminal or with -o, print each change")
	flags.StringVarP(&o.output, "output", "o", "", "`format` of the output: "+formats)
	flags.BoolVar(&o.noHeaders, "no-headers", false, "print a table without its first line")
	flags.BoolVar(&o.untilEnded, "until-ended", false, "wait until all executors of the application have ended or are deleted")
	flags.BoolVar(&o.exitStatus, "exit-status", false, "with --until-ended, exit with 1 if an executor has failed, and with 2 after an error")
	flags.DurationVar(&o.settle, "settle", 10*time.Second, "with --until-ended, the `time` in which no new executor may appear")
	flags.StringSliceVar(&o.containers, "executor-container", nil, "`names` that the executor container may have, if it is not Spark's; the first that a pod has counts")
	flags.BoolVar(&o.demo, "demo", false, "show applications on an embedded cluster, without Kubernetes")
	flags.BoolVar(&o.version, "version", false, "print the version")
	flags.IntVarP(&o.verbosity, "v", "v", 0, "`level` of the log on stderr; 0 is no log")
	flags.AddFlagSet(o.connectionFlags())
}

// connectionFlags returns kubectl's flags that say which cluster and which namespace.
func (o *options) connectionFlags() *pflag.FlagSet {
	flags := pflag.NewFlagSet("connection", pflag.ContinueOnError)
	o.config.AddFlags(flags)
	flags.Lookup("request-timeout").Usage = "The length of time to wait for the first complete view, for example 10s. 0 is the default of 30s."
	return flags
}

func (o *options) runCommand(cmd *cobra.Command, args []string) error {
	named := cmd.ArgsLenAtDash() >= 0 // after --
	switch {
	case o.version, !named && slices.Equal(args, []string{"version"}):
		return o.printVersion()
	case !named && slices.Equal(args, []string{"help"}):
		return cmd.Help()
	}
	if err := o.complete(cmd.Flags(), args); err != nil {
		return err
	}
	o.startLog()
	return o.run(cmd.Context())
}
