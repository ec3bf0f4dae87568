// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"strings"

	"github.com/charmbracelet/x/ansi"
)

// A layout has the widths that the columns have reached. While an application is open, a column
// grows and never shrinks, so that the text beside it keeps its place. Tables that have a column of
// one title share its width.
type layout struct {
	widths map[string]int
	common map[string]*common
}

func newLayout() layout {
	return layout{widths: map[string]int{}, common: map[string]*common{}}
}

// arrange returns columns that are wide enough for the rows on the screen, and shortens the names
// in the rows.
func (l *layout) arrange(columns []column, rows []row) []column {
	arranged := make([]column, len(columns))
	for i, c := range columns {
		if c.drop != dropNothing {
			l.shorten(c, i, rows)
		}
		if c.width > 0 && c.max > c.width {
			c.width = l.grow(c, i, rows)
		}
		arranged[i] = c
	}
	return arranged
}

// shorten leaves out of the names of a column what they have in common, if they do not fit otherwise.
func (l *layout) shorten(c column, i int, rows []row) {
	common := l.commonOf(c.title)
	for _, row := range rows {
		if row.cells[i] != noName {
			common.see(row.cells[i])
		}
	}
	for _, next := range []drop{c.drop, dropBoth} {
		if common.dropped < next && !fits(common, c, i, rows) {
			common.dropped = next
		}
	}
	for _, row := range rows {
		row.cells[i] = common.short(row.cells[i])
	}
}

func (l *layout) commonOf(title string) *common {
	if l.common[title] == nil {
		l.common[title] = &common{}
	}
	return l.common[title]
}

func fits(common *common, c column, i int, rows []row) bool {
	for _, row := range rows {
		if ansi.StringWidth(common.short(row.cells[i])) >= c.max {
			return false
		}
	}
	return true
}

func (l *layout) grow(c column, i int, rows []row) int {
	width := max(l.widths[c.title], c.width)
	for _, row := range rows {
		width = max(width, ansi.StringWidth(row.cells[i])+1)
	}
	width = min(width, c.max)
	l.widths[c.title] = width
	return width
}

// fit cuts the end of a text, or fills it, to a width.
func fit(text string, width int) string {
	return fill(ansi.Truncate(text, width, "…"), width)
}

// fitName cuts a name in the middle, or fills it, to a width: names differ at their ends.
func fitName(name string, width int) string {
	return fill(cutMiddle(name, width), width)
}

func fill(text string, width int) string {
	return text + strings.Repeat(" ", max(width-ansi.StringWidth(text), 0))
}

// cutMiddle cuts the middle out of a text that is wider than a width.
func cutMiddle(text string, width int) string {
	full := ansi.StringWidth(text)
	if full <= width {
		return text
	}
	head := max(width-1, 0) / 2
	tail := max(width-1-head, 0)
	if width < 5 {
		head, tail = 0, max(width-1, 0)
	}
	if width < 1 {
		return ""
	}
	return ansi.Truncate(text, head, "") + "…" + lastCells(text, tail)
}

// lastCells returns the end of a text that is at most so wide.
func lastCells(text string, width int) string {
	full := ansi.StringWidth(text)
	for cut := full - width; cut <= full; cut++ { // a wide character may stand across the edge
		if end := ansi.TruncateLeft(text, cut, ""); ansi.StringWidth(end) <= width {
			return end
		}
	}
	return ""
}
