// SPDX-License-Identifier: Apache-2.0

// Package picture draws a terminal as an SVG that is readable on a light and on a dark page.
package picture

import (
	"encoding/xml"
	"fmt"
	"strings"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
)

// The size of a cell, in pixels, and the margin around the terminal.
const (
	cellWidth  = 8.4
	cellHeight = 18
	fontSize   = 14
	margin     = 14
)

const css = `
 .page { fill: #ffffff; stroke: #d0d7de }
 text { font: %dpx ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1f2328; white-space: pre }
 .bold { font-weight: bold } .faint { fill: #656d76 }
 .red { fill: #cf222e } .green { fill: #1a7f37 } .yellow { fill: #9a6700 } .reversed { fill: #ffffff }
 @media (prefers-color-scheme: dark) {
  .page { fill: #0d1117; stroke: #30363d }
  text { fill: #e6edf3 } .faint { fill: #8b949e }
  .red { fill: #ff7b72 } .green { fill: #3fb950 } .yellow { fill: #d29922 } .reversed { fill: #0d1117 }
 }
`

// A Screen has cells. Positions begin at 0. A nil cell is empty.
type Screen interface {
	Width() int
	Height() int
	CellAt(x, y int) *uv.Cell
}

// SVG returns the picture of a screen. The title is for readers who cannot see it.
func SVG(screen Screen, title string) string {
	width := float64(screen.Width())*cellWidth + 2*margin
	height := screen.Height()*cellHeight + 2*margin
	var b strings.Builder
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.1f %d\" role=\"img\">\n<title>%s</title>\n<style>", width, height, escaped(title))
	fmt.Fprintf(&b, css, fontSize)
	fmt.Fprintf(&b, "</style>\n<rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"%.1f\" height=\"%d\" rx=\"8\"/>\n", width-1, height-1)
	for y := range screen.Height() {
		for _, run := range runs(screen, y) {
			if strings.TrimSpace(run.text) == "" {
				continue
			}
			x, top, length := margin+float64(run.from)*cellWidth, margin+y*cellHeight, float64(run.width)*cellWidth
			class := run.class()
			if run.style.Attrs&uv.AttrReverse != 0 {
				fmt.Fprintf(&b, "<rect x=\"%.1f\" y=\"%d\" width=\"%.1f\" height=\"%d\"%s/>\n", x, top, length, cellHeight, class)
				class = ` class="bold reversed"`
			}
			// textLength keeps the columns aligned whatever font the reader has.
			fmt.Fprintf(&b, "<text x=\"%.1f\" y=\"%d\" textLength=\"%.1f\"%s>%s</text>\n", x, top+fontSize, length, class, escaped(run.text))
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

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

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder never fails
	return b.String()
}
