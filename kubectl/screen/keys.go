// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"math"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
	"github.com/executorpods/watchsource/kubectl/application"
)

// keys describes the keys, for the page of help.
var keys = [][2]string{
	{"up, down, j, k", "move the cursor"},
	{"page up, page down", "move it by a page"},
	{"home, end, g, G", "move it to the first, to the last"},
	{"tab", "go to the ends and back"},
	{"enter", "details of an executor; the executors of an application"},
	{"esc", "go back; remove the filter"},
	{"/", "filter by id, state, node, pod or reason"},
	{"s", "sort by trouble, id, age or node"},
	{"a", "all applications"},
	{"e", "the watch: why the view is BLIND, and the last error"},
	{"ctrl+z", "suspend"},
	{"q, ctrl+c", "quit"},
}

// press handles a key.
func (m *model) press(key tea.KeyPressMsg) tea.Cmd {
	switch name := key.String(); {
	case name == "ctrl+c":
		return tea.Quit
	case name == "ctrl+z":
		return m.suspend()
	case m.filtering:
		m.editFilter(key)
	case name == "q":
		return tea.Quit
	case name == "?":
		m.toggle(help)
	case name == "e":
		m.toggle(watch)
	case name == "esc":
		m.back()
	case m.page == applications || m.page == executors:
		m.pressInList(name)
	default:
		m.pressInText(name)
	}
	return nil
}

func (m *model) pressInList(name string) {
	switch name {
	case "up", "k":
		m.move(-1)
	case "down", "j":
		m.move(1)
	case "pgup":
		m.move(-m.cursor().rows)
	case "pgdown", "space":
		m.move(m.cursor().rows)
	case "home", "g":
		m.move(-m.cursor().index)
	case "end", "G":
		m.move(math.MaxInt32)
	case "enter":
		m.enter()
	case "tab":
		m.ends = m.app != nil && !m.ends && m.app.Ends.Len() > 0
	case "/":
		m.filtering = m.app != nil
	case "s":
		if m.app != nil {
			m.app.Rows.Sort(m.app.Rows.Order().Next())
		}
	case "a":
		m.leaveApplication()
	}
}

// cursor returns the cursor that the keys move.
func (m *model) cursor() *position {
	switch {
	case m.app == nil:
		return &m.appCursor.position
	case m.ends:
		return &m.endCursor.position
	default:
		return &m.rowCursor.position
	}
}

func (m *model) move(n int) {
	switch {
	case m.app == nil:
		apps := m.set.All()
		m.appCursor.move(n, len(apps), func(i int) application.ID { return apps[i].ID })
	case m.ends:
		m.endCursor.move(n, m.app.Ends.Len(), func(i int) int { return m.app.Ends.Page(i, i+1)[0].Number })
	default:
		rows := &m.app.Rows
		m.rowCursor.move(n, rows.Len(), func(i int) application.Key { return application.KeyOf(rows.Page(i, i+1)[0]) })
	}
}

// enter opens the application or the executor under the cursor.
func (m *model) enter() {
	if m.page == applications {
		if apps := m.set.All(); len(apps) > 0 {
			m.app, m.page, m.layout = apps[m.appCursor.index], executors, newLayout()
			m.rowCursor, m.endCursor, m.ends = cursor[application.Key]{}, cursor[int]{}, false
		}
		return
	}
	if key, ok := m.selected(); ok {
		m.detail, m.page, m.reading = key, details, reading{}
	}
}

// back leaves a page, or removes the filter.
func (m *model) back() {
	switch m.page {
	case details:
		m.page = executors
	case help, watch:
		m.close()
	case executors:
		if m.filter != "" {
			m.setFilter("")
			return
		}
		m.leaveApplication()
	}
}

func (m *model) leaveApplication() {
	if m.config.AppID != "" || m.app == nil {
		return
	}
	m.setFilter("")
	m.app, m.page, m.ends, m.layout = nil, applications, false, newLayout()
}

func (m *model) editFilter(key tea.KeyPressMsg) {
	switch key.String() {
	case "enter":
		m.filtering = false
	case "esc":
		m.filtering = false
		m.setFilter("")
	case "backspace":
		_, size := utf8.DecodeLastRuneInString(m.filter)
		m.setFilter(m.filter[:len(m.filter)-size])
	default:
		m.setFilter(m.filter + key.Text)
	}
}

func (m *model) setFilter(text string) {
	m.filter = text
	m.app.Rows.Filter(text)
	m.rowCursor = cursor[application.Key]{}
}
