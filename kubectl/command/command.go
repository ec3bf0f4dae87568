// SPDX-License-Identifier: Apache-2.0

// Package command is the command line of kubectl-executors.
package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// The exit codes. With --exit-status an error has another code than a failed executor, as
// with kubectl diff.
const (
	exitOK         = 0
	exitError      = 1
	exitFailed     = 1
	exitOtherError = 2
)

// errFailed means that an executor has failed, with --exit-status.
var errFailed = errors.New("an executor has failed")

const examples = `  # the executors of an application: a live screen in a terminal, a table elsewhere
  kubectl executors spark-3f2a

  # all applications of all namespaces
  kubectl executors -A

  # a line for each change, or a JSON object
  kubectl executors spark-3f2a -w | cat
  kubectl executors spark-3f2a -w -o json

  # wait until the application has ended; 1 if an executor has failed
  kubectl executors spark-3f2a --until-ended --exit-status

  # without a cluster
  kubectl executors --demo`

// options are the flags and the argument.
type options struct {
	streams genericiooptions.IOStreams
	config  *genericclioptions.ConfigFlags

	appID         string // "" for all applications
	allNamespaces bool
	watch         bool
	output        string
	noHeaders     bool
	untilEnded    bool
	exitStatus    bool
	settle        time.Duration
	containers    []string
	demo          bool
}

// Run runs the command and returns its exit code. It ends when ctx ends.
func Run(ctx context.Context, args []string, streams genericiooptions.IOStreams) int {
	o := &options{streams: streams, config: genericclioptions.NewConfigFlags(true)}
	cmd := o.command()
	cmd.SetArgs(slices.Collect(longFlags(args)))
	cmd.SetIn(streams.In)
	cmd.SetOut(streams.Out)
	cmd.SetErr(streams.ErrOut)
	err := cmd.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errFailed):
		return exitFailed // the summary has said so
	}
	fmt.Fprintln(streams.ErrOut, "error:", err)
	if o.exitStatus {
		return exitOtherError
	}
	return exitError
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
		Long:          "Show the executors of an application, or of all applications: which of them run, why the others\nwait, and how those have ended that Kubernetes has forgotten.",
		Example:       examples,
		Args:          cobra.MaximumNArgs(1),
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.appID = args[0]
			}
			if err := o.validate(); err != nil {
				return err
			}
			return o.run(cmd.Context())
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&o.allNamespaces, "all-namespaces", "A", false, "look in all namespaces")
	flags.BoolVarP(&o.watch, "watch", "w", false, "without a terminal, print a line for each change")
	flags.StringVarP(&o.output, "output", "o", "", "`format` of the output: "+strings.Join(formats, ", "))
	flags.BoolVar(&o.noHeaders, "no-headers", false, "print no headers")
	flags.BoolVar(&o.untilEnded, "until-ended", false, "wait until all executors of the application have ended or are deleted")
	flags.BoolVar(&o.exitStatus, "exit-status", false, "with --until-ended, exit with 1 if an executor has failed, and with 2 after an error")
	flags.DurationVar(&o.settle, "settle", 10*time.Second, "with --until-ended, the `time` in which no new executor may appear")
	flags.StringSliceVar(&o.containers, "executor-container", nil, "`names` that the executor container may have, if it is not Spark's; the first that a pod has counts")
	flags.BoolVar(&o.demo, "demo", false, "show applications on an embedded cluster, without Kubernetes")
	o.config.AddFlags(flags)
	return cmd
}

func (o *options) validate() error {
	switch {
	case o.output != "" && !slices.Contains(formats, o.output):
		return fmt.Errorf("unknown output format %q, want one of %s", o.output, strings.Join(formats, ", "))
	case o.untilEnded && o.appID == "" && (!o.demo || o.allNamespaces):
		return errors.New("--until-ended needs an application")
	case o.exitStatus && !o.untilEnded:
		return errors.New("--exit-status needs --until-ended")
	case o.settle < 0:
		return fmt.Errorf("--settle must not be negative, as %s is", o.settle)
	}
	return nil
}
