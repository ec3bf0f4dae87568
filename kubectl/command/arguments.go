// SPDX-License-Identifier: Apache-2.0

package command

import (
	"fmt"
	"slices"

	"github.com/executorpods/watchsource/kubectl/demo"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/printers"
)

// complete checks the command line, before any request, and fills the options that come from it.
func (o *options) complete(flags *pflag.FlagSet, args []string) error {
	if len(args) > 0 {
		if args[0] == "" {
			return usagef("the id of the application is empty: leave it out for all applications")
		}
		o.appID = args[0]
	}
	for _, check := range []func(*pflag.FlagSet) error{o.checkNames, o.checkWays, o.checkDemo, o.parse} {
		if err := check(flags); err != nil {
			return err
		}
	}
	return nil
}

// checkNames checks the application and the namespace.
func (o *options) checkNames(*pflag.FlagSet) error {
	if o.appID != "" && len(validation.IsValidLabelValue(o.appID)) > 0 {
		return usagef("invalid application id %q: %s", o.appID, whyNotLabelValue(o.appID))
	}
	if namespace := *o.config.Namespace; namespace != "" && len(validation.IsDNS1123Label(namespace)) > 0 {
		return usagef("invalid namespace %q: it may have lower case letters, digits and dashes, and at most 63 characters", namespace)
	}
	return nil
}

// whyNotLabelValue says why a text cannot be the value of a label.
func whyNotLabelValue(text string) string {
	if n := len(text); n > validation.LabelValueMaxLength {
		return fmt.Sprintf("it has %d characters, and the value of a label has at most %d", n, validation.LabelValueMaxLength)
	}
	return "it is the value of a label, which may have letters, digits, dashes, dots and underscores, and begins and ends with a letter or a digit"
}

// checkWays checks the flags that say how to show the executors.
func (o *options) checkWays(flags *pflag.FlagSet) error {
	switch {
	case o.untilEnded && o.appID == "":
		return usagef("--until-ended needs an application")
	case o.exitStatus && !o.untilEnded:
		return usagef("--exit-status needs --until-ended")
	case flags.Changed("settle") && !o.untilEnded:
		return usagef("--settle needs --until-ended")
	case o.untilEnded && o.output != "" && !o.watch:
		return usagef("--until-ended prints changes only, with -w: -o needs -w too")
	case flags.Changed("executor-container") && (len(o.containers) == 0 || slices.Contains(o.containers, "")):
		return usagef("--executor-container has an empty name")
	case o.settle < 0:
		return usagef("--settle must not be negative, as %s is", o.settle)
	case o.verbosity < 0:
		return usagef("-v must not be negative, as %d is", o.verbosity)
	case o.verbosity > 0 && o.useScreen() && printers.IsTerminal(o.streams.ErrOut):
		return usagef("the log of -v would destroy the screen: write it to a file, for example with 2>executors.log")
	}
	return nil
}

// checkDemo checks what the demonstration is asked for.
func (o *options) checkDemo(flags *pflag.FlagSet) error {
	if !o.demo {
		return nil
	}
	var err error
	o.connectionFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "namespace" && flags.Changed(f.Name) {
			err = usagef("--demo has its own cluster: it cannot be used with --%s", f.Name)
		}
	})
	if err != nil {
		return err
	}
	if err := demo.Check(o.demoNamespace(), o.appID); err != nil {
		return usageError{err}
	}
	return nil
}

// parse parses the selector and the format of the output.
func (o *options) parse(*pflag.FlagSet) error {
	requirements, err := labels.ParseToRequirements(o.selector)
	if err != nil {
		return usagef("invalid --selector %q: %w", o.selector, err)
	}
	o.requirements = requirements
	o.printer, err = newPrinter(o.output, o.watch)
	if err != nil {
		return usageError{err}
	}
	return nil
}
