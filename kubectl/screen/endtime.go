// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"time"

	"github.com/executorpods/watchsource"
	"github.com/executorpods/watchsource/kubectl/application"
	"k8s.io/apimachinery/pkg/util/duration"
)

// endedWidth is the width of the column for the longest text of ended, with a blank.
const endedWidth = len("before 01-02 15:04 ")

// ended returns when an executor has ended, or "before" the time by which it had. A day other than
// today is named.
func (m *model) ended(end *application.End) string {
	layout := time.TimeOnly
	if at := end.At.Local(); at.YearDay() != m.now.Local().YearDay() || at.Year() != m.now.Local().Year() {
		layout = "01-02 15:04"
	}
	text := end.At.Local().Format(layout)
	if end.Before {
		text = "before " + text
	}
	return text
}

// lived returns how long an executor has run.
func lived(end *application.End) string {
	life, known := end.Lived()
	if !known {
		return noName
	}
	return duration.HumanDuration(life)
}

// finished returns when an executor has ended or left. What the pod says is added if it cannot be
// true.
func (m *model) finished(e *watchsource.Executor, end *application.End) string {
	if end == nil || e != end.Executor {
		return m.timeAndAge(e.FinishedAt)
	}
	text := m.timeAndAge(end.At)
	if end.Before {
		text = "before " + end.At.Local().Format(time.DateTime)
	}
	if says := e.FinishedAt; e.State.Ended() && !says.IsZero() && !says.Equal(end.At) {
		text += "; the pod says " + says.Local().Format(time.DateTime)
	}
	return text
}

// lastEnd returns the end in a line.
func (m *model) lastEnd(end *application.End) string {
	if end == nil {
		return ""
	}
	text := end.Description()
	if _, known := end.Lived(); known {
		text += ", after " + lived(end)
	}
	if end.Gone {
		text += "; the pod has been deleted"
	}
	return text
}

// stateAfter returns the state of an executor that runs again after an end that the user has opened.
func (m *model) stateAfter(end *application.End) string {
	if m.detail.end == 0 || end == nil {
		return ""
	}
	if e := m.app.Rows.Get(application.KeyOf(end.Executor)); e != nil {
		return application.State(e)
	}
	return ""
}
