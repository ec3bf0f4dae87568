// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/kubectl/application"
)

// A table is the part of a list that is on the screen.
type table struct {
	height  int
	columns []column
	rows    []row
	window  string // which rows are on the screen
	title   string // instead of the titles of the columns
	empty   string // if there are no rows
}

// A row has a cell for each column.
type row struct {
	cells    []string
	style    lipgloss.Style
	selected bool
}

// executorTables returns the executors, and below them those that have ended. A low screen
// has only the table that the keys move in.
func (m *model) executorTables(height int) []string {
	ends := 0
	if n := m.app.Ends.Total(); n > 0 {
		ends = min(n, max(height/3, 3)) + 1
	}
	switch low := height < 14; {
	case low && m.ends:
		return m.draw(m.endTable(height))
	case low:
		return m.draw(m.executorTable(height))
	default:
		return m.draw(m.executorTable(height-ends), m.endTable(ends))
	}
}

func (m *model) executorTable(height int) table {
	rows := &m.app.Rows
	from := m.rowCursor.scroll(max(height-1, 0), rows.Len())
	page := rows.Page(from, from+height-1)
	t := table{height: height, columns: m.withNamespace(executorColumns(m.width), "", "AGE"), window: window(from, len(page), rows.Len(), rows.Total()), empty: m.whyEmpty()}
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
		t.rows = append(t.rows, row{m.executorCells(e, t.columns), style, !m.ends && from+i == m.rowCursor.index})
	}
	return t
}

func (m *model) whyEmpty() string {
	switch {
	case m.app.Rows.Total() > 0:
		return "no executor passes the filter"
	case m.app.Ends.Total() > 0:
		return "all executors have ended"
	default:
		return "no executor yet"
	}
}

// endTable returns the ends below a title with their counts by cause.
func (m *model) endTable(height int) table {
	ends := &m.app.Ends
	from := m.endCursor.scroll(max(height-1, 0), ends.Len())
	page := ends.Page(from, from+height-1)
	window := window(from, len(page), ends.Len(), ends.Total())
	t := table{height: height, columns: m.withNamespace(endColumns(m.width), "NODE", "ENDED"), title: m.endTitle(window), empty: "no end passes the filter"}
	for i, end := range page {
		style := styles.plain
		switch {
		case end.Failed():
			style = styles.bad
		case end.Gone:
			style = styles.faint
		}
		t.rows = append(t.rows, row{m.endCells(end, t.columns), style, m.ends && from+i == m.endCursor.index})
	}
	return t
}

func (m *model) endTitle(window string) string {
	title := "── ended, also after Kubernetes has forgotten them "
	if m.width < 100 {
		title = "── ended "
	}
	if window != "" {
		title += "── " + window + " "
	}
	causes := " " + m.app.Ends.Causes() + " "
	line := max(m.width-ansi.StringWidth(title)-ansi.StringWidth(causes)-1, 0)
	return styles.rule.Render(title+strings.Repeat("─", line)) + causes + styles.rule.Render("─")
}

func (m *model) applicationTable(height int) table {
	apps := m.set
	from := m.appCursor.scroll(max(height-1, 0), apps.Len())
	page := apps.Page(from, from+height-1)
	window := window(from, len(page), apps.Len(), apps.Total())
	t := table{height: height, columns: m.applicationColumns(), window: window, empty: "no application yet"}
	if apps.Total() > 0 {
		t.empty = "no application passes the filter"
	}
	for i, app := range page {
		style := styles.plain
		switch {
		case app.Troubled() > 0:
			style = styles.bad
		case app.Rows.Total() == 0:
			style = styles.faint
		}
		t.rows = append(t.rows, row{m.applicationCells(app, t.columns), style, from+i == m.appCursor.index})
	}
	return t
}

// window says which rows are on the screen, "" if that is all rows. Some rows may not pass the filter.
func window(from, shown, length, total int) string {
	switch {
	case shown >= total:
		return ""
	case shown >= length:
		return fmt.Sprintf("%d of %d", length, total)
	case length < total:
		return fmt.Sprintf("%d-%d of %d, all %d", from+1, from+shown, length, total)
	default:
		return fmt.Sprintf("%d-%d of %d", from+1, from+shown, length)
	}
}

// draw returns the lines of tables. They share the widths of the columns.
func (m *model) draw(tables ...table) []string {
	for i, t := range tables {
		tables[i].columns = m.layout.arrange(t.columns, t.rows)
	}
	for i, t := range tables { // the last one may have made a column wider
		tables[i].columns = m.layout.arrange(t.columns, nil)
	}
	var lines []string
	for _, t := range tables {
		lines = append(lines, m.tableLines(t)...)
	}
	return lines
}

func (m *model) tableLines(t table) []string {
	if t.height < 1 {
		return nil
	}
	lines := []string{t.title}
	if t.title == "" {
		lines[0] = m.header(t.columns, t.window)
	}
	for _, row := range t.rows {
		lines = append(lines, m.rowLine(t.columns, row))
	}
	if len(t.rows) == 0 && t.empty != "" {
		lines = append(lines, styles.faint.Render("   "+t.empty))
	}
	for len(lines) < t.height {
		lines = append(lines, "")
	}
	return lines
}

// header returns the titles, and at the right which rows are on the screen.
func (m *model) header(columns []column, window string) string {
	titles := make([]string, len(columns))
	for i, c := range columns {
		titles[i] = c.title
	}
	line := "   " + cellLine(columns, titles)
	if gap := m.width - ansi.StringWidth(line) - len(window) - 1; window != "" && gap >= 1 {
		line += strings.Repeat(" ", gap) + window
	}
	return styles.faint.Render(line)
}

func (m *model) rowLine(columns []column, row row) string {
	mark, style := "   ", row.style
	if row.selected {
		mark, style = " ▸ ", style.Bold(true)
	}
	return mark + style.Render(ansi.Truncate(cellLine(columns, row.cells), m.width-len("   "), "…"))
}

// cellLine joins cells to a line.
func cellLine(columns []column, cells []string) string {
	var b strings.Builder
	for i, c := range columns {
		switch {
		case c.width == 0:
			b.WriteString(cells[i])
			continue
		case c.names:
			b.WriteString(fitName(cells[i], c.width-1))
		default:
			b.WriteString(fit(cells[i], c.width-1))
		}
		b.WriteByte(' ')
	}
	return strings.TrimRight(b.String(), " ")
}
