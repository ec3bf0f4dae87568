// SPDX-License-Identifier: Apache-2.0

package picture

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/ansi"
)

// A Frame is a screen of a recording.
type Frame struct {
	Screen  Screen
	Caption string        // A line below the screen, which should not be longer than the screen's.
	For     time.Duration // How long the frame is shown. It must be positive.
}

// Recording returns an animated picture that shows the frames one after the other, again and
// again. It has no script. Readers that do not animate pictures, or whose users prefer reduced
// motion, show the frame with the index still. The title is for readers who cannot see the picture.
//
// What several frames have at the same place is in the picture once.
func Recording(frames []Frame, still int, title string) string {
	columns, lines := 0, 0
	for _, frame := range frames {
		columns, lines = max(columns, frame.Screen.Width()), max(lines, frame.Screen.Height())
	}
	parts := partsOf(frames, lines+1)
	var b strings.Builder
	open(&b, columns, lines+2, title, animation(frames, parts, still))
	for i, part := range parts {
		if part.always() {
			b.WriteString(strings.Join(part.elements, ""))
			continue
		}
		fmt.Fprintf(&b, "<g class=%q>\n%s</g>\n", partName(i), strings.Join(part.elements, ""))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// A part of a recording has the elements that the same frames show.
type part struct {
	shown    []bool // By frame.
	elements []string
}

func (p *part) always() bool { return !slices.Contains(p.shown, false) }

// partsOf returns the parts of a recording in the order in which they appear. The captions are on
// line captionLine.
func partsOf(frames []Frame, captionLine int) []*part {
	var order []string
	shown := make(map[string][]bool)
	for i, frame := range frames {
		for _, element := range append(elements(frame.Screen), caption(frame.Caption, captionLine)) {
			if shown[element] == nil {
				shown[element] = make([]bool, len(frames))
				order = append(order, element)
			}
			shown[element][i] = true
		}
	}
	var parts []*part
	bySet := make(map[string]*part)
	for _, element := range order {
		set := fmt.Sprint(shown[element])
		if bySet[set] == nil {
			bySet[set] = &part{shown: shown[element]}
			parts = append(parts, bySet[set])
		}
		bySet[set].elements = append(bySet[set].elements, element)
	}
	return parts
}

func caption(text string, line int) string {
	caption := run{text: text, width: ansi.StringWidth(text), style: uv.Style{Attrs: uv.AttrBold}}
	return caption.element(line)
}

func partName(i int) string { return "p" + strconv.Itoa(i) }

// animation returns the rules that show each part in its frames. Without an animation the parts
// of the frame still are visible.
func animation(frames []Frame, parts []*part, still int) string {
	var hidden, keyframes strings.Builder
	for i, part := range parts {
		if part.always() {
			continue
		}
		if !part.shown[still] {
			fmt.Fprintf(&hidden, " .%s { visibility: hidden }\n", partName(i))
		}
		fmt.Fprintf(&keyframes, "  .%s { animation-name: %[1]s } @keyframes %[1]s { %s }\n", partName(i), steps(frames, part.shown))
	}
	return fmt.Sprintf("%s @media (prefers-reduced-motion: no-preference) {\n  g { animation: %gs step-end infinite }\n%s }\n",
		hidden.String(), total(frames).Seconds(), keyframes.String())
}

// steps returns a keyframe for the first frame and for each frame from which on a part is shown or
// hidden.
func steps(frames []Frame, shown []bool) string {
	var all []string
	var at time.Duration
	for i, frame := range frames {
		if i == 0 || shown[i] != shown[i-1] {
			percent := 100 * at.Seconds() / total(frames).Seconds()
			all = append(all, fmt.Sprintf("%s%% { visibility: %s }", strconv.FormatFloat(percent, 'f', -1, 64), visibility(shown[i])))
		}
		at += frame.For
	}
	return strings.Join(all, " ")
}

func visibility(shown bool) string {
	if shown {
		return "visible"
	}
	return "hidden"
}

func total(frames []Frame) time.Duration {
	var sum time.Duration
	for _, frame := range frames {
		sum += frame.For
	}
	return sum
}

// Copy returns a copy of a screen, which does not change when the screen does.
func Copy(screen Screen) Screen {
	c := &cells{width: screen.Width(), height: screen.Height()}
	for y := range c.height {
		for x := range c.width {
			cell := screen.CellAt(x, y)
			if cell != nil {
				cell = cell.Clone()
			}
			c.all = append(c.all, cell)
		}
	}
	return c
}

// cells is a Screen.
type cells struct {
	width, height int
	all           []*uv.Cell // Line by line.
}

func (c *cells) Width() int               { return c.width }
func (c *cells) Height() int              { return c.height }
func (c *cells) CellAt(x, y int) *uv.Cell { return c.all[y*c.width+x] }
