// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// lowHeight is the height of a screen below which nothing but text is on a page of text.
const lowHeight = 14

// A reading is the part of a text that is on the screen.
type reading struct{ offset, height, length int }

// show returns the part of a text that fits a height.
func (r *reading) show(lines []string, height int) []string {
	r.height, r.length = max(height, 0), len(lines)
	r.move(0)
	return lines[r.offset:min(r.offset+r.height, r.length)]
}

// move moves by n lines.
func (r *reading) move(n int) {
	r.offset = max(min(r.offset+n, r.length-r.height), 0)
}

// isText reports whether the page is a text, which the keys scroll.
func (m *model) isText() bool { return m.page == details || m.page == help || m.page == watch }

// text returns the lines of a page of text.
func (m *model) text(p page) []string {
	switch p {
	case details:
		return m.detailLines()
	case watch:
		return m.fieldLines(m.watchFields(), detailTitleWidth)
	default:
		return m.fieldLines(m.helpFields(), helpTitleWidth)
	}
}

// toggle opens a page over the present one, or closes it.
func (m *model) toggle(p page) {
	if m.page == p {
		m.close()
		return
	}
	if i := slices.Index(m.below, p); i >= 0 {
		m.below = m.below[:i+1]
		m.close()
		return
	}
	m.below = append(m.below, m.page)
	m.page, m.reading = p, reading{}
}

// close shows the page below the present one.
func (m *model) close() {
	last := len(m.below) - 1
	m.page, m.below, m.reading = m.below[last], m.below[:last], reading{}
}

const (
	detailTitleWidth = 14
	helpTitleWidth   = 17
	// narrowWidth is the width of a screen below which titles and texts share a column.
	narrowWidth = 40
)

// fieldLines returns titles and texts in two columns. An empty text is not shown.
func (m *model) fieldLines(fields [][2]string, titleWidth int) []string {
	var lines []string
	if m.height >= lowHeight {
		lines = append(lines, "")
	}
	for _, field := range fields {
		switch title, text := field[0], field[1]; {
		case text == "":
		case m.width < narrowWidth:
			lines = append(lines, wrap(" ", " ", title+": "+text, m.width)...)
		default:
			first := "  " + styles.faint.Render(fill(title, titleWidth))
			lines = append(lines, wrap(first, strings.Repeat(" ", titleWidth+2), text, m.width)...)
		}
	}
	return lines
}

// wrap returns a text in lines of a width that begin with first and then with next.
func wrap(first, next, text string, width int) []string {
	lines := strings.Split(ansi.Wrap(text, max(width-ansi.StringWidth(next)-1, 1), ""), "\n")
	for i, line := range lines {
		lines[i] = next + line
		if i == 0 {
			lines[i] = first + line
		}
	}
	return lines
}
