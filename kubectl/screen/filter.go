// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"strings"
	"unicode"

	tea "charm.land/bubbletea/v2"
)

// currentFilter returns the filter of the page. The applications have one, and the executors and the ends
// have another.
func (m *model) currentFilter() *string {
	if m.app == nil {
		return &m.appFilter
	}
	return &m.filter
}

func (m *model) setFilter(text string) {
	*m.currentFilter() = text
	if m.app == nil {
		m.set.Filter(text)
		m.appCursor.search(m.set, m.now)
		return
	}
	m.app.Rows.Filter(text)
	m.app.Ends.Filter(text)
	m.rowCursor.search(&m.app.Rows, m.now)
	m.endCursor.search(&m.app.Ends, m.now)
}

// beginFilter begins to edit the filter.
func (m *model) beginFilter() { m.filtering = true }

// editFilter handles a key while the filter is edited.
func (m *model) editFilter(key tea.KeyPressMsg) {
	filter := *m.currentFilter()
	switch key.String() {
	case "enter":
		m.keepFilter()
	case "esc":
		m.filtering = false
		m.setFilter("")
	case "up":
		m.move(-1)
	case "down":
		m.move(1)
	case "backspace", "ctrl+h":
		if runes := []rune(filter); len(runes) > 0 {
			m.setFilter(string(runes[:len(runes)-1]))
		}
	case "ctrl+u":
		m.setFilter("")
	case "ctrl+w", "alt+backspace":
		m.setFilter(withoutLastWord(filter))
	default:
		m.setFilter(filter + key.Text)
	}
}

// keepFilter ends the editing. The user has seen the row under the cursor, which keeps that row from now on.
func (m *model) keepFilter() {
	m.filtering = false
	if *m.currentFilter() != "" && m.list().Len() > 0 {
		m.move(0)
	}
}

// withoutLastWord returns a text without its last word and the blanks behind that.
func withoutLastWord(text string) string {
	text = strings.TrimRightFunc(text, unicode.IsSpace)
	return text[:strings.LastIndexFunc(text, unicode.IsSpace)+1]
}

// paste adds pasted text to the filter while it is edited. A blank stands for the ends of lines and for
// what cannot be printed.
func (m *model) paste(text string) {
	if !m.filtering {
		return
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
	m.setFilter(*m.currentFilter() + text)
}
