// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/kubectl/application"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/printers"
)

// An executor is one of an application.
type executor struct {
	app application.ID
	*watchsource.Executor
}

// executorsOf returns the executors that have pods, in the order in which kubectl would print
// them, but with their ids by value.
func executorsOf(store *application.Store) []executor {
	var all []executor
	for app := range store.Owners() {
		for e := range store.Snapshot(app).All() {
			all = append(all, executor{app, &e})
		}
	}
	slices.SortFunc(all, func(a, b executor) int {
		return cmp.Or(
			cmp.Compare(a.Namespace, b.Namespace),
			cmp.Compare(a.app.Name, b.app.Name),
			application.CompareIDs(a.ID, b.ID),
			cmp.Compare(a.Name, b.Name))
	})
	return all
}

// printOnce prints the executors that have pods.
func (o *options) printOnce(store *application.Store, namespace string) error {
	executors := executorsOf(store)
	switch {
	case o.printer != nil:
		list := newExecutorList()
		for _, e := range executors {
			list.Items = append(list.Items, objectOf(e.app, e.Executor))
		}
		return o.printObject(list)
	case o.output == "name":
		return o.printNames(executors)
	case len(executors) == 0:
		fmt.Fprintln(o.streams.ErrOut, o.noneFound(namespace))
		return nil
	default:
		table := printers.NewTablePrinter(printers.PrintOptions{Wide: o.output == "wide", NoHeaders: o.noHeaders})
		return o.printWith(table, o.table(executors, time.Now()))
	}
}

// printObject prints an object in the format of -o.
func (o *options) printObject(object runtime.Object) error { return o.printWith(o.printer, object) }

// printWith writes what a printer prints. The printer of a table does not return the errors of a
// writer. To a terminal it writes nothing that could change the terminal, as the text of a
// message in a template could.
func (o *options) printWith(printer printers.ResourcePrinter, object runtime.Object) error {
	var b bytes.Buffer
	if err := printer.PrintObj(object, &b); err != nil {
		return err
	}
	text := b.String()
	if printers.IsTerminal(o.streams.Out) {
		text = printableLines(text)
	}
	_, err := io.WriteString(o.streams.Out, text)
	return err
}

func printableLines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		content, isWhole := strings.CutSuffix(line, "\n")
		b.WriteString(application.Printable(content))
		if isWhole {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func (o *options) printNames(executors []executor) error {
	for _, e := range executors {
		if err := o.printName(e.Executor); err != nil {
			return err
		}
	}
	return nil
}

func (o *options) printName(e *watchsource.Executor) error {
	_, err := fmt.Fprintln(o.streams.Out, "pod/"+e.Name)
	return err
}

func (o *options) noneFound(namespace string) string {
	where := "any namespace"
	if namespace != "" {
		where = namespace + " namespace"
	}
	if o.appID == "" {
		return "No executors" + o.matching() + " found in " + where + "."
	}
	return fmt.Sprintf("No executors of %s%s found in %s.", o.appID, o.matching(), where)
}

// matching returns the words for the flag --selector.
func (o *options) matching() string {
	if o.selector == "" {
		return ""
	}
	return " with the labels " + o.selector
}
