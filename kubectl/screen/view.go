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
		return m.reading.show(m.text(m.page), height)
	case m.page == applications:
		return m.draw(m.applicationTable(height))
	default:
		return m.executorTables(height)
	}
}
