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
	body := m.body(m.height - len(m.head()) - 1)
	lines := append(m.head(), body...) // the rule names what the tables have left out
	lines = lines[:min(len(lines), max(m.height-1, 1))]
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	if m.height > 1 {
		lines = append(lines, m.foot())
	}
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, m.width, "…")
	}
	return lines
}

// body returns the lines between the head and the foot.
func (m *model) body(height int) []string {
	switch {
	case m.isText():
		return m.reading.show(m.text(), height)
	case m.page == applications:
		return m.draw(m.applicationTable(height))
	default:
		return m.executorTables(height)
	}
}

// foot returns the last line: a notice, the filter, or the keys.
func (m *model) foot() string {
	switch {
	case m.now.Before(m.notice.until):
		return styles.pending.Render(" " + m.notice.text)
	case m.filtering:
		return " /" + m.filter + "█  " + styles.faint.Render("enter keep  esc remove")
	case m.isText():
		return m.hints(m.readingHints()...)
	case m.page == applications:
		return m.hints("q quit", "enter executors", "? help")
	}
	list := []string{"q quit", "/ filter", "s sort: " + m.app.Rows.Order().String(), "enter details", "tab ends", "? help"}
	if m.filter != "" {
		list[1] = "filter: " + m.filter
	}
	if m.config.AppID == "" {
		list = append(list, "a applications")
	}
	return m.hints(list...)
}

// hints returns keys. While the model is blind, the first is the one that shows why.
func (m *model) hints(list ...string) string {
	if m.blind != nil && m.page != watch {
		list = append([]string{"e error"}, list...)
	}
	return styles.faint.Render(" " + strings.Join(list, "   "))
}
