// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"slices"
	"strings"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/kubectl/application"
	"k8s.io/apimachinery/pkg/util/duration"
)

// A column has a title and a width, which includes the blank behind it. The last column of a table
// has the width 0 and takes the rest of the line.
type column struct {
	title string
	width int
	max   int  // of a column that grows with its texts
	names bool // the texts are names: they are cut in the middle
	drop  drop // what may be left out of names that do not fit
}

func fixed(title string, width int) column { return column{title: title, width: width, max: width} }

// rest returns the last column of a table.
func rest(title string) column { return column{title: title} }

// named returns a column of names, which grows up to a width.
func named(title string, width, limit int) column {
	return column{title: title, width: width, max: max(width, limit), names: true}
}

func nodes(width, limit int) column {
	c := named("NODE", width, limit)
	c.drop = dropSuffix
	return c
}

func pods(width, limit int) column {
	c := named("POD", width, limit)
	c.drop = dropPrefix
	return c
}

// growing returns a column that grows up to a width.
func growing(title string, width, limit int) column {
	return column{title: title, width: width, max: max(width, limit)}
}

// withNamespace returns the columns, and one for the namespace if the executors of the application are in
// several. A screen of less than 100 or 60 columns has it in the place of another column.
func (m *model) withNamespace(columns []column, below100, below60 string) []column {
	if !m.severalNamespaces() {
		return columns
	}
	other := ""
	switch {
	case m.width < 60:
		other = below60
	case m.width < 100:
		other = below100
	}
	columns = slices.DeleteFunc(columns, func(c column) bool { return c.title == other })
	return append([]column{named("NAMESPACE", 10, m.width/6)}, columns...)
}

// executorColumns returns the columns that fit. A wide screen has the node and the pod.
func executorColumns(width int) []column {
	switch {
	case width >= 100:
		return []column{
			named("ID", 6, 20), fixed("STATE", 12), fixed("AGE", 7),
			nodes(min(width/8, 30), width/6), pods(8, min(width/4, 48)), rest("REASON"),
		}
	case width >= 60:
		return []column{named("ID", 6, 12), fixed("STATE", 12), fixed("AGE", 7), nodes(14, width/5), rest("REASON")}
	default:
		return []column{named("ID", 5, 10), fixed("STATE", 12), fixed("AGE", 6), rest("REASON")}
	}
}

func (m *model) executorCells(e *watchsource.Executor, columns []column) []string {
	cells := make([]string, len(columns))
	for i, c := range columns {
		switch c.title {
		case "ID":
			cells[i] = orDash(application.Printable(e.ID))
		case "NAMESPACE":
			cells[i] = application.Printable(e.Namespace)
		case "STATE":
			cells[i] = application.State(e)
		case "AGE":
			cells[i] = duration.HumanDuration(m.now.Sub(e.CreatedAt))
		case "NODE":
			cells[i] = orDash(application.Printable(e.Node))
		case "POD":
			cells[i] = application.Printable(e.Name)
		case "REASON":
			cells[i] = application.Reason(e)
			if e.Restarts > 0 {
				cells[i] = strings.TrimSpace(fmt.Sprintf("%s restarted %d×", cells[i], e.Restarts))
			}
		}
	}
	return cells
}

// endColumns returns the columns of the ended executors that fit.
func endColumns(width int) []column {
	switch {
	case width >= 100:
		return []column{
			named("ID", 6, 20), fixed("CAUSE", min(max(width/4, 30), 48)), fixed("LIVED", 7),
			nodes(min(width/8, 30), width/6), growing("ENDED", 9, endedWidth), fixed("POD", 8), rest("MESSAGE"),
		}
	case width >= 80:
		return []column{named("ID", 6, 12), fixed("CAUSE", 28), fixed("LIVED", 6), nodes(14, width/5), growing("ENDED", 9, endedWidth), rest("POD")}
	case width >= 60:
		return []column{named("ID", 6, 12), fixed("CAUSE", min(width-41, 28)), fixed("LIVED", 6), growing("ENDED", 9, endedWidth), rest("POD")}
	default:
		return []column{named("ID", 5, 10), growing("ENDED", 9, endedWidth), rest("CAUSE")}
	}
}

func (m *model) endCells(end *application.End, columns []column) []string {
	e := end.Executor
	cells := make([]string, len(columns))
	for i, c := range columns {
		switch c.title {
		case "ID":
			cells[i] = orDash(application.Printable(e.ID))
		case "NAMESPACE":
			cells[i] = application.Printable(e.Namespace)
		case "CAUSE":
			cells[i] = end.Description()
		case "LIVED":
			cells[i] = lived(end)
		case "NODE":
			cells[i] = orDash(application.Printable(e.Node))
		case "ENDED":
			cells[i] = m.ended(end)
		case "POD":
			cells[i] = "kept"
			if end.Gone {
				cells[i] = "deleted"
			}
		case "MESSAGE":
			cells[i] = application.Printable(strings.TrimSpace(e.Message))
		}
	}
	return cells
}

// applicationColumns returns the columns that fit. The applications of all namespaces have theirs.
func (m *model) applicationColumns() []column {
	narrow, columns := m.width < 60, []column{name("APPLICATION", min(max(m.width/3, 14), 50))}
	if m.config.Namespace == "" {
		if narrow {
			return []column{name("NAMESPACE", 10), name("APPLICATION", 13), fixed("RUNNING", 8), rest("FAILED")}
		}
		columns = []column{name("NAMESPACE", min(m.width/6, 30)), name("APPLICATION", min(m.width/4, 50))}
	}
	columns = append(columns, fixed("RUNNING", 8), fixed("PENDING", 8), fixed("FAILED", 7))
	if narrow {
		return append(columns, rest(""))
	}
	return append(columns, fixed("AGE", 7), rest("ENDS"))
}

// name returns a column of names that does not grow.
func name(title string, width int) column { return named(title, width, width) }

func (m *model) applicationCells(app *application.Application, columns []column) []string {
	cells := make([]string, len(columns))
	for i, c := range columns {
		switch c.title {
		case "NAMESPACE":
			cells[i] = orDash(application.Printable(app.ID.Namespace))
		case "APPLICATION":
			cells[i] = orDash(application.Printable(app.ID.Name))
		case "RUNNING":
			cells[i] = fmt.Sprint(app.Count(watchsource.Running))
		case "PENDING":
			cells[i] = fmt.Sprint(app.Count(watchsource.Pending))
		case "FAILED":
			cells[i] = fmt.Sprint(app.Ends.Failed())
		case "AGE":
			cells[i] = duration.HumanDuration(app.Age(m.now))
		case "ENDS":
			cells[i] = app.Ends.Causes()
		}
	}
	return cells
}

// noName stands for a missing name.
const noName = "-"

func orDash(text string) string {
	if text == "" {
		return noName
	}
	return text
}
