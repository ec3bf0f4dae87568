// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/kubectl/application"
	"k8s.io/apimachinery/pkg/util/duration"
)

// A column has a title and a width. The last column of a table takes the rest of the line.
type column struct {
	title string
	width int
}

// executorColumns returns the columns that fit. A wide screen has the node and the pod.
func executorColumns(width int) []column {
	switch {
	case width >= 100:
		return []column{{"ID", 6}, {"STATE", 12}, {"AGE", 7}, {"NODE", min(width/8, 30)}, {"POD", min(width/4, 48)}, {"REASON", 0}}
	case width >= 60:
		return []column{{"ID", 6}, {"STATE", 12}, {"AGE", 7}, {"NODE", 14}, {"REASON", 0}}
	default:
		return []column{{"ID", 5}, {"STATE", 12}, {"AGE", 6}, {"REASON", 0}}
	}
}

func (m *model) executorCells(e *watchsource.Executor, columns []column) []string {
	cells := make([]string, len(columns))
	for i, c := range columns {
		switch c.title {
		case "ID":
			cells[i] = orDash(application.Printable(e.ID))
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
		return []column{{"ID", 6}, {"CAUSE", min(max(width/4, 30), 48)}, {"LIVED", 7}, {"NODE", min(width/8, 30)}, {"ENDED", 9}, {"POD", 8}, {"MESSAGE", 0}}
	case width >= 60:
		return []column{{"ID", 6}, {"CAUSE", 28}, {"LIVED", 7}, {"NODE", 14}, {"ENDED", 9}, {"POD", 0}}
	default:
		return []column{{"ID", 5}, {"CAUSE", 22}, {"ENDED", 0}}
	}
}

func endCells(end *application.End, columns []column) []string {
	e := end.Executor
	cells := make([]string, len(columns))
	for i, c := range columns {
		switch c.title {
		case "ID":
			cells[i] = orDash(application.Printable(e.ID))
		case "CAUSE":
			cells[i] = end.Description()
		case "LIVED":
			cells[i] = duration.HumanDuration(end.Lived())
		case "NODE":
			cells[i] = orDash(application.Printable(e.Node))
		case "ENDED":
			cells[i] = end.At.Local().Format(time.TimeOnly)
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
	columns := []column{{"APPLICATION", min(max(m.width/3, 14), 50)}}
	narrow := m.width < 60
	if m.config.Namespace == "" {
		if narrow {
			return []column{{"NAMESPACE", 10}, {"APPLICATION", 13}, {"RUNNING", 8}, {"FAILED", 0}}
		}
		columns = []column{{"NAMESPACE", min(m.width/6, 30)}, {"APPLICATION", min(m.width/4, 50)}}
	}
	columns = append(columns, column{"RUNNING", 8}, column{"PENDING", 8}, column{"FAILED", 7})
	if narrow {
		return append(columns, column{"", 0})
	}
	return append(columns, column{"AGE", 7}, column{"ENDS", 0})
}

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

// cellLine joins cells to a line.
func cellLine(columns []column, cells []string) string {
	var b strings.Builder
	for i, c := range columns {
		if c.width == 0 {
			b.WriteString(cells[i])
			continue
		}
		b.WriteString(fit(cells[i], c.width-1))
		b.WriteByte(' ')
	}
	return strings.TrimRight(b.String(), " ")
}

// fit cuts or fills a text to a width.
func fit(text string, width int) string {
	text = ansi.Truncate(text, width, "…")
	return text + strings.Repeat(" ", max(width-ansi.StringWidth(text), 0))
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
