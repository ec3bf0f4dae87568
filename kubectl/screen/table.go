// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"strings"
	"time"

	"charm.land/lipgloss/v2"
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

// executorTables returns the executors, and below them those that have ended. A low screen
// has only the table that the keys move in.
func (m *model) executorTables(height int) []string {
	ends := 0
	if n := m.app.Ends.Len(); n > 0 {
		ends = min(n, max(height/3, 3)) + 1
	}
	switch low := height < 14; {
	case low && m.ends:
		return m.endTable(height)
	case low:
		return m.executorTable(height)
	default:
		return append(m.executorTable(height-ends), m.endTable(ends)...)
	}
}

func (m *model) executorTable(height int) []string {
	rows := &m.app.Rows
	columns := executorColumns(m.width)
	from := m.rowCursor.scroll(max(height-1, 0), rows.Len())
	page := rows.Page(from, from+height-1)
	lines := []string{m.header(columns, from, len(page), rows.Len())}
	for i, e := range page {
		style := styles.plain
		switch {
		case application.InTrouble(e):
			style = styles.bad
		case e.State == watchsource.Pending:
			style = styles.pending
		case e.Terminating:
			style = styles.faint
		}
		lines = append(lines, m.row(columns, m.executorCells(e, columns), style, !m.ends && from+i == m.rowCursor.index))
	}
	if len(page) == 0 {
		lines = append(lines, styles.faint.Render("   "+m.whyEmpty()))
	}
	for len(lines) < height {
		lines = append(lines, "")
	}
	return lines
}

func (m *model) whyEmpty() string {
	switch {
	case m.filter != "":
		return "no executor passes the filter"
	case m.app.Ends.Len() > 0:
		return "all executors have ended"
	default:
		return "no executor yet"
	}
}

// endTable returns the title with the counts by cause, and the ends.
func (m *model) endTable(height int) []string {
	if height < 1 {
		return nil
	}
	ends := &m.app.Ends
	title := "── ended, also after Kubernetes has forgotten them "
	if m.width < 100 {
		title = "── ended "
	}
	causes := " " + ends.Causes() + " "
	fill := m.width - ansi.StringWidth(title) - ansi.StringWidth(causes) - 1
	lines := []string{styles.rule.Render(title+strings.Repeat("─", max(fill, 0))) + causes + styles.rule.Render("─")}
	columns := endColumns(m.width)
	from := m.endCursor.scroll(height-1, ends.Len())
	for i, end := range ends.Page(from, from+height-1) {
		style := styles.plain
		switch {
		case end.Failed():
			style = styles.bad
		case end.Gone:
			style = styles.faint
		}
		lines = append(lines, m.row(columns, endCells(end, columns), style, m.ends && from+i == m.endCursor.index))
	}
	return lines
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

func (m *model) applicationTable(height int) []string {
	columns := m.applicationColumns()
	apps := m.set.All()
	from := m.appCursor.scroll(max(height-1, 0), len(apps))
	to := min(from+max(height-1, 0), len(apps))
	lines := []string{m.header(columns, from, to-from, len(apps))}
	for i, app := range apps[from:to] {
		style := styles.plain
		switch {
		case app.Troubled() > 0:
			style = styles.bad
		case app.Rows.Total() == 0:
			style = styles.faint
		}
		lines = append(lines, m.row(columns, m.applicationCells(app, columns), style, from+i == m.appCursor.index))
	}
	if len(apps) == 0 {
		lines = append(lines, styles.faint.Render("   no application yet"))
	}
	return lines
}

// header returns the titles, and at the right which rows are on the screen.
func (m *model) header(columns []column, from, shown, length int) string {
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = c.title
	}
	line := "   " + cellLine(columns, titles)
	if shown < length {
		window := fmt.Sprintf("%d-%d of %d", from+1, from+shown, length)
		if gap := m.width - ansi.StringWidth(line) - len(window) - 1; gap >= 1 {
			line += strings.Repeat(" ", gap) + window
		}
	}
	return styles.faint.Render(line)
}

func (m *model) row(columns []column, cells []string, style lipgloss.Style, selected bool) string {
	mark := "   "
	if selected {
		mark, style = " ▸ ", style.Bold(true)
	}
	return mark + style.Render(ansi.Truncate(cellLine(columns, cells), m.width-len("   "), "…"))
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
