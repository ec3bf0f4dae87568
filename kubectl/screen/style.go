// SPDX-License-Identifier: Apache-2.0

package screen

import "charm.land/lipgloss/v2"

// styles use the terminal's own 16 colours, which are readable in light and dark. Bubble Tea
// removes the colours if NO_COLOR is set or the terminal has none.
var styles = struct {
	plain, title, faint, rule, running, pending, live, bad, blind lipgloss.Style
}{
	plain:   lipgloss.NewStyle(),
	title:   lipgloss.NewStyle().Bold(true),
	faint:   lipgloss.NewStyle().Faint(true),
	rule:    lipgloss.NewStyle().Faint(true),
	running: lipgloss.NewStyle().Foreground(lipgloss.Green),
	pending: lipgloss.NewStyle().Foreground(lipgloss.Yellow),
	live:    lipgloss.NewStyle().Foreground(lipgloss.Green).Bold(true),
	bad:     lipgloss.NewStyle().Foreground(lipgloss.Red),
	blind:   lipgloss.NewStyle().Foreground(lipgloss.Red).Bold(true).Reverse(true),
}
