// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"strconv"
	"strings"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/kubectl/application"
)

// detailLines returns everything about one executor.
func (m *model) detailLines() []string {
	e, end := m.detailed()
	if e == nil {
		return m.fieldLines([][2]string{{"executor", "no longer listed"}}, detailTitleWidth)
	}
	return m.fieldLines(m.detailFields(e, end), detailTitleWidth)
}

// detailFields returns titles and texts. An empty text is not shown.
func (m *model) detailFields(e *watchsource.Executor, end *application.End) [][2]string {
	state := application.State(e)
	if end != nil && e == end.Executor {
		state = end.Description()
	}
	return [][2]string{
		{"executor", application.Printable(e.ID)},
		{"pod", application.Printable(e.Namespace + "/" + e.Name)},
		{"state", state},
		{"reason", application.Printable(e.Reason)},
		{"message", application.Printable(strings.TrimSpace(e.Message))},
		{"disruption", application.Printable(e.Disruption)},
		{"problem", application.Printable(e.Problem)},
		{"exit code", application.ExitCode(e)},
		{"restarts", count(int(e.Restarts))},
		{"node", application.Printable(e.Node)},
		{"address", application.Printable(e.PodIP)},
		{"created", m.timeAndAge(e.CreatedAt)},
		{"started", m.timeAndAge(e.StartedAt)},
		{"finished", m.finished(e, end)},
		{"last end", m.lastEnd(end)},
		{"now", m.stateAfter(end)},
		{"uid", application.Printable(string(e.UID))},
		{"version", application.Printable(e.ResourceVersion)},
	}
}

func count(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
