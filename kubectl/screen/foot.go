// SPDX-License-Identifier: Apache-2.0

package screen

import (
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/executorpods/watchsource/kubectl/application"
)

// maxShownFilter is the width of a filter that is not edited.
const maxShownFilter = 30

// foot returns the last line: a notice, the filter, or the keys.
func (m *model) foot() string {
	keys := hints{{"q quit", 3}}
	if m.blind != nil && m.page != watch {
		keys = append(hints{{"e error", 0}}, keys...)
	}
	switch {
	case m.now.Before(m.notice.until):
		return styles.pending.Render(" " + m.notice.text)
	case m.filtering:
		return m.filterLine()
	case m.isText():
		return append(keys, m.textHints()...).line(m.width)
	default:
		return append(keys, m.listHints()...).line(m.width)
	}
}

// textHints returns the keys of a page of text, and which part of it is on the screen.
func (m *model) textHints() hints {
	keys := hints{{"esc back", 1}}
	if r := m.reading; r.height < r.length {
		keys = append(keys, hint{"lines " + window(r.offset, r.height, r.length, r.length), 2}, hint{"j, k scroll", 4})
	}
	return keys
}

// listHints returns the keys of a list, with its filter and its order.
func (m *model) listHints() hints {
	keys := hints{{"/ filter", 4}, {"s sort: " + m.list().Sorting().String(), 1}}
	if filter := *m.currentFilter(); filter != "" {
		keys[0] = hint{"filter: " + ansi.Truncate(application.Printable(filter), maxShownFilter, "…"), 0}
	}
	if m.list().Len() > 0 {
		keys = append(keys, hint{"enter " + m.enterHint(), 5})
	}
	switch {
	case !m.hasEnds():
	case m.ends:
		keys = append(keys, hint{"tab executors", 6})
	default:
		keys = append(keys, hint{"tab ends", 6})
	}
	keys = append(keys, hint{"? help", 2})
	if m.hasApplications() {
		keys = append(keys, hint{"a applications", 7})
	}
	return keys
}

func (m *model) enterHint() string {
	if m.app == nil {
		return "executors"
	}
	return "details"
}

// filterLine returns the filter while it is edited, with the number of rows that pass it.
func (m *model) filterLine() string {
	keys := hints{{fmt.Sprintf("%d of %d", m.list().Len(), m.list().Total()), 0}, {"enter keep", 1}, {"esc remove", 2}}
	filter := application.Printable(*m.currentFilter())
	width := m.width - len(" /█ ") - len(" 10000 of 10000")
	if cut := ansi.StringWidth(filter) - max(width, 8); cut > 0 {
		filter = ansi.TruncateLeft(filter, cut+1, "…")
	}
	text := " /" + filter + "█ "
	return text + keys.line(m.width-ansi.StringWidth(text))
}

// A hint names a key. Those with the highest rank are left out if a line is too narrow.
type hint struct {
	text string
	rank int
}

type hints []hint

// line returns as many hints as fit.
func (h hints) line(width int) string {
	for {
		var texts []string
		worst := 0
		for i, hint := range h {
			texts = append(texts, hint.text)
			if hint.rank > h[worst].rank {
				worst = i
			}
		}
		line := " " + strings.Join(texts, "   ")
		if ansi.StringWidth(line) <= width || len(h) < 2 {
			return styles.faint.Render(line)
		}
		h = slices.Delete(slices.Clone(h), worst, worst+1)
	}
}
