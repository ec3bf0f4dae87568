// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/kubectl/application"
	"k8s.io/apimachinery/pkg/util/duration"
)

// detailLines returns everything about one executor.
func (m *model) detailLines() []string {
	e, end := m.app.Rows.Get(m.detail), m.app.Ends.Last(m.detail)
	if e == nil && end != nil {
		e = end.Executor
	}
	if e == nil {
		return m.fieldLines([][2]string{{"executor", "no longer listed"}}, detailTitleWidth)
	}
	return m.fieldLines(m.detailFields(e, end), detailTitleWidth)
}

// detailFields returns titles and texts. An empty text is not shown.
func (m *model) detailFields(e *watchsource.Executor, end *application.End) [][2]string {
	state := application.State(e)
	if m.app.Rows.Get(m.detail) == nil {
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
		{"finished", m.timeAndAge(e.FinishedAt)},
		{"last end", m.lastEnd(end)},
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

func (m *model) lastEnd(end *application.End) string {
	if end == nil {
		return ""
	}
	text := fmt.Sprintf("%s, after %s", end.Description(), duration.HumanDuration(end.Lived()))
	if end.Gone {
		text += "; the pod has been deleted"
	}
	return text
}
