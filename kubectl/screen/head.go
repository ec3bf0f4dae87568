// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/kubectl/application"
	"k8s.io/apimachinery/pkg/util/duration"
)

// The texts of the head have a width each, so that nothing moves when a number changes.
const (
	headHeight   = 3 // lines, while the view is current
	stateWidth   = len("BLIND 7y364d")
	ageWidth     = len("7y364d")
	historyWidth = 24 // of the samples of a History

	maxTroubleLines = 3
)

// head returns the title, the totals, and why the view may be out of date. A low screen has less.
func (m *model) head() []string {
	switch blind := m.blind != nil && m.page != watch; {
	case m.isText() && m.height < lowHeight, m.height < 4:
		return []string{m.title()}
	case m.height < 8 && blind:
		return append([]string{m.title()}, m.troubleLines(1)...)
	case m.height < 8:
		return []string{m.title()}
	case blind:
		return append([]string{m.title(), m.totals()}, m.troubleLines(maxTroubleLines)...)
	default:
		return []string{m.title(), m.totals(), m.rule()}
	}
}

// troubleLines returns why the view may be out of date in a number of lines, or fewer.
func (m *model) troubleLines(limit int) []string {
	const indent = " "
	lines := wrap(indent, indent, m.trouble().String(), m.width)
	if len(lines) > limit {
		lines = lines[:limit]
		lines[limit-1] = ansi.Truncate(lines[limit-1]+" …", m.width, "…")
	}
	for i, line := range lines {
		lines[i] = styles.blind.Render(fit(line, m.width))
	}
	return lines
}

// title returns the first line. What does not fit is left out, the least important part first.
func (m *model) title() string {
	name, namespace := "all applications", m.config.Namespace
	var history, running string
	if m.app != nil {
		name, namespace = m.app.ID.Name, cmp.Or(namespace, m.app.ID.Namespace)
		history, running = m.app.History.String(), m.runningAndAge()
	}
	state := fill(m.watchState(), stateWidth)
	name = styles.title.Render(cutMiddle(application.Printable(name), max(m.width-stateWidth-4, 8)))
	version := styles.faint.Render("rv " + application.Printable(m.status.ResourceVersion))
	namespace = styles.faint.Render(application.Printable(namespace))
	for _, parts := range [][2][]string{
		{{name, namespace, state, version}, {bars(history, 1), running}},
		{{name, namespace, state}, {bars(history, 1), running}},
		{{name, namespace, state}, {bars(history, 2), running}},
		{{name, namespace, state}, {running}},
		{{name, state}, {running}},
		{{name, state}, nil},
	} {
		left, right := " "+joinParts(parts[0]), joinParts(parts[1])
		gap := m.width - ansi.StringWidth(left) - ansi.StringWidth(right) - 1
		if gap >= 2 || right == "" && gap >= 0 {
			return left + strings.Repeat(" ", gap) + right
		}
	}
	return " " + m.watchState() + "  " + name
}

// bars returns each n-th bar of a history, in the place that all of them take.
func bars(history string, n int) string {
	var b strings.Builder
	all := []rune(history)
	for i, bar := range all {
		if i%n == n-1 || i == len(all)-1 {
			b.WriteRune(bar)
		}
	}
	if len(all) == 0 {
		return ""
	}
	return strings.Repeat(" ", max(historyWidth/n-ansi.StringWidth(b.String()), 0)) + styles.running.Render(b.String())
}

func (m *model) runningAndAge() string {
	age := ""
	if a := m.app.Age(m.now); a > 0 {
		age = duration.HumanDuration(a)
	}
	all := m.number("executors", m.app.Rows.Total())
	running := m.number("executors", m.app.Count(watchsource.Running))
	return fmt.Sprintf("%s of %s running  %*s", running, all, ageWidth, age)
}

// number returns a number in the place that the largest one before it has taken.
func (m *model) number(title string, n int) string {
	text := strconv.Itoa(n)
	width := max(m.layout.widths[title], len(text))
	m.layout.widths[title] = width
	return fmt.Sprintf("%*s", width, text)
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
	text := m.fitting(m.failed(m.app.Ends.Failed()), m.number("executors", running)+" running",
		m.number("executors", pending)+" pending", m.number("executors", m.app.Terminating())+" terminating")
	barWidth := min(46, m.width-ansi.StringWidth(text)-5)
	if barWidth < 8 {
		return " " + text
	}
	return " " + bar(barWidth, running, pending, m.app.Rows.Total()) + "  " + text
}

func (m *model) applicationTotals() string {
	counts := m.set.Counts()
	return " " + m.fitting(m.failed(counts.Failed), m.number("applications", m.set.Total())+" applications",
		m.number("running", counts.Running)+" running", m.number("pending", counts.Pending)+" pending")
}

// failed returns the number of failures, or as many blanks if there are none.
func (m *model) failed(n int) string {
	text := "✗ " + m.number("failed", n) + " failed"
	if n == 0 {
		return strings.Repeat(" ", ansi.StringWidth(text))
	}
	return styles.bad.Render(text)
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

// rule returns the line below the totals. It names the parts that the tables leave out of names.
func (m *model) rule() string {
	var parts []string
	for _, names := range [][2]string{{"pods", "POD"}, {"nodes", "NODE"}} {
		if c := m.layout.common[names[1]]; c != nil && c.summary() != "" {
			parts = append(parts, names[0]+" "+c.summary())
		}
	}
	line := strings.Repeat("─", m.width)
	if len(parts) > 0 {
		limit := (m.width - 8) / len(parts)
		for i, part := range parts {
			parts[i] = cutMiddle(part, limit)
		}
		line = "── " + strings.Join(parts, "  ") + " " + line
	}
	return styles.rule.Render(ansi.Truncate(line, m.width, ""))
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
