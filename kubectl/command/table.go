// SPDX-License-Identifier: Apache-2.0

package command

import (
	"strings"
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/kubectl/application"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
)

// table returns executors as a table for kubectl's printer.
func (o *options) table(executors []executor, now time.Time) *metav1.Table {
	table := &metav1.Table{ColumnDefinitions: o.columns()}
	for _, e := range executors {
		table.Rows = append(table.Rows, metav1.TableRow{Cells: o.cells(e, now)})
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

func (o *options) cells(e executor, now time.Time) []any {
	var cells []any
	if o.allNamespaces {
		cells = append(cells, application.Printable(e.Namespace))
	}
	if o.appID == "" {
		cells = append(cells, application.Printable(e.app.Name))
	}
	return append(cells,
		text(e.ID), application.State(e.Executor), text(application.ExitCode(e.Executor)), age(e.CreatedAt, now), text(e.Name), text(shortReason(e.Executor)),
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
