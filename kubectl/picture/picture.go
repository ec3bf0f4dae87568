// SPDX-License-Identifier: Apache-2.0

// Package picture draws a terminal as an SVG that is readable on a light and on a dark page.
package picture

import (
	"encoding/xml"
	"fmt"
	"strings"

	uv "github.com/charmbracelet/ultraviolet"
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
	var b strings.Builder
	open(&b, screen.Width(), screen.Height(), title, "")
	for _, element := range elements(screen) {
		b.WriteString(element)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// open writes the beginning of a picture, up to its page.
func open(b *strings.Builder, columns, lines int, title, animation string) {
	width, height := float64(columns)*cellWidth+2*margin, lines*cellHeight+2*margin
	fmt.Fprintf(b, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.1f %d\" role=\"img\">\n<title>%s</title>\n<style>", width, height, escaped(title))
	fmt.Fprintf(b, css, fontSize)
	fmt.Fprintf(b, "%s</style>\n<rect class=\"page\" x=\"0.5\" y=\"0.5\" width=\"%.1f\" height=\"%d\" rx=\"8\"/>\n", animation, width-1, height-1)
}

// elements returns what draws the runs of a screen, from the first line to the last.
func elements(screen Screen) []string {
	var all []string
	for y := range screen.Height() {
		for _, run := range runs(screen, y) {
			if strings.TrimSpace(run.text) != "" {
				all = append(all, run.element(y))
			}
		}
	}
	return all
}

func escaped(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder never fails
	return b.String()
}
