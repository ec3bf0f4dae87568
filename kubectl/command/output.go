// SPDX-License-Identifier: Apache-2.0

package command

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/kubectl/application"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/yaml"
)

// formats are the values of -o.
var formats = []string{"wide", "name", "json", "yaml"}

// An object is an executor in JSON and YAML. It has no part of the pod's spec.
type object struct {
	Application     string     `json:"application"`
	ID              string     `json:"id"`
	Namespace       string     `json:"namespace"`
	Pod             string     `json:"pod"`
	UID             string     `json:"uid"`
	ResourceVersion string     `json:"resourceVersion"`
	State           string     `json:"state"`
	Terminating     bool       `json:"terminating,omitempty"`
	ExitCode        *int32     `json:"exitCode,omitempty"`
	Restarts        int32      `json:"restarts,omitempty"`
	Reason          string     `json:"reason,omitempty"`
	Message         string     `json:"message,omitempty"`
	Disruption      string     `json:"disruption,omitempty"`
	Problem         string     `json:"problem,omitempty"`
	Node            string     `json:"node,omitempty"`
	PodIP           string     `json:"podIP,omitempty"`
	CreatedAt       *time.Time `json:"createdAt,omitempty"`
	StartedAt       *time.Time `json:"startedAt,omitempty"`
	FinishedAt      *time.Time `json:"finishedAt,omitempty"`
}

func objectOf(app application.ID, e *watchsource.Executor) *object {
	if e == nil {
		return nil
	}
	x := &object{
		Application: app.Name, ID: e.ID, Namespace: e.Namespace, Pod: e.Name,
		UID: string(e.UID), ResourceVersion: e.ResourceVersion,
		State: e.State.String(), Terminating: e.Terminating, Restarts: e.Restarts,
		Reason: e.Reason, Message: e.Message, Disruption: e.Disruption, Problem: e.Problem,
		Node: e.Node, PodIP: e.PodIP,
		CreatedAt: timeOrNil(e.CreatedAt), StartedAt: timeOrNil(e.StartedAt), FinishedAt: timeOrNil(e.FinishedAt),
	}
	if e.ExitCode != watchsource.UnknownExitCode {
		x.ExitCode = &e.ExitCode
	}
	return x
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return new(t.UTC())
}

// printOnce prints the executors that have pods.
func (o *options) printOnce(store *application.Store, namespace string) error {
	apps := application.Sorted(store.Owners())
	if len(apps) == 0 && (o.output == "" || o.output == "wide") {
		fmt.Fprintln(o.streams.ErrOut, o.noneFound(namespace))
		return nil
	}
	switch o.output {
	case "", "wide":
		return printers.NewTablePrinter(printers.PrintOptions{Wide: o.output == "wide", NoHeaders: o.noHeaders}).
			PrintObj(o.table(apps, store, time.Now()), o.streams.Out)
	}
	for _, app := range apps {
		for e := range store.Snapshot(app).All() {
			if err := o.print(&e, objectOf(app, &e)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (o *options) noneFound(namespace string) string {
	where := "any namespace"
	if namespace != "" {
		where = "the namespace " + namespace
	}
	if o.appID == "" {
		return "No executors found in " + where + "."
	}
	return fmt.Sprintf("No executors of %s found in %s.", o.appID, where)
}

// print prints an executor, or a change of one, in the formats name, json and yaml.
func (o *options) print(e *watchsource.Executor, value any) error {
	switch o.output {
	case "name":
		_, err := fmt.Fprintln(o.streams.Out, "pod/"+e.Name)
		return err
	case "json":
		return json.NewEncoder(o.streams.Out).Encode(value)
	default:
		text, err := yaml.Marshal(value)
		if err != nil {
			return err
		}
		_, err = io.WriteString(o.streams.Out, "---\n"+string(text))
		return err
	}
}

// table returns the executors of applications as a table for kubectl's printer.
func (o *options) table(apps []application.ID, store *application.Store, now time.Time) *metav1.Table {
	table := &metav1.Table{ColumnDefinitions: o.columns()}
	for _, app := range apps {
		for e := range store.Snapshot(app).All() {
			table.Rows = append(table.Rows, metav1.TableRow{Cells: o.cells(app, &e, now)})
		}
	}
	return table
}

func (o *options) columns() []metav1.TableColumnDefinition {
	const wide = 1 // the priority of the columns of -o wide
	var columns []metav1.TableColumnDefinition
	if o.allNamespaces {
		columns = append(columns, metav1.TableColumnDefinition{Name: "Namespace"})
	}
	if o.appID == "" {
		columns = append(columns, metav1.TableColumnDefinition{Name: "Application"})
	}
	return append(columns, []metav1.TableColumnDefinition{
		{Name: "Executor"}, {Name: "State"}, {Name: "Exit"}, {Name: "Age"}, {Name: "Pod"}, {Name: "Reason"},
		{Name: "Restarts", Priority: wide}, {Name: "Node", Priority: wide}, {Name: "IP", Priority: wide}, {Name: "Message", Priority: wide},
	}...)
}

func (o *options) cells(app application.ID, e *watchsource.Executor, now time.Time) []any {
	var cells []any
	if o.allNamespaces {
		cells = append(cells, application.Printable(e.Namespace))
	}
	if o.appID == "" {
		cells = append(cells, application.Printable(app.Name))
	}
	return append(cells,
		text(e.ID), application.State(e), text(application.ExitCode(e)), age(e.CreatedAt, now), text(e.Name), text(shortReason(e)),
		e.Restarts, text(e.Node), text(e.PodIP), text(strings.TrimSpace(e.Message)),
	)
}

// shortReason returns the reason without the message.
func shortReason(e *watchsource.Executor) string {
	if e.Reason == "" {
		return e.Problem
	}
	return e.Reason
}

// text returns a cell: <none> for no text, as kubectl prints it.
func text(s string) string {
	if s == "" {
		return "<none>"
	}
	return application.Printable(s)
}

func age(t, now time.Time) string {
	if t.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(now.Sub(t))
}
