// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"fmt"
	"strings"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
)

// A run is neighbouring cells of one style.
type run struct {
	from, width int
	text        string
	style       uv.Style
}

// runs returns the runs of a line. A gap of two blanks ends a run, so that the columns of a
// table are aligned.
func runs(screen Screen, y int) []run {
	var all []run
	for x := 0; x < screen.Width(); {
		content, width, style := " ", 1, uv.Style{}
		if cell := screen.CellAt(x, y); cell != nil && cell.Content != "" {
			content, width, style = cell.Content, max(cell.Width, 1), cell.Style
		}
		blank := content == " "
		if n := len(all); n > 0 && all[n-1].style.Equal(&style) && (blank || !strings.HasSuffix(all[n-1].text, "  ")) {
			all[n-1].text += content
			all[n-1].width += width
		} else {
			all = append(all, run{from: x, width: width, text: content, style: style})
		}
		x += width
	}
	for i := range all {
		all[i].trim()
	}
	return all
}

// trim removes the blanks at both ends, except from a reversed run, which shows them.
func (r *run) trim() {
	if r.style.Attrs&uv.AttrReverse != 0 {
		return
	}
	text := strings.TrimRight(r.text, " ")
	r.width -= len(r.text) - len(text)
	r.text = strings.TrimLeft(text, " ")
	r.from += len(text) - len(r.text)
	r.width -= len(text) - len(r.text)
}

// element draws the run on line y. A reversed run is a rectangle with its text on it.
func (r run) element(y int) string {
	var b strings.Builder
	x, top, length := margin+float64(r.from)*cellWidth, margin+y*cellHeight, float64(r.width)*cellWidth
	class := r.class()
	if r.style.Attrs&uv.AttrReverse != 0 {
		fmt.Fprintf(&b, "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"%s/>\n", x, top, length, cellHeight, class)
		class = ` class="bold reversed"`
	}
	// textLength keeps the columns aligned whatever font the reader has.
	fmt.Fprintf(&b, "<text x=\"%.1f\" y=\"%d\" textLength=\"%.1f\"%s>%s</text>\n", x, top+fontSize, length, class, escaped(r.text))
	return b.String()
}

func (r run) class() string {
	var classes []string
	if r.style.Attrs&uv.AttrBold != 0 {
		classes = append(classes, "bold")
	}
	if r.style.Attrs&uv.AttrFaint != 0 {
		classes = append(classes, "faint")
	}
	switch r.style.Fg {
	case ansi.Red:
		classes = append(classes, "red")
	case ansi.Green:
		classes = append(classes, "green")
	case ansi.Yellow:
		classes = append(classes, "yellow")
	}
	if len(classes) == 0 {
		return ""
	}
	return fmt.Sprintf(" class=%q", strings.Join(classes, " "))
}
