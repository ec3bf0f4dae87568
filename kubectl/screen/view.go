// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/kubectl/application"
	"k8s.io/apimachinery/pkg/util/duration"
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
	lines := append(m.head(), m.body(m.height-len(m.head())-1)...)
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

// head returns the totals and the state of the watch.
func (m *model) head() []string {
	lines := []string{m.title(), m.totals(), styles.rule.Render(strings.Repeat("─", m.width))}
	if m.blind != nil {
		lines[2] = styles.blind.Render(ansi.Truncate(" "+application.Printable(m.blind.Error()), m.width, "…"))
	}
	return lines
}

// title returns the first line. What does not fit is left out, the least important part first.
func (m *model) title() string {
	name, namespace := "all applications", m.config.Namespace
	var history, running string
	if m.app != nil {
		name, namespace = m.app.ID.Name, cmp.Or(namespace, m.app.ID.Namespace)
		history = styles.running.Render(m.app.History.String())
		running = fmt.Sprintf("%d of %d running", m.app.Count(watchsource.Running), m.app.Rows.Total())
		if age := m.app.Age(m.now); age > 0 {
			running += "  " + duration.HumanDuration(age)
		}
	}
	name = styles.title.Render(application.Printable(name))
	version := styles.faint.Render("rv " + application.Printable(m.status.ResourceVersion))
	namespace = styles.faint.Render(application.Printable(namespace))
	for _, parts := range [][2][]string{
		{{name, namespace, m.watchState(), version}, {history, running}},
		{{name, namespace, m.watchState()}, {history, running}},
		{{name, m.watchState()}, {running}},
		{{name, m.watchState()}, nil},
	} {
		left, right := " "+joinParts(parts[0]), joinParts(parts[1])
		if gap := m.width - ansi.StringWidth(left) - ansi.StringWidth(right) - 1; gap >= 2 {
			return left + strings.Repeat(" ", gap) + right
		}
	}
	return " " + m.watchState() + "  " + name
}

// watchState returns whether the view is current, and the age of the last contact.
func (m *model) watchState() string {
	age := "-"
	if !m.status.LastContact.IsZero() {
		age = shortDuration(m.now.Sub(m.status.LastContact))
	}
	if m.blind != nil {
		return styles.blind.Render("BLIND " + age)
	}
	return styles.live.Render("LIVE") + " " + age
}

// shortDuration is like kubectl's ages, with tenths below ten seconds.
func shortDuration(d time.Duration) string {
	if d = max(d, 0); d < 10*time.Second {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return duration.HumanDuration(d)
}

// totals returns the second line.
func (m *model) totals() string {
	if m.app == nil {
		return m.applicationTotals()
	}
	running, pending := m.app.Count(watchsource.Running), m.app.Count(watchsource.Pending)
	text := m.fitting(failed(m.app.Ends.Failed()),
		fmt.Sprintf("%d running", running), fmt.Sprintf("%d pending", pending), fmt.Sprintf("%d terminating", m.app.Terminating()))
	barWidth := min(46, m.width-ansi.StringWidth(text)-5)
	if barWidth < 8 {
		return " " + text
	}
	return " " + bar(barWidth, running, pending, m.app.Rows.Total()) + "  " + text
}

func (m *model) applicationTotals() string {
	running, pending, bad := 0, 0, 0
	for _, app := range m.set.All() {
		running += app.Count(watchsource.Running)
		pending += app.Count(watchsource.Pending)
		bad += app.Ends.Failed()
	}
	return " " + m.fitting(failed(bad),
		fmt.Sprintf("%d applications", len(m.set.All())), fmt.Sprintf("%d running", running), fmt.Sprintf("%d pending", pending))
}

func failed(n int) string {
	if n == 0 {
		return ""
	}
	return styles.bad.Render(fmt.Sprintf("✗ %d failed", n))
}

// fitting joins as many parts as fit before the last one.
func (m *model) fitting(last string, parts ...string) string {
	for n := len(parts); n > 0; n-- {
		line := joinParts(append(parts[:n:n], last))
		if ansi.StringWidth(line) < m.width {
			return line
		}
	}
	return last
}

// bar draws the running and the pending executors as parts of all.
func bar(width, running, pending, all int) string {
	if all == 0 {
		return styles.rule.Render(strings.Repeat("░", width))
	}
	full := running * width / all
	light := (running+pending)*width/all - full
	rest := width - full - light
	return styles.running.Render(strings.Repeat("█", full)) +
		styles.pending.Render(strings.Repeat("▒", light)) +
		styles.rule.Render(strings.Repeat("░", rest))
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

func joinParts(parts []string) string {
	var b strings.Builder
	for _, part := range parts {
		if ansi.StringWidth(part) == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("  ")
		}
		b.WriteString(part)
	}
	return b.String()
}
