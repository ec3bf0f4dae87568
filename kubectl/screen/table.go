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
