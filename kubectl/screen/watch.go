// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"time"

	"github.com/executorpods/watchsource/kubectl/application"
	"k8s.io/apimachinery/pkg/util/duration"
)

// watchFields returns everything about the watch. If the view may be out of date, the cause is first.
func (m *model) watchFields() [][2]string {
	var fields [][2]string
	if m.blind != nil {
		why := m.trouble()
		fields = append(fields, [2]string{"cause", why.cause}, [2]string{"what to do", why.remedy})
	}
	s := m.status
	return append(fields, [][2]string{
		{"phase", fmt.Sprintf("%s since %s", s.Phase, m.timeAndAge(s.Since))},
		{"last contact", m.timeAndAge(s.LastContact)},
		{"last error", m.lastError()},
		{"at", m.lastErrorAt()},
		{"version", application.Printable(s.ResourceVersion)},
		{"decoder", application.Printable(s.Decoder)},
		{"lists", fmt.Sprintf("%d, %d after the first", s.Lists, s.Relists)},
		{"resumes", fmt.Sprint(s.Resumes)},
		{"stalls", fmt.Sprint(s.Stalls)},
		{"errors", fmt.Sprint(s.Errors)},
		{"events", fmt.Sprint(s.Events)},
	}...)
}

// lastError returns the whole text of the last error.
func (m *model) lastError() string {
	if m.status.Err == nil {
		return "none"
	}
	return application.Printable(m.status.Err.Error())
}

func (m *model) lastErrorAt() string {
	if m.status.Err == nil {
		return ""
	}
	at := m.timeAndAge(m.status.ErrAt)
	if m.blind == nil {
		at += "; recovered"
	}
	return at
}

// timeAndAge returns a time and how long ago it was, "" for no time.
func (m *model) timeAndAge(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return fmt.Sprintf("%s, %s ago", at.Local().Format(time.DateTime), duration.HumanDuration(m.now.Sub(at)))
}
