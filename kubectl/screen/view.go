// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/executorpods/watchsource/kubectl/application"
)

// View draws the screen.
func (m *model) View() tea.View {
	view := tea.NewView(strings.Join(m.frame(), "\n"))
	view.AltScreen = true
	view.WindowTitle = "kubectl executors " + application.Printable(m.config.AppID)
	return view
}

// frame returns the lines of the screen, each at most as wide as the screen.
func (m *model) frame() []string {
	lines := m.head()
	lines = append(lines, m.body(m.height-len(lines)-1)...)
	if m.blind == nil {
		lines[headHeight-1] = m.rule() // after the tables, which shorten the names
	}
	lines = lines[:min(len(lines), max(m.height-1, 0))]
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines, m.foot())
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, m.width, "…")
	}
	return lines
}

// body returns the lines between the head and the foot.
func (m *model) body(height int) []string {
	switch m.page {
	case applications:
		return m.draw(m.applicationTable(height))
	case details:
		return m.detailLines()
	case help:
		return helpLines()
	default:
		return m.executorTables(height)
	}
}

// foot returns the last line: the keys, or the filter.
func (m *model) foot() string {
	switch {
	case m.filtering:
		return " /" + m.filter + "█  " + styles.faint.Render("enter keep  esc remove")
	case m.page == applications:
		return hints("q quit", "enter executors", "? help")
	case m.page == details || m.page == help:
		return hints("esc back", "q quit")
	}
	list := []string{"q quit", "/ filter", "s sort: " + m.app.Rows.Order().String(), "enter details", "tab ends", "? help"}
	if m.filter != "" {
		list[1] = "filter: " + m.filter
	}
	if m.config.AppID == "" {
		list = append(list, "a applications")
	}
	return hints(list...)
}

func hints(list ...string) string { return styles.faint.Render(" " + strings.Join(list, "   ")) }

func helpLines() []string {
	lines := []string{""}
	for _, key := range keys {
		lines = append(lines, " "+styles.title.Render(fit(key[0], 18))+" "+key[1])
	}
	return lines
}
